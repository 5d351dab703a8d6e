//! What of a component is not as wanted, and why.

use rhyzome_app::{component, network, session};
use rhyzome_model::job::FailureKind;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::placement::{Found, PlacementKind, PlacementRef};
use rhyzome_model::{NetworkId, PlacementId};
use uuid::Uuid;

use super::site::{Site, name};

/// Of the router, as `kind name wanted reason: message`, and how many there are.
async fn differing(site: &Site) -> (u32, Vec<String>) {
    let shown = component::get(&site.core, &site.admin, &name("gate")).await;
    let differing = shown.expect("the router").differing;
    let said = differing.first.iter().map(|one| {
        let name = one.name.as_deref().unwrap_or("?");
        let wanted = if one.wanted { "there" } else { "gone" };
        format!(
            "{} {name} {wanted} {}: {}",
            one.kind, one.reason, one.message
        )
    });
    (differing.total, said.collect())
}

#[tokio::test]
async fn a_component_says_what_differs_from_what_is_wanted_until_nothing_does() {
    let site = Site::new().await;
    let nothing = (0, Vec::new());
    assert_eq!(differing(&site).await, nothing);
    site.network("lab").await;
    let waits = "network lab there Asked: waits for its component".to_owned();
    assert_eq!(differing(&site).await, (1, vec![waits]));

    let job = site.router.claim(&site.core).await.remove(0);
    site.router
        .fail(
            &site.core,
            &job,
            FailureKind::Transient,
            "the trunk eth1 is down",
        )
        .await;
    let retried = "network lab there Retrying: the trunk eth1 is down; it is tried again";
    assert_eq!(differing(&site).await, (1, vec![retried.to_owned()]));
    site.clock.advance(5_000);
    let job = site.router.claim(&site.core).await.remove(0);
    site.router
        .fail(
            &site.core,
            &job,
            FailureKind::Permanent,
            "VLAN 7 is somebody's",
        )
        .await;
    site.network("other").await;
    let (total, said) = differing(&site).await;
    assert_eq!(total, 2);
    assert_eq!(said[0], "network lab there Refused: VLAN 7 is somebody's");
    assert!(said[1].starts_with("network other there Asked"), "{said:?}");

    let (lab, spec) = (name("lab"), NetworkSpec::default());
    let asked_again = network::update(&site.core, &site.admin, &site.default, &lab, spec, None);
    asked_again.await.expect("asked again");
    site.settle().await;
    assert_eq!(differing(&site).await, nothing);
}

#[tokio::test]
async fn what_was_changed_by_hand_or_is_nobodys_is_told_until_it_is_mended() {
    let site = Site::new().await;
    let made = site.network("lab").await;
    site.settle().await;
    let stray = Uuid::from_u128(9);
    let found = |id: PlacementId, network: Uuid| Found {
        placement: PlacementRef {
            id,
            kind: PlacementKind::Network,
            resource: network,
            network: Some(NetworkId(network)),
        },
        generation: 1,
        observed: None,
        differs: String::new(),
    };
    let mut conn = site.core.store.read().await.expect("a connection");
    let rows = rhyzome_store::placement::of_resource(&mut conn, made.meta.id).await;
    let own = rows.expect("rows")[0].id;
    drop(conn);
    let changed = Found {
        differs: "its address is another".to_owned(),
        ..found(own, made.meta.id)
    };
    let inventory = [changed, found(PlacementId(stray), stray)];
    session::inventory(&site.core, site.router.id, &inventory)
        .await
        .expect("taken");
    let (total, said) = differing(&site).await;
    assert_eq!(total, 2, "{said:?}");
    let drifted =
        "network lab there Drifted: is not as it should be; being repaired: its address is another";
    assert!(said.contains(&drifted.to_owned()), "{said:?}");
    assert!(
        said.iter().any(|one| one.starts_with("network ? gone")),
        "{said:?}"
    );
    site.settle().await;
    assert_eq!(differing(&site).await, (0, Vec::new()));

    // What a component has mended by itself is told as well, of what it has and in its newest generation.
    let (router, other) = (site.router.id, site.hypervisor.id);
    for (of, generation, what) in [
        (router, 1, "no\0w this".to_owned()),
        (router, 1, "x".repeat(1 << 20)),
        (router, 7, "of another generation".to_owned()),
        (other, 1, "of another component".to_owned()),
    ] {
        session::mended(&site.core, of, (own, generation), &what)
            .await
            .expect("taken");
    }
    let events = rhyzome_app::event::after(&site.core, &site.admin, None, 0, 1000).await;
    let told: Vec<(String, String)> = events
        .expect("events")
        .into_iter()
        .filter(|event| ["drifted", "mended"].contains(&event.what.as_str()))
        .map(|event| (event.what, event.message))
        .collect();
    let [drifted, mended, long] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(drifted.1, "its address is another");
    assert_eq!(mended.1, "no\u{fffd}w this");
    assert!(
        long.0 == "mended" && long.1.len() < 1100,
        "{}",
        long.1.len()
    );
}
