use super::*;

/// Checks what a line sets and what is said about it.
fn check(line: &str, expect: Settings<'_>, complaints: &[&str]) {
    let mut said = Vec::new();
    let settings = parse(line, &mut |complaint| said.push(complaint.to_string()));
    assert_eq!(settings, expect, "{line}");
    assert_eq!(said, complaints, "{line}");
}

fn v4(address: [u8; 4], prefix: u8, gateway: Option<[u8; 4]>) -> Option<Network<Ipv4Addr>> {
    Some(Network {
        address: address.into(),
        prefix,
        gateway: gateway.map(Into::into),
    })
}

#[test]
fn every_key_is_read() {
    check(
        "ip=10.0.0.5/24 gw=10.0.0.1 dns=10.0.0.1 ip6=fd00::5/64 gw6=fd00::1 hostname=web network=lab mac=52:54:00:12:34:5F",
        Settings {
            ipv4: v4([10, 0, 0, 5], 24, Some([10, 0, 0, 1])),
            ipv6: Some(Network {
                address: "fd00::5".parse().unwrap(),
                prefix: 64,
                gateway: Some("fd00::1".parse().unwrap()),
            }),
            dns: Some([10, 0, 0, 1].into()),
            hostname: Some("web"),
            network: Some("lab"),
            mac: Some([0x52, 0x54, 0, 0x12, 0x34, 0x5f]),
        },
        &[],
    );
}

#[test]
fn an_empty_line_and_an_explicit_dhcp_mean_dhcp() {
    check("", Settings::default(), &[]);
    check("  \t ", Settings::default(), &[]);
    check("ip=dhcp", Settings::default(), &[]);
}

#[test]
fn the_kernel_s_path_before_the_words_is_passed_over() {
    check(
        "/tmp/hello.elf hostname=a",
        Settings {
            hostname: Some("a"),
            ..Settings::default()
        },
        &[],
    );
}

#[test]
fn unknown_words_are_named_and_the_rest_counts() {
    check(
        "quiet hostname=a root=/dev/vda /x",
        Settings {
            hostname: Some("a"),
            ..Settings::default()
        },
        &[
            "ignored the unknown word `quiet`",
            "ignored the unknown word `root=/dev/vda`",
            "ignored the unknown word `/x`",
        ],
    );
}

#[test]
fn the_first_of_two_values_counts() {
    check(
        "hostname=a hostname=b",
        Settings {
            hostname: Some("a"),
            ..Settings::default()
        },
        &["ignored `hostname=b`: the key was given before"],
    );
}

#[test]
fn a_malformed_address_falls_back_to_dhcp() {
    for value in [
        "10.0.0.5",
        "10.0.0.5/33",
        "10.0.0.5/0",
        "10.0.0.256/24",
        "10.0.0.0/24",
        "10.0.0.255/24",
        "127.0.0.1/8",
        "/24",
        "",
    ] {
        let first =
            format!("ignored `ip={value}`: ip wants an address with its prefix, like 10.0.0.5/24");
        check(
            &format!("ip={value} gw=10.0.0.1"),
            Settings::default(),
            &[&first, "IPv4 falls back to DHCP"],
        );
    }
}

#[test]
fn a_malformed_gateway_falls_back_to_dhcp() {
    check(
        "ip=10.0.0.5/24 gw=10.0.0",
        Settings::default(),
        &[
            "ignored `gw=10.0.0`: gw wants an IPv4 address",
            "IPv4 falls back to DHCP",
        ],
    );
}

#[test]
fn a_gateway_alone_is_of_no_use() {
    check(
        "gw=10.0.0.1 gw6=fd00::1",
        Settings::default(),
        &[
            "ignored `gw`: there is no address of its kind to go with it",
            "IPv4 falls back to DHCP",
            "ignored `gw6`: there is no address of its kind to go with it",
        ],
    );
}

#[test]
fn a_gateway_elsewhere_is_used_with_a_word() {
    check(
        "ip=10.0.0.5/32 gw=10.0.0.1",
        Settings {
            ipv4: v4([10, 0, 0, 5], 32, Some([10, 0, 0, 1])),
            ..Settings::default()
        },
        &["`gw` lies outside the network of the address"],
    );
    check(
        "ip=10.0.0.4/31",
        Settings {
            ipv4: v4([10, 0, 0, 4], 31, None),
            ..Settings::default()
        },
        &[],
    );
}

#[test]
fn a_link_local_gateway_is_never_elsewhere() {
    let ipv6 = Some(Network {
        address: "fd00::5".parse().unwrap(),
        prefix: 64,
        gateway: Some("fe80::1".parse().unwrap()),
    });
    check(
        "ip6=fd00::5/64 gw6=fe80::1",
        Settings {
            ipv6,
            ..Settings::default()
        },
        &[],
    );
}

#[test]
fn malformed_values_of_the_other_keys_are_left_out() {
    check(
        "ip6=fd00::5 dns=one hostname=a_b network= mac=52:54:00:12:34",
        Settings::default(),
        &[
            "ignored `ip6=fd00::5`: ip6 wants an address with its prefix, like fd00::5/64",
            "ignored `dns=one`: dns wants an address",
            "ignored `hostname=a_b`: hostname wants letters, digits, dots and hyphens, at most 63",
            "ignored `network=`: network wants at most 63 bytes",
            "ignored `mac=52:54:00:12:34`: mac wants six bytes like 52:54:00:12:34:56",
        ],
    );
    for value in [
        "52:54:00:12:34:56:78",
        "5:54:00:12:34:56",
        "gg:54:00:12:34:56",
    ] {
        let mut said = 0;
        assert_eq!(parse(&format!("mac={value}"), &mut |_| said += 1).mac, None);
        assert_eq!(said, 1);
    }
}
