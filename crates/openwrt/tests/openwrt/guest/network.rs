//! What passes through the router that the driver has configured, and what does not.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns};
use rhyzome_component::Driver;
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::placement::Observed;
use rhyzome_openwrt::{OpenwrtDriver, Step};
use rhyzome_test_router::Router;
use rhyzome_wireguard::key::PrivateKey;

use super::{LAB, on_a_device, run, vlan};
use crate::site::{Site, device, ensure, made, peer_with, removed};

/// The last part of a machine's addresses in its network.
const HOST: u8 = 200;
/// A port of the router's own.
const SERVICE: u16 = 8022;
const ANY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
/// The router, from outside.
const ROUTER: &str = "192.0.2.1";

/// A machine: a namespace of its name.
struct Place(&'static str);

impl Place {
    fn new(name: &'static str) -> Self {
        command(&format!("ip netns add {name}"));
        Self(name)
    }

    fn ip(&self, words: &str) {
        command(&format!("ip -n {} {words}", self.0));
    }

    fn run(&self, line: &str) -> Command {
        words(&format!("ip netns exec {} {line}", self.0))
    }

    /// With one packet.
    fn pings(&self, address: impl Into<IpAddr>) -> bool {
        self.succeeds(&format!("busybox ping -c 1 -W 2 {}", address.into()))
    }

    /// Sends a datagram to the port of the router's own service.
    fn asks(&self, router: IpAddr) {
        let namespace = File::open(format!("/run/netns/{}", self.0)).unwrap();
        let sends = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let socket = UdpSocket::bind((ANY, 0)).unwrap();
            socket.send_to(b"?", (router, SERVICE)).unwrap();
        };
        std::thread::spawn(sends).join().unwrap();
    }

    fn succeeds(&self, line: &str) -> bool {
        let output = self.run(line).stdin(Stdio::null()).output();
        output.unwrap().status.success()
    }

    /// Counts what it gets from elsewhere than a network, and from its router.
    fn count(&self, network: &NetworkPlacement) {
        let (prefix, router) = (network.ipv4, network.router_ipv4());
        for rule in [
            "table ip seen".to_owned(),
            "chain ip seen arriving { type filter hook prerouting priority 0 ; }".to_owned(),
            format!("rule ip seen arriving ip saddr != {prefix} counter"),
            format!("rule ip seen arriving ip saddr {router} counter"),
        ] {
            command(&format!("ip netns exec {} nft add {rule}", self.0));
        }
    }

    fn counted(&self) -> [u64; 2] {
        let output = self.run("nft list table ip seen").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let counts = text.split("packets ").skip(1).map(|rest| {
            let count = rest.split(' ').next().unwrap();
            count.parse().unwrap()
        });
        let counts: Vec<u64> = counts.collect();
        counts.try_into().unwrap()
    }
}

fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

fn command(line: &str) {
    let output = words(line).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
}

fn host_ipv4(network: &NetworkPlacement) -> Ipv4Addr {
    let [a, b, c, _] = network.ipv4.network().octets();
    [a, b, c, HOST].into()
}

fn host_ipv6(network: &NetworkPlacement) -> Ipv6Addr {
    let mut octets = network.ipv6.network().octets();
    octets[15] = HOST;
    octets.into()
}

/// A machine on the trunk, in a network's VLAN.
fn host(site: &Site, name: &'static str, network: &NetworkPlacement) -> Place {
    let place = Place::new(name);
    let (cable, number) = (site.machine.neighbour(2), network.segment.number());
    cable.ip(&format!(
        "link add link wire name {name} type vlan id {number}"
    ));
    cable.ip(&format!("link set {name} netns {name}"));
    let (four, six) = (host_ipv4(network), host_ipv6(network));
    place.ip(&format!("address add {four}/24 dev {name}"));
    place.ip(&format!("address add {six}/64 dev {name} nodad"));
    place.ip(&format!("link set {name} up"));
    let (four, six) = (network.router_ipv4(), network.router_ipv6());
    place.ip(&format!("route add default via {four}"));
    place.ip(&format!("-6 route add default via {six}"));
    place
}

/// A device outside with the kernel's WireGuard, all of whose packets go into the tunnel.
fn member(
    site: &Site,
    name: &'static str,
    network: &NetworkPlacement,
    (key, endpoint): (&PrivateKey, &str),
    number: u8,
) -> Place {
    let place = Place::new(name);
    let street = site.machine.neighbour(1);
    // Its socket stays where it was made.
    street.ip(&format!("link add {name} type wireguard"));
    let file = format!("/tmp/{name}");
    std::fs::write(&file, key.to_base64().as_bytes()).unwrap();
    let port = network.endpoint_port;
    let line = format!(
        "wg set {name} private-key {file} peer {endpoint} endpoint {ROUTER}:{port} allowed-ips 0.0.0.0/0,::/0"
    );
    let set = street.run(line.split(' '));
    assert!(set.status.success(), "{set:?}");
    street.ip(&format!("link set {name} netns {name}"));
    place.ip(&format!("address add 10.200.0.{number}/32 dev {name}"));
    place.ip(&format!(
        "address add fd00:1:3::{number:x}/128 dev {name} nodad"
    ));
    place.ip(&format!("link set {name} mtu 1280 up"));
    place.ip(&format!("route add default dev {name}"));
    place.ip(&format!("-6 route add default dev {name}"));
    place
}

