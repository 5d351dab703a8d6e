//! What somebody changes on the router, in files or only in what runs, is told, and mended.

use std::time::Duration;

use rhyzome_component::Driver;
use rhyzome_model::placement::Placement;
use rhyzome_openwrt::OpenwrtDriver;

use crate::site::{Site, lease, made, network, peer};

async fn told(driver: &OpenwrtDriver, placement: &Placement, what: &str) {
    let telling = async { while driver.changed().await.id != placement.id {} };
    let told = tokio::time::timeout(Duration::from_secs(30), telling).await;
    // Within a minute also on a slow router.
    assert!(told.is_ok(), "nothing was told: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_told_and_mended() {
    let site = Site::new();
    let driver = site.driver();
    let (network, spec) = network(2);
    let (lease, peer) = (lease(&spec, 17, "web"), peer(&spec, 2));
    for placement in [&network, &lease, &peer] {
        made(&driver, placement).await;
    }
    let section = |prefix: &str, id: uuid::Uuid| format!("{prefix}_{}", id.simple());
    let host = section("dhcp.rz_x2_host", lease.spec.resource());
    let peers_section = section("network.rz_x2_peer", peer.spec.resource());
    let key = crate::site::key_of(&peer).to_owned();
    let stranger = crate::site::key_of(&crate::site::peer(&spec, 9)).to_owned();
    let cases: [(&Placement, &str); 10] = [
        (&network, "ip addr del 10.1.2.1/24 dev rz_x2_vx"),
        (&network, "nft flush chain inet fw4 input_rz_x2"),
        (&network, "nft insert rule inet fw4 input_rz_x2 accept"),
        (&network, "/sbin/ifdown rz_x2"),
        (&network, "ip link del rz_x2_wg"),
        (&network, "ip rule del from 10.1.2.0/24"),
        (
            &network,
            "kill $(ps | awk '/usr.sbin.dnsmasq/ && !/awk/ {print $1}')",
        ),
        (&network, &format!("wg set rz_x2_wg peer {stranger}")),
        (&peer, &format!("wg set rz_x2_wg peer {key} remove")),
        (&lease, &format!("uci set {host}.ip=10.1.2.99")),
    ];
    for (placement, command) in cases {
        site.machine.output(["sh", "-c", command]);
        if command.starts_with("uci") {
            site.uci("commit");
        }
        told(&driver, placement, command).await;
        assert_eq!(driver.look(placement).await.unwrap(), None, "{command}");
        made(&driver, placement).await;
        let seen = driver.look(placement).await.unwrap();
        assert!(seen.is_some(), "{command}: it was mended");
    }
    site.uci(&format!("delete {peers_section}"));
    site.uci("commit");
    told(&driver, &peer, "the peer's section").await;
    made(&driver, &peer).await;
    assert!(site.files()["network"].contains(&key));
}
