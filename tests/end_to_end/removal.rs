//! The removal of a peer: once it is answered, nothing passes, also on connections that are open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rhyzome_end_to_end::{Operator, Talk, Tunnelled, World, wait_for};
use rhyzome_wireguard::tunnel::RemoteStats;
use tokio::time::sleep;

use crate::reach::{Devices, reaches};
use crate::tenants::Tenant;

/// How far apart two looks at the same moment may be.
const SAME: Duration = Duration::from_millis(500);
/// What was on its way has come when nothing more came for so long; what passes goes on coming.
const QUIET: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(5);

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
    reaches(&other, &[lab, attic]).await;
    let sessions = other.sessions().await;

    let asked = Instant::now();
    let project = alpha.project.as_str();
    let said = operator.rhyzome(&["--project", project, "peer", "delete", "phone"]);
    let took = asked.elapsed();
    let (answers, before) = arrived(&running, &removed).await;
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
    assert_same(&sessions, &other.sessions().await);
}

/// What has come, with what was on its way when it was asked for.
async fn arrived(talk: &Talk, tunnel: &Tunnelled) -> (u64, Vec<RemoteStats>) {
    let mut seen = (talk.answers(), tunnel.stats().await);
    let silent = async || {
        sleep(QUIET).await;
        let now = (talk.answers(), tunnel.stats().await);
        let before = std::mem::replace(&mut seen, now);
        let count = |(answers, stats): &(u64, Vec<RemoteStats>)| (*answers, stats[0].rx_bytes);
        (count(&before) == count(&seen)).then_some(())
    };
    wait_for("nothing comes any more", LONG, silent).await;
    seen
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

/// A peer that loses one network and gets it back: the other network's session goes on.
pub async fn a_network_that_is_taken_from_a_peer_is_out_of_reach(
    world: &World,
    operator: &Operator,
    tenants: &[Tenant],
    devices: &Devices,
) {
    let alpha = &tenants[0];
    let [lab, attic] = &alpha.networks[..] else {
        panic!("two networks")
    };
    let tunnel = Tunnelled::start(&world.member, &devices.both);
    reaches(&tunnel, &[lab, attic]).await;
    let talk = Talk::start(&tunnel, SocketAddr::new(lab.addresses()[0], 80)).await;
    let sessions = tunnel.sessions().await;
    let port = attic.network.status.endpoint.port;
    let index = |stats: &[RemoteStats]| stats.iter().position(|to| to.endpoint.port() == port);

    let update = [
        "--project",
        alpha.project.as_str(),
        "peer",
        "update",
        "laptop",
    ];
    let with = |option| [&update[..], &[option, attic.name().as_str()]].concat();
    operator.rhyzome(&with("--remove-network"));
    let before = tunnel.stats().await;
    let attics = index(&before).unwrap();
    let tries = attic.addresses();
    let failures = join_all(tries.iter().map(|to| tunnel.fails_to_reach(*to, 80))).await;
    assert!(
        failures
            .iter()
            .all(|why| why.contains("did not answer within")),
        "{failures:?}"
    );
    let after = tunnel.stats().await;
    assert_eq!(
        before[attics].rx_bytes, after[attics].rx_bytes,
        "something came from the network"
    );
    reaches(&tunnel, &[lab]).await;

    operator.rhyzome(&with("--add-network"));
    talk.goes_on(20).await;
    assert!(talk.is_on());
    let labs = 1 - attics;
    assert_same(
        &sessions[labs..=labs],
        &tunnel.sessions().await[labs..=labs],
    );
    // Two tunnels of one key would be sent each other's packets.
    drop((talk, tunnel));
    let again = Tunnelled::start(
        &world.member,
        &operator.peer_config(&alpha.project, "laptop"),
    );
    reaches(&again, &[lab, attic]).await;
    world.say("a network was taken from a peer and given back; its other one did not notice");
}