/// Makes a network; gives the key of its endpoint, which is the kernel's.
async fn endpoint(driver: &OpenwrtDriver, number: u8) -> (NetworkPlacement, String) {
    let (placement, spec) = vlan(number);
    let Observed::Network(observed) = made(driver, &placement).await else {
        panic!("a network is observed");
    };
    assert_eq!(observed.endpoint_kind, "kernel");
    (spec, observed.endpoint_key)
}

fn reaches(site: &Site, place: &Place, address: impl Into<IpAddr> + Copy) {
    let what = format!("{} reaches {}", place.0, address.into());
    site.machine.wait_for(&what, |_| place.pings(address));
}

#[test]
fn networks_of_one_trunk_are_apart_and_peers_disturb_nobody() {
    LAB.run(|| {
        run(async {
            let site = on_a_device();
            let driver = site.driver();
            site.machine
                .neighbour(1)
                .ip("address add 192.0.2.30/24 dev wire");
            let (red, red_key) = endpoint(&driver, 1).await;
            let (blue, _) = endpoint(&driver, 2).await;
            let key = PrivateKey::generate(&mut rand::rng());
            made(&driver, &peer_with(&key, &red, 2)).await;
            let first = member(&site, "first", &red, (&key, &red_key), 2);
            let (inside, stranger) = (host(&site, "inside", &red), host(&site, "stranger", &blue));
            stranger.count(&blue);
            let service = site.machine.inside(|| UdpSocket::bind((ANY, SERVICE)));
            let service = service.unwrap();
            service.set_nonblocking(true).unwrap();
            networks_are_apart(&site, [(&red, &inside), (&blue, &stranger)], &first);
            nothing_opens_for_a_moment(&site, [(&red, &inside), (&blue, &stranger)], &first).await;
            peers_disturb_nobody(&site, &driver, &red, &red_key, &first).await;
            // It was the rules alone that kept them apart.
            site.machine.output(["nft", "flush", "ruleset"]);
            reaches(&site, &inside, host_ipv4(&blue));
            let hears = || service.recv(&mut [0]).is_ok();
            assert!(!hears(), "a service of the router's own is reached");
            for router in [red.router_ipv4().into(), red.router_ipv6().into()] {
                inside.asks(router);
                site.machine.wait_for("nobody listens", |_| hears());
            }
        });
    });
}

