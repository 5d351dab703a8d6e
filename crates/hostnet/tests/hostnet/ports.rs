//! Port rules, from the side of a stranger who tries to get through, and of an honest instance.

use std::net::{Ipv4Addr, Ipv6Addr};

use rhyzome_hostnet::ports::link_local;
use rhyzome_hostnet::segment;
use rhyzome_hostnet::{Holder, Links, Mark, Port, PortError, Ports, Role, nft};
use rhyzome_model::{MacAddr, NetworkId, PlacementId};
use uuid::Uuid;

use crate::counted::Counted;
use crate::frame::{arp, arrives, icmp6, inject, open, udp4, udp6};
use crate::mark;
use crate::world::{Place, on_a_host, plug};

const TOKEN: &[u8] = b"rhyzome-was-here";

/// Two instances on one segment: one that speaks, and one that listens.
pub struct Pair {
    pub ports: Ports,
    bridge: String,
    pub speaker: Place,
    pub listener: Place,
    pub speaks: Port,
    listens: Port,
}

pub fn port(number: u8) -> Port {
    Port {
        tap: format!("rttest{number}"),
        mac: MacAddr::qemu([0, 0, number]),
        ipv4: Ipv4Addr::new(10, 1, 0, number),
        ipv6: Ipv6Addr::from(0xfd00_0000_0000_0000_0000_0000_0000_0000 + u128::from(number)),
    }
}

pub async fn attach(ports: &Ports, bridge: &str, port: &Port) -> Place {
    let place = Place::new("instance").await;
    ports.ensure(port).await.unwrap();
    let addresses = vec![
        format!("{}/24", port.ipv4).parse().unwrap(),
        format!("{}/64", port.ipv6).parse().unwrap(),
    ];
    plug(&place, bridge, &port.tap, port.mac.octets(), addresses).await;
    place
}

pub async fn pair() -> Pair {
    let mark = mark();
    let ports = Ports::of(mark);
    let holder = Holder {
        role: Role::Hypervisor,
        mark,
    };
    let network = NetworkId(Uuid::new_v4());
    let bridge = segment::ensure(network, PlacementId(Uuid::new_v4()), 1500, holder)
        .await
        .unwrap();
    let (speaks, listens) = (port(2), port(3));
    let speaker = attach(&ports, &bridge, &speaks).await;
    let listener = attach(&ports, &bridge, &listens).await;
    let pair = Pair {
        ports,
        bridge,
        speaker,
        listener,
        speaks,
        listens,
    };
    pair.is_plugged_in().await;
    pair
}

impl Pair {
    /// A link that was just plugged in is dumb for up to a second; before, that nothing gets through
    /// would prove nothing.
    async fn is_plugged_in(&self) {
        let (mac, ipv4) = (self.speaks.mac.octets(), self.speaks.ipv4);
        let mut tries = 0;
        while !self
            .passes(udp4(mac, ipv4, (4000, 4000), b"plugged in"), b"plugged in")
            .await
        {
            tries += 1;
            assert!(tries < 20, "nothing gets through at all");
        }
    }

    fn counted(&self) -> Counted {
        Counted::of("bridge", &self.ports.table())
    }

    /// Makes sure that a frame of the speaker's does not reach the listener, and is counted as dropped.
    async fn is_dropped(&self, what: &str, counter: &str, frame: Vec<u8>, needle: &[u8]) {
        let before = self.counted();
        assert!(!self.passes(frame, needle).await, "{what} got through");
        self.counted().rose(&before, counter, what);
    }

    /// Whether a frame of the speaker's reaches the listener.
    async fn passes(&self, frame: Vec<u8>, needle: &[u8]) -> bool {
        let needle = needle.to_vec();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let listening = self.listener.run(move || async move {
            let socket = open();
            ready.send(()).unwrap();
            arrives(&socket, &needle).await
        });
        let speaking = async {
            is_ready.await.unwrap();
            inject(&self.speaker, frame).await;
        };
        tokio::join!(listening, speaking).0
    }
}

#[test]
fn an_honest_instance_passes() {
    on_a_host(|| async {
        let pair = pair().await;
        let Port {
            mac, ipv4, ipv6, ..
        } = pair.speaks.clone();
        let mac_octets = mac.octets();
        let target = pair.listens.ipv4;
        assert!(
            pair.passes(udp4(mac_octets, ipv4, (4000, 4000), TOKEN), TOKEN)
                .await
        );
        assert!(
            pair.passes(udp6(mac_octets, ipv6, (4000, 4000), TOKEN), TOKEN)
                .await
        );
        assert!(
            pair.passes(
                udp6(mac_octets, link_local(mac), (4000, 4000), TOKEN),
                TOKEN
            )
            .await
        );
        let question = arp(mac_octets, 1, (mac_octets, ipv4), target);
        assert!(pair.passes(question.clone(), &question[14..]).await);
        let probe = arp(mac_octets, 1, (mac_octets, Ipv4Addr::UNSPECIFIED), ipv4);
        assert!(pair.passes(probe.clone(), &probe[14..]).await);
        let advertisement = [&[0x20, 0, 0, 0][..], &ipv6.octets(), TOKEN].concat();
        assert!(
            pair.passes(icmp6(mac_octets, ipv6, 136, &advertisement), TOKEN)
                .await
        );
        let duplicate = [&[0, 0, 0, 0][..], &ipv6.octets(), TOKEN].concat();
        assert!(
            pair.passes(
                icmp6(mac_octets, Ipv6Addr::UNSPECIFIED, 135, &duplicate),
                TOKEN
            )
            .await
        );
        let request = udp4(mac_octets, Ipv4Addr::UNSPECIFIED, (68, 67), TOKEN);
        assert!(pair.passes(request, TOKEN).await);
    });
}

