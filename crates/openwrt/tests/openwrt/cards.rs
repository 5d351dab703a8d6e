//! Networks that are network cards of the router: found by their MACs when they are plugged in and at each start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rhyzome_component::Driver;
use rhyzome_model::network::{NetworkPlacement, router_mac};
use rhyzome_model::placement::{Placement, PlacementSpec};
use rhyzome_model::segment::{Segment, Segmentation};
use rhyzome_test_router::Router as Machine;

use crate::site::{Site, ensure, made, network, placed, removed};

/// As images have it that are prepared.
const SCRIPT: &str = include_str!("../../../openwrt-image/files/rhyzome-nics.init");
const CONFIGURATION: &str = "config component 'main'\n\toption segmentation 'port'\n\n\
    config nic 'uplink'\n\toption device 'uplink'\n\toption mac '52:54:00:aa:00:00'\n";
const NETWORK: &str = "config interface 'loopback'\n\toption device 'lo'\n\toption proto 'static'\n\
    \toption ipaddr '127.0.0.1'\n\toption netmask '255.0.0.0'\n\n\
    config interface 'wan'\n\toption device 'uplink'\n\toption proto 'static'\n\toption ipaddr '192.0.2.1'\n\
    \toption netmask '255.255.255.0'\n";

/// A router that networks' cards are plugged into.
fn site() -> Site {
    let builder = Machine::builder().nics(1).config("network", NETWORK);
    let machine = builder.config("rhyzome", CONFIGURATION).start();
    let script = machine.path("/etc/init.d/rhyzome-nics");
    fs::write(&script, SCRIPT).unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    machine.output(["/etc/init.d/rhyzome-nics", "enable"]);
    let mut site = Site::on(machine);
    site.machine.reboot();
    site
}

fn on_a_card(number: u8) -> (Placement, NetworkPlacement) {
    let (_, mut spec) = network(number);
    spec.segment = Segment::Port(u32::from(number).try_into().unwrap());
    (placed(PlacementSpec::Network(spec.clone())), spec)
}

fn plug(site: &mut Site, network: &NetworkPlacement) {
    site.machine.plug(&router_mac(network.network).to_string());
}

/// The MAC of a link, by its name.
fn mac_of(site: &Site, name: &str) -> Option<String> {
    let path = site.machine.path(format!("/sys/class/net/{name}/address"));
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn is_named(site: &Site, network: &NetworkPlacement) {
    let name = format!("rz_p{}", network.segment.number());
    let mac = router_mac(network.network).to_string();
    assert_eq!(mac_of(site, &name), Some(mac));
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_have_their_networks_names_when_they_come_and_at_each_start() {
    let mut site = site();
    let driver = site.driver();
    let facts = driver.facts().await.unwrap();
    assert_eq!(facts.segmentations.first(), Some(&Segmentation::Port));
    let [first, middle, last] = [1, 2, 3].map(on_a_card);
    for (placement, spec) in [&first, &middle, &last] {
        plug(&mut site, spec);
        made(&driver, placement).await;
        is_named(&site, spec);
    }
    removed(&driver, &middle.0).await;
    let gone = router_mac(middle.1.network).to_string();
    site.machine.unplug(&gone);
    let stranger = "02:00:00:00:99:99";
    site.machine.plug(stranger);
    drop(driver);

    site.machine.reboot();
    for (_, spec) in [&first, &last] {
        is_named(&site, spec);
    }
    assert_eq!(mac_of(&site, "rz_p2"), None);
    assert_eq!(mac_of(&site, "rz_020000009999").as_deref(), Some(stranger));
    let driver = site.driver();
    for (placement, _) in [&first, &last] {
        let looking = async {
            while driver.look(placement).await.unwrap().is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let looked = tokio::time::timeout(Duration::from_secs(30), looking).await;
        assert!(looked.is_ok(), "{placement:?} is not as it was");
    }

    // Pulled out and put back by hand, and taken for something else meanwhile.
    let mac = router_mac(last.1.network).to_string();
    site.machine.unplug(&mac);
    assert!(driver.look(&last.0).await.unwrap().is_err());
    site.machine.plug(&mac);
    made(&driver, &last.0).await;
    is_named(&site, &last.1);
    let bridge = "ip link add br-x type bridge && ip link set rz_p3 master br-x";
    site.machine.output(["sh", "-c", bridge]);
    assert!(driver.look(&last.0).await.unwrap().is_err());
    made(&driver, &last.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_without_its_card_is_refused_and_nothing_of_it_is_left() {
    let mut site = site();
    site.times.settle = Duration::from_secs(2);
    let driver = site.driver();
    let before = site.files();
    let (placement, spec) = on_a_card(7);
    let refused = ensure(&driver, &placement).await.unwrap_err().chain();
    let why = format!(
        "no network card with the MAC {} is called rz_p7",
        router_mac(spec.network)
    );
    assert!(refused.contains(&why), "{refused}");
    assert_eq!(site.files(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_takes_cards_by_their_numbers_offers_no_cards_of_networks() {
    let site = site();
    let offers = async || {
        let facts = site.driver().facts().await.unwrap();
        let why = facts.details.get("segmentation").cloned();
        (facts.segmentations.contains(&Segmentation::Port), why)
    };
    assert_eq!(offers().await, (true, None));
    site.uci("set network.lan=interface");
    site.uci("set network.lan.device=eth1.40");
    site.uci("commit");
    let (can, why) = offers().await;
    assert!(!can);
    assert!(why.unwrap().starts_with("/etc/config/network takes eth1"));
    fs::remove_file(site.machine.path("/etc/init.d/rhyzome-nics")).unwrap();
    let (can, why) = offers().await;
    assert!(!can && why.unwrap().contains("rhyzome openwrt prepare"));
}
