//! Deleting everything leaves a host as it was before.

use rhyzome_client::Deleted;
use rhyzome_end_to_end::operator::READY;
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
                .delete(&image.meta.name, None, Some(READY))
                .await
                .unwrap();
        }
        operator
            .client()
            .project()
            .delete(&tenant.project, None, Some(READY))
            .await
            .unwrap();
    }
    world.say("both projects are deleted");
    let after = world.left();
    let new: Vec<&String> = after
        .iter()
        .filter(|thing| !nothing.contains(thing))
        .collect();
    assert!(new.is_empty(), "left on the host: {new:#?}");
    world.say("nothing of them is left on the host");
}
