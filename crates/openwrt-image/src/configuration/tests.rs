use super::*;
use crate::samples::settings;

fn net(text: &str) -> Package {
    Package::read("network".parse().unwrap(), text).unwrap()
}

#[test]
fn the_component_finds_how_it_joins_and_its_cards() {
    insta::assert_snapshot!(component(&settings(Segmentation::Vlan)).text());
}

#[test]
fn a_fresh_image_gets_an_uplink_and_no_lan() {
    let fresh = network(None, &Uplink::Automatic, Segmentation::Vlan);
    insta::assert_snapshot!(fresh.text());
}

#[test]
fn a_uplink_with_an_address_of_its_own_asks_nobody() {
    let uplink = |address: &str, gateway: &str| Uplink::Static {
        address: address.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
        dns: vec!["192.0.2.53".parse().unwrap()],
    };
    let v4 = uplink("192.0.2.7/24", "192.0.2.1");
    insta::assert_snapshot!(network(Some(&net("")), &v4, Segmentation::Port).text());
    let v6 = uplink("2001:db8::7/64", "2001:db8::1");
    insta::assert_snapshot!(network(Some(&net("")), &v6, Segmentation::Port).text());
}

#[test]
fn what_an_image_has_configured_already_stays() {
    let before = net(
        "config interface lan\n option device br-lan\nconfig interface wan\n option device eth1\n\
         option proto pppoe\nconfig route\n option target 10.0.0.0/8\nconfig interface trunk\n",
    );
    let after = network(Some(&before), &Uplink::Automatic, Segmentation::Port);
    let names: Vec<Option<&str>> = after
        .sections()
        .iter()
        .map(|section| section.name().map(rhyzome_uci::Name::as_str))
        .collect();
    let expect = [Some("lan"), None, Some("trunk"), Some("wan"), Some("wan6")];
    assert_eq!(names, expect);
    let wan = after.section(&"wan".parse().unwrap()).unwrap();
    assert_eq!(wan.text_of("device"), Some("uplink"));
    assert_eq!(wan.text_of("proto"), Some("dhcp"));
}
