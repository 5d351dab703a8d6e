//! What somebody changes on the router, in files or only in what runs, is told, and mended.

use std::time::Duration;

use rhyzome_component::{Differs, Driver};
use rhyzome_model::placement::Placement;
use rhyzome_openwrt::OpenwrtDriver;
use rhyzome_wireguard::key::PrivateKey;

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
    let secret = PrivateKey::generate(&mut rand::rng()).to_base64();
    let cases: [(&Placement, &str, &str); 11] = [
        (
            &network,
            "ip addr del 10.1.2.1/24 dev rz_x2_vx",
            "rz_x2_vx has not the address 10.1.2.1/24",
        ),
        (
            &network,
            "nft flush chain inet fw4 input_rz_x2",
            "the firewall's rule is missing",
        ),
        (
            &network,
            "nft insert rule inet fw4 input_rz_x2 accept",
            "a rule that fw4 did not make",
        ),
        (
            &network,
            "/sbin/ifdown rz_x2",
            "the interface rz_x2 is not up",
        ),
        (
            &network,
            "ip link del rz_x2_wg",
            "there is no link rz_x2_wg",
        ),
        (
            &network,
            "ip rule del from 10.1.2.0/24",
            "what comes from 10.1.2.0/24",
        ),
        (
            &network,
            "kill $(ps | awk '/usr.sbin.dnsmasq/ && !/awk/ {print $1}')",
            "dnsmasq does not",
        ),
        (
            &network,
            &format!("wg set rz_x2_wg peer {stranger}"),
            &stranger,
        ),
        (
            &network,
            &format!("uci set network.rz_x2_wg.private_key={}", *secret),
            "/etc/config/network: to mend it, set rz_x2_wg.private_key=…",
        ),
        (&peer, &format!("wg set rz_x2_wg peer {key} remove"), &key),
        (
            &lease,
            &format!("uci set {host}.ip=10.1.2.99"),
            "ip='10.1.2.17' instead of '10.1.2.99'",
        ),
    ];
    let ours = site.uci("get network.rz_x2_wg.private_key");
    for (placement, command, what) in cases {
        site.machine.output(["sh", "-c", command]);
        if command.starts_with("uci") {
            site.uci("commit");
        }
        told(&driver, placement, command).await;
        let Err(Differs(said)) = driver.look(placement).await.unwrap() else {
            panic!("{command}: it is as it should be")
        };
        assert!(said.contains(what), "{command}: {said}");
        for key in [ours.trim(), &secret] {
            assert!(!said.contains(key), "a secret is told: {said}");
        }
        made(&driver, placement).await;
        let seen = driver.look(placement).await.unwrap();
        assert!(seen.is_ok(), "{command}: it was mended");
    }
    site.uci(&format!("delete {peers_section}"));
    site.uci("commit");
    told(&driver, &peer, "the peer's section").await;
    made(&driver, &peer).await;
    assert!(site.files()["network"].contains(&key));
}
