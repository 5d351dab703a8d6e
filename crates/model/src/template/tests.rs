use proptest::prelude::*;

use super::*;
use crate::Size;
use crate::image::{DiskFirmware, DiskGuest, DiskLayout, Solo5Device, Solo5DeviceKind};

fn interface(number: u8) -> InterfaceValues {
    InterfaceValues {
        network: format!("lab{number}").parse().expect("a name"),
        mac: MacAddr::qemu([1, 2, number]),
        ipv4: Ipv4Addr::new(10, 0, number, 7),
        prefix4: 24,
        gateway4: Ipv4Addr::new(10, 0, number, 1),
        ipv6: format!("fd00:{number}::7").parse().expect("an address"),
        prefix6: 64,
        gateway6: format!("fd00:{number}::1").parse().expect("an address"),
        domain: format!("lab{number}.default.site"),
    }
}

fn values(format: &ImageFormat, networks: u8) -> Values<'_> {
    Values {
        hostname: "web".parse().expect("a name"),
        interfaces: (0..networks).map(interface).collect(),
        format,
    }
}

fn solo5(names: &[&str]) -> ImageFormat {
    ImageFormat::Solo5 {
        networks: names.len() as u8,
        blocks: 0,
        devices: names
            .iter()
            .map(|name| Solo5Device {
                name: (*name).to_owned(),
                kind: Solo5DeviceKind::Network,
            })
            .collect(),
    }
}

fn check_settings(format: &ImageFormat, networks: u8, template: &str, expect: &str) {
    let filled = fill(template, &values(format, networks));
    assert_eq!(filled.as_deref(), Ok(expect));
}

#[test]
fn every_known_word_is_filled_in() {
    let all: String = WORDS
        .iter()
        .chain([&HOSTNAME])
        .map(|word| format!("{{{{{word}}}}} "))
        .collect();
    assert_eq!(check(&all), Ok(()));
    assert_eq!(
        fill(&all, &values(&ImageFormat::Pvh, 1)).as_deref(),
        Ok(
            "10.0.0.7 24 255.255.255.0 10.0.0.1 10.0.0.1 52:54:00:01:02:00 fd00::7 64 fd00::1 lab0 lab0.default.site web.lab0.default.site web "
        )
    );
}

#[test]
fn an_index_picks_another_interface() {
    check_settings(
        &ImageFormat::Pvh,
        2,
        "a={{ip.0}} b={{ip.1}}/{{ prefix.1 }} {{fqdn.1}}",
        "a=10.0.0.7 b=10.0.1.7/24 web.lab1.default.site",
    );
    let pvh = ImageFormat::Pvh;
    let refused = fill("{{ip.2}}", &values(&pvh, 2)).map_err(|why| why.to_string());
    assert_eq!(
        refused,
        Err(
            "the command line uses {{ip.2}}, but the instance has 2 networks, counted from 0"
                .to_owned()
        )
    );
    for word in [
        "ip.",
        "ip.x",
        "ip.-1",
        "ip.256",
        "hostname.0",
        "network_settings.1",
    ] {
        let refused = check(&format!("{{{{{word}}}}}"));
        assert_eq!(refused, Err(InvalidTemplate::Unknown(word.to_owned())));
    }
}

#[test]
fn each_family_gets_its_network_settings_in_its_own_syntax() {
    let template = "{{network_settings}}";
    check_settings(
        &solo5(&["service"]),
        1,
        "{{network_settings}} --port=80",
        "--ipv4=10.0.0.7/24 --ipv4-gateway=10.0.0.1 --port=80",
    );
    // A single network needs no name, whatever it is called.
    check_settings(
        &solo5(&["lan"]),
        1,
        template,
        "--ipv4=10.0.0.7/24 --ipv4-gateway=10.0.0.1",
    );
    check_settings(
        &solo5(&["service", "private"]),
        2,
        template,
        "--ipv4=10.0.0.7/24 --ipv4-gateway=10.0.0.1 --private-ipv4=10.0.1.7/24 --private-ipv4-gateway=10.0.1.1",
    );
    let unikraft = ImageFormat::Unikraft { parameters: true };
    check_settings(
        &unikraft,
        1,
        template,
        "netdev.ip=10.0.0.7/24:10.0.0.1:10.0.0.1::web:lab0.default.site --",
    );
    check_settings(
        &unikraft,
        2,
        "{{network_settings}} vfs.fstab=x -- -c 80",
        "netdev.ip=10.0.0.7/24:10.0.0.1:10.0.0.1::web:lab0.default.site netdev.ip=10.0.1.7/24 vfs.fstab=x -- -c 80",
    );
    check_settings(
        &ImageFormat::Linux,
        2,
        "console=ttyS0 {{network_settings}}",
        "console=ttyS0 ip=10.0.0.7::10.0.0.1:255.255.255.0:web:eth0:off:10.0.0.1 ip=10.0.1.7:::255.255.255.0:web:eth1:off",
    );
    check_settings(
        &ImageFormat::Hermit,
        1,
        template,
        "-ip 10.0.0.7 -mask 255.255.255.0 -gateway 10.0.0.1",
    );
    check_settings(
        &ImageFormat::Osv,
        1,
        "{{network_settings}} /hello.so",
        "--ip=eth0,10.0.0.7,255.255.255.0 --defaultgw=10.0.0.1 --nameserver=10.0.0.1 /hello.so",
    );
}

