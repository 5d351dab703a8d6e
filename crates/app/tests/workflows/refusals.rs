//! What a component refuses, who is told of it, and how it is mended.

use rhyzome_app::{instance, network, session};
use rhyzome_model::Size;
use rhyzome_model::component::HostFacts;
use rhyzome_model::job::FailureKind;
use rhyzome_model::placement::PlacementKind;
use rhyzome_model::status::Phase;

use super::site::{Site, kinds, name};

/// A site on which an instance was asked for.
async fn asked() -> Site {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    site.instance("web", &["lab"]).await.expect("an instance");
    site
}

async fn phase(site: &Site) -> Phase {
    site.show("web").await.expect("it").status.phase
}

async fn network_is_asked_for_again(site: &Site) {
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    network::update(core, admin, default, &name("lab"), Default::default(), None)
        .await
        .expect("asked again");
    site.settle().await;
}

#[tokio::test]
async fn a_lease_that_is_refused_fails_its_instance_and_asking_again_mends_it() {
    let site = asked().await;
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
    assert_eq!(phase(&site).await, Phase::Ready);
}

#[tokio::test]
async fn an_instance_stays_failed_while_anything_that_it_needs_is_refused() {
    let site = asked().await;
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
async fn an_instance_whose_host_tries_again_fails_with_what_was_refused_meanwhile() {
    let site = asked().await;
    site.settle().await;
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    let called = name("web");
    let stopped = instance::stop(core, admin, default, &called, false).await;
    stopped.expect("asked to stop");
    let stopping = site.hypervisor.claim(core).await;
    // The router has lost all, and cannot make the lease again.
    let nothing = session::inventory(core, site.router.id, &[]).await;
    nothing.expect("taken");
    assert_eq!(site.router.work(core).await, 1, "the network");
    let leases = site.router.claim(core).await;
    let refused = FailureKind::Permanent;
    site.router
        .fail(core, &leases[0], refused, "no dnsmasq here")
        .await;
    site.hypervisor
        .fail(core, &stopping[0], FailureKind::Transient, "busy")
        .await;
    let shown = site.show("web").await.expect("it");
    assert_eq!(
        (
            shown.status.phase,
            shown.status.conditions[0].message.as_str()
        ),
        (Phase::Failed, "the lease of web failed: no dnsmasq here")
    );
}

#[tokio::test]
async fn an_instance_fails_with_the_network_that_its_lease_waits_for() {
    let site = asked().await;
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
    network_is_asked_for_again(&site).await;
    assert_eq!(phase(&site).await, Phase::Ready);
}

#[tokio::test]
async fn asking_for_a_network_again_tries_a_segment_again_that_was_refused() {
    let site = asked().await;
    let segments = site.hypervisor.claim(&site.core).await;
    let refused = FailureKind::Permanent;
    site.hypervisor
        .fail(&site.core, &segments[0], refused, "no bridges here")
        .await;
    site.settle().await;
    assert_eq!(phase(&site).await, Phase::Failed);
    network_is_asked_for_again(&site).await;
    assert_eq!(phase(&site).await, Phase::Ready);
}

#[tokio::test]
async fn a_tunnel_that_is_refused_is_shown_and_tried_again_with_its_network() {
    let mut site = Site::new().await;
    site.image().await;
    for (number, component) in [(1, &mut site.router), (2, &mut site.hypervisor)] {
        let facts = HostFacts {
            host: format!("host-{number}"),
            cpus: 2,
            memory: Size::mib(1024),
            endpoint_ports: Some((51820, 51829)),
            tunnel_address: Some([192, 0, 2, number].into()),
            ..HostFacts::default()
        };
        let session = session::connected(&site.core, component.id, &facts, "1", None).await;
        component.session = session.expect("a session");
    }
    site.network("lab").await;
    site.instance("web", &["lab"]).await.expect("an instance");
    assert_eq!(site.router.work(&site.core).await, 1);
    let tunnels = site.router.claim(&site.core).await;
    assert_eq!(kinds(&tunnels), [PlacementKind::Vtep]);
    let refused = FailureKind::Permanent;
    site.router
        .fail(&site.core, &tunnels[0], refused, "no VXLAN here")
        .await;
    site.settle().await;
    let shown = site.show("web").await.expect("it");
    assert_eq!(
        (
            shown.status.phase,
            shown.status.conditions[0].message.as_str()
        ),
        (Phase::Failed, "the vtep of lab failed: no VXLAN here")
    );
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    let lab = network::get(core, admin, default, &name("lab")).await;
    let conditions = lab.expect("it").status.conditions;
    let tunnel = conditions.iter().find(|found| found.kind == "Vtep");
    assert_eq!(tunnel.expect("the tunnel").message, "no VXLAN here");
    network_is_asked_for_again(&site).await;
    assert_eq!(phase(&site).await, Phase::Ready);
}
