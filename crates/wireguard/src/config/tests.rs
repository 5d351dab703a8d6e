//! Writing and reading configurations.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const PRIVATE: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
const PUBLIC: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

fn whole() -> String {
    format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.9.0.2/32, fd00:9::2/128\n\
         DNS = 10.1.0.1, lab.example\nMTU = 1380\n\n\
         [Peer]\nPublicKey = {PUBLIC}\nEndpoint = vpn.example:51820\n\
         AllowedIPs = 10.1.0.0/24, fd00:1::/64\nPersistentKeepalive = 25\n"
    )
}

#[test]
fn the_text_that_is_written_is_the_text_that_was_read() {
    let config = ClientConfig::parse(&whole()).unwrap();
    assert_eq!(config.to_text().as_str(), whole());
    assert_eq!(config.dns, ["10.1.0.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(config.search, ["lab.example"]);
}

#[test]
fn case_comments_and_bare_addresses_are_accepted() {
    let text = format!(
        "# mine\n[interface]\nprivatekey={PRIVATE} # secret\naddress=10.9.0.2\nADDRESS=fd00::2\n\
         [PEER]\nendpoint=[2001:db8::1]:1\npublickey={PUBLIC}\nallowedips=10.1.0.7/24\n\
         persistentkeepalive=off\n"
    );
    let config = ClientConfig::parse(&text).unwrap();
    assert_eq!(config.addresses[0], "10.9.0.2/32".parse().unwrap());
    assert_eq!(config.addresses[1], "fd00::2/128".parse().unwrap());
    assert_eq!(
        config.peers[0].allowed_ips,
        ["10.1.0.0/24".parse().unwrap()]
    );
    assert_eq!(config.peers[0].endpoint.host(), "2001:db8::1");
    assert_eq!(config.peers[0].keepalive, None);
}

#[test]
fn what_is_wrong_is_said_with_line_and_key() {
    let check = |from: &str, to: &str, expected: &str| {
        let text = whole().replacen(from, to, 1);
        assert_ne!(text, whole(), "{from} is not in the text");
        let error = ClientConfig::parse(&text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        "MTU = 1380",
        "MTU = 900",
        "line 5, MTU: '900' is not a number from 1280 to 9000",
    );
    check(
        "MTU = 1380",
        "PostUp = reboot",
        "line 5, PostUp: unknown key",
    );
    check("MTU = 1380", "MTU", "line 5, MTU: expected KEY = VALUE");
    check("MTU = 1380", "MTU =", "line 5, MTU: has no value");
    check(
        "MTU = 1380",
        "[Bridge]",
        "line 5, [Bridge]: unknown section, expected [Interface] or [Peer]",
    );
    check(
        "MTU = 1380",
        "[Interface]",
        "line 5, [Interface]: already given",
    );
    check(
        "MTU = 1380",
        &format!("PrivateKey = {PRIVATE}"),
        "line 5, PrivateKey: already given",
    );
    check(
        "[Interface]",
        "",
        "line 2, PrivateKey: before the first section",
    );
    check("PrivateKey = ", "# ", "line 1, PrivateKey: missing");
    check(
        "PublicKey = ",
        "PublicKey = x",
        "line 8, PublicKey: not a key",
    );
    check(
        "vpn.example:51820",
        "vpn.example",
        "line 9, Endpoint: not a host and port",
    );
    check(
        "10.1.0.0/24",
        "10.1.0.0/33",
        "line 10, AllowedIPs: '10.1.0.0/33' is not an IP prefix",
    );
    check(
        "lab.example",
        "lab/example",
        "line 4, DNS: 'lab/example' is neither an address nor a domain",
    );
    check(
        "PersistentKeepalive = 25",
        &format!("[Peer]\nPublicKey = {PUBLIC}\nEndpoint = a:1"),
        "line 11, PublicKey: already given",
    );
    assert_eq!(
        ClientConfig::parse("").unwrap_err().to_string(),
        "line 1, [Interface]: missing"
    );
}

#[test]
fn two_peers_cannot_own_one_prefix() {
    let other = PrivateKey::generate(&mut StdRng::seed_from_u64(3)).public_key();
    let text = format!(
        "{}\n[Peer]\nPublicKey = {other}\nEndpoint = b:2\nAllowedIPs = fd00:1::/64\n",
        whole()
    );
    let error = ClientConfig::parse(&text).unwrap_err();
    assert_eq!(
        error.problem,
        Problem::Taken("fd00:1::/64".parse().unwrap())
    );
}

#[test]
fn hosts_and_ports_are_checked() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let parsed = text.parse::<HostPort>();
        let shown = parsed.map(|h| h.to_string()).map_err(|e| e.to_string());
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text}");
    };
    check("a.example:1", Ok("a.example:1"));
    check("192.0.2.1:51820", Ok("192.0.2.1:51820"));
    check("[2001:db8::1]:51820", Ok("[2001:db8::1]:51820"));
    check(
        "2001:db8::1:51820",
        Err("no port: expected HOST:PORT, or [IPV6]:PORT"),
    );
    check(
        "a.example",
        Err("no port: expected HOST:PORT, or [IPV6]:PORT"),
    );
    check("a.example:0", Err("'0' is not a port from 1 to 65535"));
    check(
        "a.example:70000",
        Err("'70000' is not a port from 1 to 65535"),
    );
    check(":1", Err("'' is neither an address nor a host name"));
    check("a b:1", Err("'a b' is neither an address nor a host name"));
}

