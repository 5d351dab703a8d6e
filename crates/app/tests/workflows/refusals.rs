//! What a component refuses, who is told of it, and how it is mended.

use rhyzome_app::{instance, network};
use rhyzome_model::job::FailureKind;
use rhyzome_model::status::Phase;

use super::site::{Site, name};

#[tokio::test]
async fn a_lease_that_is_refused_fails_its_instance_and_asking_again_mends_it() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    site.instance("web", &["lab"]).await.expect("an instance");
    site.router.work(&site.core).await;
    let jobs = site.router.claim(&site.core).await;
    site.router
        .fail(
            &site.core,
            &jobs[0],
            FailureKind::Permanent,
            "no dnsmasq here",
        )
        .await;
    let shown = site.show("web").await.expect("it");
    assert_eq!(shown.status.phase, Phase::Failed);
    let why = instance::why(&site.core, &site.admin, &site.default, &name("web"))
        .await
        .expect("why");
    assert_eq!(
        why.summary,
        "web failed on node: the lease of web failed: no dnsmasq here"
    );

    instance::start(&site.core, &site.admin, &site.default, &name("web"))
        .await
        .expect("asked again");
    site.settle().await;
    assert_eq!(
        site.show("web").await.expect("it").status.phase,
        Phase::Ready
    );
}

#[tokio::test]
async fn an_instance_stays_failed_while_anything_that_it_needs_is_refused() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    site.instance("web", &["lab"]).await.expect("an instance");
    site.router.work(&site.core).await;
    let refused = FailureKind::Permanent;
    let leases = site.router.claim(&site.core).await;
    site.router
        .fail(&site.core, &leases[0], refused, "no dnsmasq here")
        .await;
    // The segment comes after that, and what waits for it waits for the lease as well.
    assert_eq!(site.hypervisor.work(&site.core).await, 1);
    let shown = site.show("web").await.expect("it");
    assert_eq!(shown.status.phase, Phase::Failed);
    assert_eq!(
        shown.status.conditions[0].message,
        "the lease of web failed: no dnsmasq here"
    );
}

#[tokio::test]
async fn an_instance_fails_with_the_network_that_its_lease_waits_for() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    site.instance("web", &["lab"]).await.expect("an instance");
    let networks = site.router.claim(&site.core).await;
    let refused = FailureKind::Permanent;
    site.router
        .fail(&site.core, &networks[0], refused, "no bridges here")
        .await;
    let shown = site.show("web").await.expect("it");
    assert_eq!(
        (
            shown.status.phase,
            shown.status.conditions[0].message.as_str()
        ),
        (Phase::Failed, "the network of lab failed: no bridges here")
    );
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    network::update(core, admin, default, &name("lab"), Default::default(), None)
        .await
        .expect("asked again");
    site.settle().await;
    assert_eq!(
        site.show("web").await.expect("it").status.phase,
        Phase::Ready
    );
}

#[tokio::test]
async fn asking_for_a_network_again_tries_a_segment_again_that_was_refused() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    site.instance("web", &["lab"]).await.expect("an instance");
    let segments = site.hypervisor.claim(&site.core).await;
    let refused = FailureKind::Permanent;
    site.hypervisor
        .fail(&site.core, &segments[0], refused, "no bridges here")
        .await;
    site.settle().await;
    assert_eq!(
        site.show("web").await.expect("it").status.phase,
        Phase::Failed
    );
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    network::update(core, admin, default, &name("lab"), Default::default(), None)
        .await
        .expect("asked again");
    site.settle().await;
    assert_eq!(
        site.show("web").await.expect("it").status.phase,
        Phase::Ready
    );
}