/// How many packets from a zone the router has dropped and refused: those for itself, and those for elsewhere.
fn dropped(site: &Site, zone: &str) -> [u64; 2] {
    let count = |chain: String, said: &str| {
        let list = ["nft", "list", "chain", "inet", "fw4", &chain];
        let text = site.machine.output(list);
        let rules = text.lines().filter(|line| line.contains(said));
        let count = |rule: &str| -> u64 {
            let (_, rest) = rule.split_once("counter packets ").expect("it is counted");
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let counts: Vec<u64> = rules.map(count).collect();
        assert!(!counts.is_empty(), "{said}: {text}");
        counts.into_iter().sum()
    };
    [
        count(format!("drop_from_{zone}"), " drop "),
        count(format!("forward_{zone}"), ": nothing else"),
    ]
}

fn networks_are_apart(
    site: &Site,
    [(red, inside), (blue, stranger)]: [(&NetworkPlacement, &Place); 2],
    peer: &Place,
) {
    reaches(site, inside, red.router_ipv4());
    reaches(site, inside, red.router_ipv6());
    reaches(site, stranger, blue.router_ipv4());
    reaches(site, stranger, blue.router_ipv6());
    for address in [host_ipv4(red).into(), IpAddr::from(host_ipv6(red))] {
        reaches(site, peer, address);
    }
    // Who is not reached from the other network is there.
    for network in [red, blue] {
        let address = host_ipv4(network).to_string();
        site.machine.output(["ping", "-c", "1", &address]);
    }
    let [_, before] = stranger.counted();
    assert!(before > 0, "nothing is counted");
    let outside: IpAddr = ROUTER.parse().unwrap();
    for (from, zone, own, to) in [
        (inside, device(red), red, blue),
        (peer, format!("{}_wg", device(red)), red, blue),
        (stranger, device(blue), blue, red),
    ] {
        let before = dropped(site, &zone);
        for address in [
            host_ipv4(to).into(),
            host_ipv6(to).into(),
            to.router_ipv4().into(),
            to.router_ipv6().into(),
            outside,
        ] {
            assert!(!from.pings(address), "{} reaches {address}", from.0);
        }
        from.asks(own.router_ipv4().into());
        from.asks(own.router_ipv6().into());
        let [input, forward] = before;
        site.machine.wait_for("it is counted", |_| {
            dropped(site, &zone) == [input + 5, forward + 2]
        });
    }
    assert!(!stranger.pings([10, 200, 0, 2]), "it reaches a peer");
    // Also where it says that it is of the other network.
    inside.ip("address add 10.1.2.201/32 dev inside");
    inside.ip("route add 10.1.2.0/24 via 10.1.1.1 src 10.1.2.201");
    assert!(!inside.pings(host_ipv4(blue)));
    let [foreign, _] = stranger.counted();
    assert_eq!(foreign, 0, "something comes through");
    inside.ip("route del 10.1.2.0/24");
}

/// An instance and a peer ask for the other network all the while.
async fn nothing_opens_for_a_moment(
    site: &Site,
    [(red, inside), (blue, stranger)]: [(&NetworkPlacement, &Place); 2],
    peer: &Place,
) {
    let ping = format!("busybox ping -i 0.1 {}", host_ipv4(blue));
    let asks = |from: &Place| from.run(&ping).stdout(Stdio::piped()).spawn().unwrap();
    let asking = [inside, peer].map(asks);
    let zones = [device(red), format!("{}_wg", device(red))];
    for _ in 0..3 {
        site.machine.output(["/etc/init.d/firewall", "reload"]);
    }
    // What a killed component did is put back by the next one.
    let (third, _) = vlan(3);
    let killed = ensure(&site.dying(Step::Verify), &third).await;
    killed.unwrap_err();
    site.driver().inventory(&[]).await.unwrap();
    let [foreign, _] = stranger.counted();
    assert_eq!(foreign, 0, "something comes through");
    for zone in &zones {
        let many = |_: &Router| dropped(site, zone)[1] > 20;
        site.machine.wait_for("it is counted", many);
    }
    for mut asking in asking {
        assert_eq!(answered(&mut asking), [0; 0], "of {ping}");
    }
}

async fn peers_disturb_nobody(
    site: &Site,
    driver: &OpenwrtDriver,
    red: &NetworkPlacement,
    endpoint: &str,
    first: &Place,
) {
    let router = red.router_ipv4();
    let tunnel = format!("{}_wg", device(red));
    let session = || {
        let handshakes = site
            .machine
            .output(["wg", "show", &tunnel, "latest-handshakes"]);
        let link = site.machine.output(["ip", "-o", "link", "show", &tunnel]);
        let mut all: Vec<String> = handshakes.lines().map(str::to_owned).collect();
        all.push(link.split(':').next().unwrap().to_owned());
        all
    };
    let before = session();
    let mut asking = first
        .run(&format!("busybox ping -i 0.2 {router}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let key = PrivateKey::generate(&mut rand::rng());
    let placement = peer_with(&key, red, 3);
    made(driver, &placement).await;
    let second = member(site, "second", red, (&key, endpoint), 3);
    reaches(site, &second, router);
    nobody_passes_for_another(site, (first, &second), &tunnel, red);
    removed(driver, &placement).await;
    assert!(!second.pings(router), "it was removed");
    let answered = answered(&mut asking);
    assert!(answered.len() > 10, "{answered:?}");
    let all: Vec<usize> = (0..answered.len()).collect();
    assert_eq!(answered, all, "some were lost");
    assert_eq!(session(), before, "the session is another one");
}

/// What comes with another peer's address ends in WireGuard's device, which counts it.
fn nobody_passes_for_another(
    site: &Site,
    (thief, other): (&Place, &Place),
    tunnel: &str,
    network: &NetworkPlacement,
) {
    let wrong = || {
        let text = site
            .machine
            .output(["ip", "-s", "-s", "link", "show", tunnel]);
        let mut lines = text.lines().skip_while(|line| !line.contains("frame"));
        let (names, counts) = (lines.next().unwrap(), lines.next().unwrap());
        // "RX errors:" is the first of the names.
        let at = names
            .split_whitespace()
            .skip(2)
            .position(|name| name == "frame");
        let count = counts.split_whitespace().nth(at.unwrap());
        count.unwrap().parse::<u64>().unwrap()
    };
    thief.ip(&format!("address add 10.200.0.3/32 dev {}", thief.0));
    thief.ip(&format!(
        "address add fd00:1:3::3/128 dev {} nodad",
        thief.0
    ));
    let before = wrong();
    for (own, to) in [
        ("10.200.0.3", IpAddr::from(host_ipv4(network))),
        ("fd00:1:3::3", host_ipv6(network).into()),
    ] {
        let ping = format!("busybox ping -c 1 -W 2 -I {own} {to}");
        assert!(other.succeeds(&ping), "{} as itself", other.0);
        assert!(!thief.succeeds(&ping), "{} as {own}", thief.0);
    }
    assert_eq!(wrong(), before + 2, "it is not counted");
    thief.ip(&format!("address del 10.200.0.3/32 dev {}", thief.0));
    thief.ip(&format!("address del fd00:1:3::3/128 dev {}", thief.0));
}

/// Ends a ping; gives the numbers of what was answered.
fn answered(ping: &mut Child) -> Vec<usize> {
    command(&format!("busybox kill -INT {}", ping.id()));
    let mut text = String::new();
    ping.stdout
        .as_mut()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    ping.wait().unwrap();
    let numbers = text.split("seq=").skip(1);
    numbers
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect()
}