fn any_net() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<[u8; 4]>(), 0..=32u8)
        .prop_map(|(a, len)| IpNet::V4(Ipv4Net::new(a.into(), len).expect("at most 32")));
    let v6 = (any::<[u8; 16]>(), 0..=128u8)
        .prop_map(|(a, len)| IpNet::V6(Ipv6Net::new(a.into(), len).expect("at most 128")));
    prop_oneof![v4, v6]
}

prop_compose! {
    fn any_peer()(
        seed in any::<u64>(),
        shared in any::<bool>(),
        host in prop_oneof![
            "[a-z][a-z0-9-]{0,9}(\\.[a-z]{2,5})?",
            any::<[u8; 16]>().prop_map(|a| Ipv6Addr::from(a).to_string()),
        ],
        port in 1..=u16::MAX,
        nets in proptest::collection::vec(any_net(), 0..4),
        keepalive in proptest::option::of(1..=u16::MAX),
    ) -> PeerConfig {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut allowed_ips: Vec<IpNet> = nets.iter().map(IpNet::trunc).collect();
        allowed_ips.sort();
        allowed_ips.dedup();
        PeerConfig {
            public_key: PrivateKey::generate(&mut rng).public_key(),
            preshared_key: shared.then(|| PresharedKey::generate(&mut rng)),
            endpoint: HostPort::new(&host, port).expect("the strategy makes hosts"),
            allowed_ips,
            keepalive,
        }
    }
}

prop_compose! {
    fn any_config()(
        seed in any::<u64>(),
        addresses in proptest::collection::vec(any_net(), 0..3),
        dns in proptest::collection::vec(any_net(), 0..3),
        search in proptest::collection::vec("[a-z]{1,8}\\.[a-z]{2,5}", 0..3),
        mtu in proptest::option::of(MIN_MTU..=MAX_MTU),
        peers in proptest::collection::vec(any_peer(), 0..4),
    ) -> ClientConfig {
        let mut config = ClientConfig {
            private_key: PrivateKey::generate(&mut StdRng::seed_from_u64(seed)),
            addresses,
            dns: dns.iter().map(IpNet::addr).collect(),
            search,
            mtu,
            peers,
        };
        // A configuration gives each prefix and each key to one peer.
        let mut nets = Vec::new();
        let mut keys = Vec::new();
        config.peers.retain(|p| {
            let fresh = !keys.contains(&p.public_key) && !p.allowed_ips.iter().any(|n| nets.contains(n));
            keys.push(p.public_key);
            nets.extend(p.allowed_ips.clone());
            fresh
        });
        config
    }
}

proptest! {
    #[test]
    fn any_configuration_survives_its_own_text(config in any_config()) {
        let again = ClientConfig::parse(&config.to_text());
        prop_assert_eq!(again, Ok(config));
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "(\\[(Interface|Peer)\\]|[A-Za-z]{1,10} ?= ?[ -~]{0,20}|[ -~]{0,20}|\n){0,12}") {
        // Whatever is accepted can be written and read again.
        if let Ok(config) = ClientConfig::parse(&text) {
            prop_assert_eq!(ClientConfig::parse(&config.to_text()), Ok(config));
        }
    }
}