#[test]
fn without_a_network_there_are_no_settings() {
    for format in [
        solo5(&[]),
        ImageFormat::Unikraft { parameters: true },
        ImageFormat::Linux,
        ImageFormat::Hermit,
        ImageFormat::Osv,
    ] {
        check_settings(&format, 0, "a {{network_settings}} b", "a  b");
    }
}

#[test]
fn settings_are_filled_in_by_themselves_where_a_family_has_no_other_way_to_them() {
    let line = "{{network_settings}}";
    assert_eq!(default_for(&solo5(&["service"]), 1), line);
    let unikraft = |parameters| ImageFormat::Unikraft { parameters };
    assert_eq!(default_for(&unikraft(true), 1), line);
    assert_eq!(default_for(&unikraft(true), 0), "");
    assert_eq!(default_for(&unikraft(false), 1), "");
    for format in [ImageFormat::Linux, ImageFormat::Hermit, ImageFormat::Pvh] {
        assert_eq!(default_for(&format, 1), "");
    }
}

#[test]
fn what_cannot_be_filled_in_is_named() {
    let pvh = ImageFormat::Pvh;
    assert_eq!(
        check("a={{ipv4}}"),
        Err(InvalidTemplate::Unknown("ipv4".to_owned()))
    );
    let refused = fill("a={{ip}}", &values(&pvh, 0)).map_err(|why| why.to_string());
    assert_eq!(
        refused,
        Err("the command line uses {{ip}}, but the instance has no network".to_owned())
    );
    assert_eq!(
        fill("{{network_settings}}", &values(&pvh, 1)),
        Err(InvalidTemplate::NoSettings { family: "pvh" })
    );
    assert_eq!(
        check_for("{{network_settings}}", &pvh),
        Err(InvalidTemplate::NoSettings { family: "pvh" })
    );
    assert_eq!(check_for("{{network_settings}}", &ImageFormat::Osv), Ok(()));
    let disk = ImageFormat::Disk {
        layout: DiskLayout::Raw,
        size: Size::mib(64),
        firmware: DiskFirmware::Bios,
        guest: Some(DiskGuest::Nanos),
    };
    assert_eq!(fill("", &values(&disk, 1)).as_deref(), Ok(""));
    let nanos = InvalidTemplate::Disk { family: "nanos" };
    assert_eq!(fill("x", &values(&disk, 1)), Err(nanos.clone()));
    assert_eq!(check_for("x", &disk), Err(nanos));
    assert_eq!(check("a={{ip"), Err(InvalidTemplate::Open));
    assert_eq!(check("a\nb"), Err(InvalidTemplate::Control(1)));
    assert_eq!(
        check(&"x".repeat(2049)),
        Err(InvalidTemplate::TooLong(2049))
    );
}

#[test]
fn a_netmask_follows_from_any_prefix() {
    let mask = |prefix4| {
        let mut interface = interface(0);
        interface.prefix4 = prefix4;
        interface.netmask().to_string()
    };
    assert_eq!(
        [0, 8, 25, 32].map(mask),
        ["0.0.0.0", "255.0.0.0", "255.255.255.128", "255.255.255.255"]
    );
}

proptest! {
    #[test]
    fn any_template_is_refused_or_filled_in(template in "(\\{\\{|\\}\\}|[a-z_. ]|ip|network_settings|\\PC){0,24}") {
        let pvh = ImageFormat::Linux;
        let checked = check(&template);
        let filled = fill(&template, &values(&pvh, 2));
        if checked.is_err() {
            prop_assert!(filled.is_err());
        }
    }
}
