//! Peers: what they may reach, and that losing it is acknowledged.

use base64::Engine;
use rhyzome_app::{Kind, network, peer};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::placement::PlacementKind;
use rhyzome_model::status::Phase;

use super::site::{Site, kinds, name, well_done};

fn spec(byte: u8, networks: &[&str]) -> PeerSpec {
    PeerSpec {
        public_key: base64::engine::general_purpose::STANDARD.encode([byte; 32]),
        networks: networks.iter().map(|text| name(text)).collect(),
    }
}

#[tokio::test]
async fn a_peer_is_ready_when_every_endpoint_has_said_so_and_gone_when_every_one_has() {
    let site = Site::new().await;
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    site.network("a").await;
    site.network("b").await;
    site.settle().await;
    let made = peer::create(core, admin, default, name("laptop"), spec(7, &["a", "b"]))
        .await
        .expect("a peer");
    assert_eq!(made.status.phase, Phase::Pending);
    assert_eq!(made.status.networks.len(), 2);
    let jobs = site.router.claim(core).await;
    assert_eq!(kinds(&jobs), [PlacementKind::Peer, PlacementKind::Peer]);
    site.router
        .answer(core, &jobs[0], &well_done(&jobs[0]))
        .await;
    let half = peer::get(core, admin, default, &name("laptop"))
        .await
        .expect("it");
    assert_eq!(half.status.phase, Phase::Pending);
    assert_eq!(half.status.networks.iter().filter(|n| n.ready).count(), 1);
    site.router
        .answer(core, &jobs[1], &well_done(&jobs[1]))
        .await;
    let ready = peer::get(core, admin, default, &name("laptop"))
        .await
        .expect("it");
    assert_eq!(ready.status.phase, Phase::Ready);
    assert!(ready.status.networks.iter().all(|n| n.applied_at.is_some()));

    let deleting = peer::delete(core, admin, default, &name("laptop"), None)
        .await
        .expect("deleting");
    assert_eq!(
        deleting.expect("not acknowledged yet").status.phase,
        Phase::Deleting
    );
    site.settle().await;
    let gone = peer::get(core, admin, default, &name("laptop"))
        .await
        .expect_err("gone");
    assert_eq!(gone.kind(), Kind::NotFound);
}

#[tokio::test]
async fn taking_one_network_from_a_peer_leaves_the_others_alone() {
    let site = Site::new().await;
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    site.network("a").await;
    site.network("b").await;
    peer::create(core, admin, default, name("laptop"), spec(7, &["a", "b"]))
        .await
        .expect("a peer");
    site.settle().await;
    peer::update(core, admin, default, &name("laptop"), spec(7, &["b"]), None)
        .await
        .expect("changed");
    let jobs = site.router.claim(core).await;
    assert_eq!(
        kinds(&jobs),
        [PlacementKind::Peer],
        "one removal, nothing sent again"
    );
    site.router
        .answer(core, &jobs[0], &well_done(&jobs[0]))
        .await;
    let left = peer::get(core, admin, default, &name("laptop"))
        .await
        .expect("it");
    assert_eq!(
        left.status
            .networks
            .iter()
            .map(|n| n.network.to_string())
            .collect::<Vec<_>>(),
        ["b"]
    );
    network::delete(core, admin, default, &name("a"), None)
        .await
        .expect("a is free");
    let busy = network::delete(core, admin, default, &name("b"), None)
        .await
        .expect_err("in use");
    assert_eq!(busy.public(), "the peer laptop still uses the network b");
}

#[tokio::test]
async fn a_peer_with_a_bad_key_or_an_unknown_network_is_refused() {
    let site = Site::new().await;
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    site.network("a").await;
    let create = |peer: &'static str, spec: PeerSpec| async move {
        let made = peer::create(core, admin, default, name(peer), spec).await;
        let error = made.expect_err("refused");
        (
            error.field().unwrap_or_default().to_owned(),
            error.public().to_owned(),
        )
    };
    let bad = |key: &str| PeerSpec {
        public_key: key.to_owned(),
        networks: vec![],
    };
    assert_eq!(create("x", bad("???")).await.0, "spec.public_key");
    assert_eq!(
        create("x", bad("AAAA")).await.1,
        "a public key has 32 bytes; this one has 3"
    );
    assert_eq!(create("x", spec(0, &[])).await.1, "this key is all zero");
    assert_eq!(
        create("x", spec(1, &["moon"])).await.1,
        "there is no network moon"
    );
    peer::create(core, admin, default, name("one"), spec(1, &["a"]))
        .await
        .expect("a peer");
    assert!(
        create("two", spec(1, &["a"]))
            .await
            .1
            .starts_with("the peer one has this key already")
    );
    let overlap = NetworkSpec {
        ipv4: Some("10.1.0.0/24".parse().expect("a prefix")),
        ..NetworkSpec::default()
    };
    site.try_network("c", overlap).await.expect("a network");
    assert_eq!(
        create("three", spec(3, &["c", "c"])).await.1,
        "c is named twice"
    );
}
