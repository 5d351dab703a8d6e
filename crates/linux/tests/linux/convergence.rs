//! The component killed between any two steps.

use std::sync::Arc;

use rhyzome_component::{Driver, Progress};
use rhyzome_linux::{LinuxDriver, Step};
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::placement::{Placement, PlacementSpec};

use crate::site::{Footprint, Site, lease, network, on_a_site, settings};

fn with_egress() -> (Placement, NetworkPlacement) {
    let (placement, mut spec) = network(1);
    spec.egress = true;
    (
        Placement {
            spec: PlacementSpec::Network(spec.clone()),
            ..placement
        },
        spec,
    )
}

/// The same component, which ends before a step.
pub fn dying(site: &Site, at: Step) -> LinuxDriver {
    LinuxDriver::new(settings(site.state.path())).interrupted_by(Arc::new(move |step| step == at))
}

async fn nothing_is_left(site: &Site, before: &Footprint, when: &str) {
    let after = site.footprint().await;
    let after = Footprint {
        files: before.files.clone(),
        ..after
    };
    assert_eq!(after, *before, "{when}");
}

#[test]
fn a_network_comes_up_after_a_kill_before_any_step() {
    on_a_site(|site| async move {
        let progress = Progress::new().0;
        for step in Step::UP {
            let (network, spec) = with_egress();
            let error = dying(&site, step)
                .ensure(&network, &progress)
                .await
                .unwrap_err();
            assert!(error.chain().contains(step.as_str()), "{}", error.chain());
            let found = site
                .driver
                .inventory(std::slice::from_ref(&network))
                .await
                .unwrap();
            assert!(
                found.iter().all(|found| found.observed.is_none()),
                "{step:?} is not whole"
            );
            site.ensure(&network)
                .await
                .unwrap_or_else(|e| panic!("{step:?}: {}", e.chain()));
            site.ensure(&lease(&spec, 17, "web").0).await.unwrap();
            assert!(
                site.driver.look(&network).await.unwrap().is_ok(),
                "{step:?}"
            );
            site.remove(&network).await;
        }
    });
}

#[test]
fn a_network_goes_after_a_kill_before_any_step() {
    on_a_site(|site| async move {
        let progress = Progress::new().0;
        let before = site.footprint().await;
        for step in Step::DOWN {
            let (network, _) = with_egress();
            site.ensure(&network).await.unwrap();
            dying(&site, step)
                .remove(&network.reference(), &progress)
                .await
                .unwrap_err();
            let found = site.driver.inventory(&[]).await.unwrap();
            assert_eq!(
                found[0].placement,
                network.reference(),
                "{step:?}: what is left is still known"
            );
            site.remove(&network).await;
            nothing_is_left(&site, &before, step.as_str()).await;
        }
    });
}

#[test]
fn down_takes_everything_away_after_a_kill_before_any_step() {
    on_a_site(|site| async move {
        let progress = Progress::new().0;
        let before = site.footprint().await;
        for step in Step::UP {
            let (network, _) = with_egress();
            dying(&site, step)
                .ensure(&network, &progress)
                .await
                .unwrap_err();
            rhyzome_linux::down(site.state.path()).await.unwrap();
            nothing_is_left(&site, &before, step.as_str()).await;
            // Its records stay: it comes up again from them.
            assert!(site.state.path().join("networks").exists() || step == Step::Record);
        }
        rhyzome_linux::purge(site.state.path()).unwrap();
        assert_eq!(std::fs::read_dir(site.state.path()).unwrap().count(), 0);
    });
}

#[test]
fn down_leaves_another_component_alone() {
    on_a_site(|site| async move {
        let other = Site::new();
        let (mine, _) = with_egress();
        let (theirs, _) = {
            let (placement, mut spec) = network(2);
            spec.egress = true;
            (
                Placement {
                    spec: PlacementSpec::Network(spec.clone()),
                    ..placement
                },
                spec,
            )
        };
        site.ensure(&mine).await.unwrap();
        other.ensure(&theirs).await.unwrap();
        rhyzome_linux::down(site.state.path()).await.unwrap();
        assert!(other.driver.look(&theirs).await.unwrap().is_ok());
        assert_eq!(other.footprint().await.forwarding, "1", "it still needs it");
        rhyzome_linux::down(other.state.path()).await.unwrap();
        assert_eq!(other.footprint().await.forwarding, "0");
    });
}
