//! The removal of a peer: once it is answered, nothing passes, also on connections that are open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rhyzome_end_to_end::{Operator, Talk, Tunnelled, World};

use crate::reach::{Devices, reaches};
use crate::tenants::Tenant;

/// How far apart two looks at the same moment may be.
const SAME: Duration = Duration::from_millis(500);

pub async fn nothing_passes_after_a_removal_is_answered(
    world: &World,
    operator: &Operator,
    tenants: &[Tenant],
    devices: &Devices,
) {
    let alpha = &tenants[0];
    let [lab, attic] = &alpha.networks[..] else {
        panic!("two networks")
    };
    let removed = Tunnelled::start(&world.member, &devices.one);
    let other = Tunnelled::start(&world.member, &devices.both);
    let destination = SocketAddr::new(lab.addresses()[0], 80);
    let running = Talk::start(&removed, destination).await;
    let undisturbed = Talk::start(&other, SocketAddr::new(lab.addresses()[1], 80)).await;
    let sessions = other.sessions().await;

    let asked = Instant::now();
    let project = alpha.project.as_str();
    let said = operator.rhyzome(&["--project", project, "peer", "delete", "phone"]);
    let took = asked.elapsed();
    let (answers, before) = (running.answers(), removed.stats().await);
    world.say(&format!(
        "the removal took {} ms: {}",
        took.as_millis(),
        said.trim()
    ));

    // It goes on trying, on the open connection and on another one.
    let why = removed
        .fails_to_reach(destination.ip(), destination.port())
        .await;
    assert!(why.contains("did not answer within"), "{why}");
    let after = removed.stats().await;
    assert!(
        after[0].tx_bytes > before[0].tx_bytes,
        "nothing was tried: {after:?}"
    );
    assert_eq!(
        after[0].rx_bytes, before[0].rx_bytes,
        "something came after the removal"
    );
    assert_eq!(running.answers(), answers);
    world.say(&format!(
        "{answers} answers on a connection until the removal, and none after it"
    ));

    undisturbed.goes_on(20).await;
    reaches(&other, &[lab, attic]).await;
    assert_same(&sessions, &other.sessions().await[..1]);
}

/// Whether sessions are the same ones still.
pub fn assert_same(before: &[Instant], after: &[Instant]) {
    for (before, after) in before.iter().zip(after) {
        let apart = after.saturating_duration_since(*before);
        assert!(
            apart < SAME,
            "there was a new handshake {apart:?} after the one before"
        );
    }
}
