//! A component whose certificate is revoked.

use std::time::{Duration, Instant};

use rhyzome_end_to_end::operator::STARTED;
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, World, wait_for};

/// How soon its session has to be over.
const AT_ONCE: Duration = Duration::from_secs(2);

pub async fn a_revoked_component_has_no_session_within_two_seconds(world: &mut World) {
    world.start_core();
    let operator = Operator::of(world).await;
    let name = operator.add_component(world, Kind::Linux).await;
    assert!(is_connected(world), "it has a connection to the core");
    let revoked = Instant::now();
    operator.client().component().revoke(&name).await.unwrap();
    wait_for("its session is over", AT_ONCE, async || {
        let component = operator.client().component().get(&name).await.ok()?;
        (component.revoked && !component.connected).then_some(())
    })
    .await;
    let left = AT_ONCE.saturating_sub(revoked.elapsed());
    wait_for("its connection is closed", left, async || {
        (!is_connected(world)).then_some(())
    })
    .await;
    world.say(&format!(
        "its session was over after {} ms",
        revoked.elapsed().as_millis()
    ));

    // It tries again, and is refused.
    wait_for("it says that it was revoked", STARTED, async || {
        world
            .component(Kind::Linux)
            .output()
            .contains("revoked")
            .then_some(())
    })
    .await;
    let component = operator.client().component().get(&name).await.unwrap();
    assert!(!component.connected);
}

/// Whether there is any connection to the port for components.
fn is_connected(world: &World) -> bool {
    !world.core.run(|| {
        let sport = ["-Htn", "state", "established", "sport = :9090"];
        rhyzome_end_to_end::host::command("ss", &sport, None)
            .trim()
            .is_empty()
    })
}