/// What a frame claims, by which counter it is dropped, the frame, and some bytes of it that are in no other.
pub type Lie = (&'static str, &'static str, Vec<u8>, Vec<u8>);

/// Frames in which an instance says that it is another one, and its network's router.
pub fn lies(speaks: &Port) -> Vec<Lie> {
    let (own, ipv4, ipv6) = (speaks.mac.octets(), speaks.ipv4, speaks.ipv6);
    let (other4, router4) = (Ipv4Addr::new(10, 1, 0, 9), Ipv4Addr::new(10, 1, 0, 1));
    let (other6, router6): (Ipv6Addr, Ipv6Addr) =
        ("fd00::9".parse().unwrap(), "fd00::1".parse().unwrap());
    let other = MacAddr::qemu([0, 0, 9]);
    let token = |what, counter, frame| (what, counter, frame, TOKEN.to_vec());
    let said = |what, frame: Vec<u8>| (what, "arp", frame.clone(), frame[14..].to_vec());
    let advertised = |what, target: Ipv6Addr| {
        let claim = [&[0x20, 0, 0, 0][..], &target.octets(), TOKEN].concat();
        token(what, "neighbour", icmp6(own, ipv6, 136, &claim))
    };
    let ports = (4000, 4000);
    let inner = udp4(own, ipv4, ports, TOKEN);
    let tagged = [&inner[..12], &[0x81, 0, 0, 0], &inner[12..]].concat();
    let kind = [&[0xff; 6][..], &own, &[0x88, 0xb5], TOKEN].concat();
    vec![
        token("a MAC", "mac", udp4(other.octets(), ipv4, ports, TOKEN)),
        token(
            "a MAC in IPv6",
            "mac",
            udp6(other.octets(), ipv6, ports, TOKEN),
        ),
        token("an IPv4 address", "ipv4", udp4(own, other4, ports, TOKEN)),
        token(
            "the router's IPv4 address",
            "ipv4",
            udp4(own, router4, ports, TOKEN),
        ),
        token("an IPv6 address", "ipv6", udp6(own, other6, ports, TOKEN)),
        token(
            "the router's IPv6 address",
            "ipv6",
            udp6(own, router6, ports, TOKEN),
        ),
        token(
            "an unspecified source",
            "ipv6",
            udp6(own, Ipv6Addr::UNSPECIFIED, ports, TOKEN),
        ),
        said("an address in ARP", arp(own, 2, (own, other4), ipv4)),
        said(
            "the router's address in ARP",
            arp(own, 2, (own, router4), other4),
        ),
        said(
            "a question as the router",
            arp(own, 1, (own, router4), other4),
        ),
        said("a MAC in ARP", arp(own, 1, (other.octets(), ipv4), other4)),
        advertised("an address in neighbour discovery", other6),
        advertised("the router's address in neighbour discovery", router6),
        advertised(
            "a link-local address in neighbour discovery",
            link_local(other),
        ),
        token("a frame of another kind", "other", kind),
        token("a tagged frame", "other", tagged),
    ]
}

/// Frames that only a router or a DHCP server sends.
pub fn offices(speaks: &Port) -> Vec<Lie> {
    let (own, ipv4, local) = (speaks.mac.octets(), speaks.ipv4, link_local(speaks.mac));
    let router = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], TOKEN].concat();
    let frames = [
        (
            "a DHCP offer",
            "dhcp_server",
            udp4(own, ipv4, (67, 68), TOKEN),
        ),
        (
            "a DHCPv6 advertisement",
            "dhcp_server",
            udp6(own, local, (547, 546), TOKEN),
        ),
        (
            "a router advertisement",
            "router",
            icmp6(own, local, 134, &router),
        ),
        ("a redirect", "router", icmp6(own, speaks.ipv6, 137, TOKEN)),
    ];
    frames
        .map(|(what, counter, frame)| (what, counter, frame, TOKEN.to_vec()))
        .into()
}

#[test]
fn an_instance_cannot_speak_as_another_and_not_as_its_router() {
    on_a_host(|| async {
        let pair = pair().await;
        for (what, counter, frame, needle) in lies(&pair.speaks) {
            pair.is_dropped(what, counter, frame, &needle).await;
        }
    });
}

