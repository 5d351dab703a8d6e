//! Deleting everything leaves a host as it was before.

use std::path::Path;

use rhyzome_client::Deleted;
use rhyzome_end_to_end::operator::READY;
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, World, wait_for};

use crate::tenants::Tenant;

pub async fn what_is_deleted_leaves_nothing(
    world: &World,
    operator: &Operator,
    tenants: &[Tenant],
    nothing: &[String],
) {
    for tenant in tenants {
        let scope = operator.client().within(&tenant.project);
        for peer in scope.peer().all().await.unwrap() {
            let gone = scope
                .peer()
                .delete(&peer.meta.name, None, Some(READY))
                .await
                .unwrap();
            assert!(matches!(gone, Deleted::Gone(_)), "{gone:#?}");
        }
        for instance in scope.instance().all().await.unwrap() {
            scope
                .instance()
                .delete(&instance.meta.name, None, None)
                .await
                .unwrap();
        }
    }
    for tenant in tenants {
        let scope = operator.client().within(&tenant.project);
        wait_for("all instances are gone", READY, async || {
            scope.instance().all().await.ok()?.is_empty().then_some(())
        })
        .await;
        for inhabited in &tenant.networks {
            let gone = scope
                .network()
                .delete(inhabited.name(), None, Some(READY))
                .await
                .unwrap();
            assert!(matches!(gone, Deleted::Gone(_)), "{gone:#?}");
        }
        for image in scope.image().all().await.unwrap() {
            scope
                .image()
                .delete(&image.meta.name, None, None)
                .await
                .unwrap();
        }
        operator
            .client()
            .project()
            .delete(&tenant.project, None, None)
            .await
            .unwrap();
    }
    world.say("both projects are deleted");
    let after = world.left();
    let is_new = |thing: &&String| !nothing.contains(thing) && !is_kept_on_purpose(world, thing);
    let new: Vec<&String> = after.iter().filter(is_new).collect();
    assert!(new.is_empty(), "left on the host: {new:#?}");
    world.say("nothing of them is left on the host");
}

/// Images are kept for the next instance, within a bound; a ledger remembers for a while what was
/// removed, so that a late job does not bring it back.
fn is_kept_on_purpose(world: &World, thing: &str) -> bool {
    let Some(path) = thing.strip_prefix("file ").map(Path::new) else {
        return false;
    };
    // Of the host, and of no project: libvirt's folder in /run is everybody's, and another site on this
    // machine may have taken it away when it went, before this one's component was started again.
    if path == world.state(Kind::Libvirt).join("made-run-libvirt") {
        return true;
    }
    let in_ledger = Kind::ALL.map(|kind| world.state(kind).join("ledger"));
    if in_ledger.iter().any(|ledger| path.starts_with(ledger)) {
        let entry = std::fs::read_to_string(path).unwrap();
        let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
        return entry["state"]["state"] == "removed";
    }
    path.starts_with(world.state(Kind::Libvirt).join("images"))
}