#[test]
fn an_instance_is_no_dhcp_server_and_no_router() {
    on_a_host(|| async {
        let pair = pair().await;
        for (what, counter, frame, needle) in offices(&pair.speaks) {
            pair.is_dropped(what, counter, frame, &needle).await;
        }
    });
}

#[test]
fn what_an_instance_sends_to_its_host_is_dropped_and_counted() {
    on_a_host(|| async {
        let pair = pair().await;
        let bridge = mac_of(&pair.bridge);
        let Port { mac, ipv4, .. } = pair.speaks;
        let mut frame = udp4(mac.octets(), ipv4, (4000, 4000), TOKEN);
        frame[..6].copy_from_slice(&bridge);
        pair.is_dropped("a frame for the host", "to_host", frame, TOKEN)
            .await;
    });
}

/// The Ethernet address of a link of the calling thread's namespace.
fn mac_of(link: &str) -> [u8; 6] {
    let mut all = nix::ifaddrs::getifaddrs().unwrap();
    let found = all.find_map(|one| {
        let address = one.address.filter(|_| one.interface_name == link)?;
        address.as_link_addr()?.addr()
    });
    found.unwrap()
}

#[test]
fn frames_for_others_do_not_reach_an_instance() {
    on_a_host(|| async {
        let pair = pair().await;
        let Port { mac, ipv4, .. } = pair.speaks.clone();
        let mut frame = udp4(mac.octets(), ipv4, (4000, 4000), TOKEN);
        frame[..6].copy_from_slice(&MacAddr::qemu([0, 0, 9]).octets());
        assert!(
            !pair.passes(frame.clone(), TOKEN).await,
            "a frame for nobody known is not flooded"
        );
        frame[..6].copy_from_slice(&pair.listens.mac.octets());
        assert!(pair.passes(frame, TOKEN).await);
    });
}

#[test]
fn ports_come_and_go_one_by_one() {
    on_a_host(|| async {
        let ports = Ports::of(mark());
        let (two, three) = (port(2), port(3));
        ports.ensure(&two).await.unwrap();
        ports.ensure(&three).await.unwrap();
        ports.ensure(&two).await.unwrap();
        let mut listed = ports.list().await.unwrap();
        listed.sort_by_key(|port| port.tap.clone());
        assert_eq!(listed, [two.clone(), three.clone()]);
        let moved = Port {
            ipv4: Ipv4Addr::new(10, 1, 0, 77),
            ..three.clone()
        };
        ports.ensure(&moved).await.unwrap();
        assert!(ports.list().await.unwrap().contains(&moved));
        assert!(!ports.list().await.unwrap().contains(&three));
        assert_eq!(ports.check().await.unwrap(), None);
        ports.remove(&two.tap).await.unwrap();
        ports.remove(&two.tap).await.unwrap();
        assert_eq!(ports.list().await.unwrap(), std::slice::from_ref(&moved));
        ports.remove(&moved.tap).await.unwrap();
        assert!(
            nft::tables().await.unwrap().is_empty(),
            "the table goes with the last port"
        );
    });
}

#[test]
fn a_table_that_somebody_changed_is_put_right_without_losing_a_port() {
    on_a_host(|| async {
        let ports = Ports::of(mark());
        ports.ensure(&port(2)).await.unwrap();
        let table =
            serde_json::json!({ "family": "bridge", "table": ports.table(), "name": "from_arp" });
        nft::apply(vec![serde_json::json!({ "flush": { "chain": table } })])
            .await
            .unwrap();
        assert!(ports.check().await.unwrap().unwrap().contains("from_arp"));
        ports.ensure(&port(3)).await.unwrap();
        assert_eq!(ports.check().await.unwrap(), None);
        assert_eq!(ports.list().await.unwrap().len(), 2);
    });
}

#[test]
fn a_tap_that_is_there_keeps_its_rules() {
    on_a_host(|| async {
        let ports = Ports::of(mark());
        let port = port(2);
        ports.ensure(&port).await.unwrap();
        let links = Links::open().unwrap();
        links.add_veth(&port.tap, "other").await.unwrap();
        assert!(matches!(
            ports.remove(&port.tap).await,
            Err(PortError::StillThere(_))
        ));
        assert_eq!(ports.list().await.unwrap(), std::slice::from_ref(&port));
        links.delete_named(&port.tap).await.unwrap();
        ports.remove(&port.tap).await.unwrap();
    });
}

#[test]
fn two_components_on_one_host_do_not_touch_each_others_ports() {
    on_a_host(|| async {
        let marks: [Mark; 2] = [mark(), mark()];
        let [one, other] = marks.map(Ports::of);
        one.ensure(&port(2)).await.unwrap();
        other.ensure(&port(3)).await.unwrap();
        one.remove_all().await.unwrap();
        assert_eq!(one.list().await.unwrap(), []);
        assert_eq!(other.list().await.unwrap(), [port(3)]);
    });
}
