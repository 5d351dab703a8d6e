//! The address 169.254.169.254, from an instance's side and from the sides of all who must not have it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use rhyzome_hostnet::link::Route;
use rhyzome_hostnet::service::{ADDRESS, PORT};
use rhyzome_hostnet::{Holder, Links, Mark, Namespace, Port, Ports, Role, Services, nft, segment};
use rhyzome_model::network::bridge_name;
use rhyzome_model::{MacAddr, NetworkId, PlacementId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::counted::Counted;
use crate::frame::{answers_arp, arp, arrives, inject, is_answered, open};
use crate::mark;
use crate::ports::attach;
use crate::world::{Place, on_a_host, plug, up};

/// How long a connection may take before it counts as refused.
const PATIENCE: Duration = Duration::from_millis(700);

fn port(network: NetworkId, number: u8) -> Port {
    Port {
        tap: format!("rt{}{number}", &network.0.simple().to_string()[26..]),
        mac: MacAddr::qemu([0, 0, number]),
        ipv4: Ipv4Addr::new(10, 1, 0, number),
        ipv6: format!("fd00::{number}").parse().unwrap(),
    }
}

/// A segment of the calling thread's host with a service that says who it is and who asks.
struct Segment {
    network: NetworkId,
    ports: Ports,
    _namespace: Place,
}

impl Segment {
    async fn new(mark: Mark, network: NetworkId, says: &'static str) -> Self {
        let holder = Holder {
            role: Role::Hypervisor,
            mark,
        };
        segment::ensure(network, PlacementId(Uuid::new_v4()), 1500, holder)
            .await
            .unwrap();
        let services = Services::of(mark);
        services.ensure(network, 1500).await.unwrap();
        // Again, as after a crash.
        services.ensure(network, 1500).await.unwrap();
        assert_eq!(services.check(network, 1500).await.unwrap(), None);
        let listener = services.listen(network).await.unwrap();
        tokio::spawn(answer(TcpListener::from_std(listener).unwrap(), says));
        Self {
            network,
            ports: Ports::of(mark),
            // Gone at the end of the test, however it ends.
            _namespace: Place(services.namespace(network)),
        }
    }

    fn bridge(&self) -> String {
        bridge_name(self.network)
    }

    /// An instance with a route to the address: straight, or by way of a router that is not there.
    async fn instance(&self, number: u8) -> Place {
        let place = attach(&self.ports, &self.bridge(), &port(self.network, number)).await;
        place.run(|| route(None)).await;
        place
    }
}

async fn answer(listener: TcpListener, says: &str) {
    loop {
        let (mut stream, from) = listener.accept().await.unwrap();
        let text = format!("{says} to {}", from.ip());
        // Who asks may have gone.
        let _ = stream.write_all(text.as_bytes()).await;
    }
}

async fn route(via: Option<IpAddr>) {
    let (links, link) = up("eth0").await;
    let to = IpNet::new(ADDRESS.into(), 32).unwrap();
    links.add_route(Route { to, via, link }).await.unwrap();
}

/// What the service says to who asks from here; none where nobody answers.
async fn ask() -> Option<String> {
    let talk = async {
        let mut stream = TcpStream::connect(SocketAddr::from((ADDRESS, PORT)))
            .await
            .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        Some(text)
    };
    tokio::time::timeout(PATIENCE, talk).await.ok()?
}

/// As often as a link that was just plugged in may need to wake up.
async fn hears(place: &Place, expect: &str) {
    for _ in 0..10 {
        if let Some(text) = place.run(ask).await {
            assert_eq!(text, expect);
            return;
        }
    }
    panic!("nobody answers at all");
}

#[test]
fn each_segment_is_answered_by_its_own_although_their_prefixes_are_the_same() {
    on_a_host(|| async {
        let mark = mark();
        let one = Segment::new(mark, NetworkId(Uuid::new_v4()), "one").await;
        let two = Segment::new(mark, NetworkId(Uuid::new_v4()), "two").await;
        let (here, there) = (one.instance(2).await, two.instance(2).await);
        hears(&here, "one to 10.1.0.2").await;
        hears(&there, "two to 10.1.0.2").await;
        // An answer is good for one hop (IPv4: no fragments, TTL 1, TCP).
        let socket = here.run(|| async { open() }).await;
        hears(&here, "one to 10.1.0.2").await;
        assert!(arrives(&socket, &[0x40, 0, 1, 6]).await);
        // The host itself is on neither, and finds nobody at the address.
        assert_eq!(ask().await, None);
    });
}

#[test]
fn a_guest_that_knows_no_route_sends_to_its_router_and_is_answered_all_the_same() {
    on_a_host(|| async {
        let segment = Segment::new(mark(), NetworkId(Uuid::new_v4()), "one").await;
        let instance = attach(&segment.ports, &segment.bridge(), &port(segment.network, 2)).await;
        let router = Place::new("router").await;
        let address = "10.1.0.1/24".parse().unwrap();
        plug(
            &router,
            &segment.bridge(),
            "rzptest",
            [2, 0, 0, 0, 0, 1],
            vec![address],
        )
        .await;
        instance.run(|| route(Some([10, 1, 0, 1].into()))).await;
        hears(&instance, "one to 10.1.0.2").await;
    });
}

#[test]
fn who_is_not_at_a_tap_reaches_no_service_and_cannot_pass_for_one() {
    on_a_host(|| async {
        let mark = mark();
        let segment = Segment::new(mark, NetworkId(Uuid::new_v4()), "one").await;
        let counted = || Counted::of("bridge", &format!("rhyzome_service_{mark}"));
        let instance = segment.instance(2).await;
        hears(&instance, "one to 10.1.0.2").await;
        // A router on the segment, or another host behind its tunnel: whatever is no tap of this host.
        let (stranger, mac) = (Place::new("stranger").await, [2, 0, 0, 0, 0, 9]);
        let addresses = vec![
            "10.1.0.1/24".parse().unwrap(),
            format!("{ADDRESS}/32").parse().unwrap(),
        ];
        plug(&stranger, &segment.bridge(), "rzptest", mac, addresses).await;
        assert!(
            is_answered(&stranger, mac, "10.1.0.1", "10.1.0.2").await,
            "it is on the segment"
        );
        let before = counted();
        assert!(!answers_arp(&stranger, mac, "10.1.0.1", "169.254.169.254").await);
        counted().rose(&before, "metadata", "the stranger's question");
        // It has the address itself, and is asked by nobody and believed by nobody.
        let claim = arp(mac, 2, (mac, ADDRESS), Ipv4Addr::new(10, 1, 0, 2));
        let hears_claim = instance.run(|| async { open() }).await;
        let before = counted();
        inject(&stranger, claim).await;
        assert!(!arrives(&hears_claim, &ADDRESS.octets()).await);
        counted().rose(&before, "metadata", "the stranger's claim");
        hears(&instance, "one to 10.1.0.2").await;
    });
}

#[test]
fn an_instance_that_gives_a_false_sender_gets_nothing() {
    on_a_host(|| async {
        let segment = Segment::new(mark(), NetworkId(Uuid::new_v4()), "one").await;
        let instance = segment.instance(2).await;
        hears(&instance, "one to 10.1.0.2").await;
        let spoof = || async {
            let (links, eth0) = up("eth0").await;
            let other = "10.1.0.3/24".parse().unwrap();
            links.ensure_addresses(eth0, &[other]).await.unwrap();
            route(None).await;
        };
        instance.run(spoof).await;
        let counted = || Counted::of("bridge", &segment.ports.table());
        let before = counted();
        assert_eq!(instance.run(ask).await, None);
        counted().rose(&before, "ipv4|arp", "a question in another's name");
        // Nor may it say that the address is its own.
        let neighbour = segment.instance(3).await;
        hears(&neighbour, "one to 10.1.0.3").await;
        let mac = port(segment.network, 2).mac.octets();
        let socket = neighbour.run(|| async { open() }).await;
        let before = counted();
        inject(
            &instance,
            arp(mac, 2, (mac, ADDRESS), Ipv4Addr::new(10, 1, 0, 3)),
        )
        .await;
        assert!(!arrives(&socket, &ADDRESS.octets()).await);
        counted().rose(&before, "arp", "the claim to be the service");
    });
}

/// Two hosts with a wire between their bridges: a segment that spans them.
#[test]
fn on_a_segment_of_two_hosts_each_answers_its_own_instances_alone() {
    on_a_host(|| async {
        let network = NetworkId(Uuid::new_v4());
        let here = Segment::new(mark(), network, "here").await;
        let far = Place::new("far").await;
        let host = rhyzome_hostnet::namespace::current().unwrap();
        let (other, _namespace) = far
            .run(move || async move {
                let holder = Holder {
                    role: Role::Hypervisor,
                    mark: mark(),
                };
                let placement = PlacementId(Uuid::new_v4());
                let bridge = segment::ensure(network, placement, 1500, holder)
                    .await
                    .unwrap();
                // A wire to the first host, from bridge to bridge.
                let (links, index) = (Links::open().unwrap(), bridge_index(&bridge).await);
                links.add_veth("rzwire", "rzwire2").await.unwrap();
                let ends = (
                    links.find("rzwire").await.unwrap(),
                    links.find("rzwire2").await.unwrap(),
                );
                join(&links, ends.0.unwrap().index, index).await;
                let moved = rhyzome_hostnet::link::Change {
                    namespace: Some(&host),
                    ..Default::default()
                };
                links.change(ends.1.unwrap().index, moved).await.unwrap();
                // An instance there, on a host whose service is down.
                let services = Services::of(holder.mark);
                services.ensure(network, 1500).await.unwrap();
                let namespace = Place(services.namespace(network));
                let instance = attach(&Ports::of(holder.mark), &bridge, &port(network, 3)).await;
                (instance, namespace)
            })
            .await;
        let links = Links::open().unwrap();
        let wire = links.find("rzwire2").await.unwrap().unwrap().index;
        join(&links, wire, bridge_index(&here.bridge()).await).await;
        other.run(|| route(None)).await;
        let own = here.instance(2).await;
        hears(&own, "here to 10.1.0.2").await;
        // Both are on one segment, so that silence means something.
        let mac = port(network, 3).mac.octets();
        let mut tries = 0;
        while !answers_arp(&other, mac, "10.1.0.3", "10.1.0.2").await {
            tries += 1;
            assert!(tries < 20, "the wire carries nothing");
        }
        assert_eq!(other.run(ask).await, None);
    });
}

async fn bridge_index(bridge: &str) -> u32 {
    let links = Links::open().unwrap();
    links.find(bridge).await.unwrap().unwrap().index
}

async fn join(links: &Links, port: u32, bridge: u32) {
    let change = rhyzome_hostnet::link::Change {
        controller: Some(bridge),
        up: Some(true),
        ..Default::default()
    };
    links.change(port, change).await.unwrap();
}

#[test]
fn what_is_removed_leaves_nothing_and_what_is_broken_is_mended() {
    on_a_host(|| async {
        let mark = mark();
        let (one, two) = (NetworkId(Uuid::new_v4()), NetworkId(Uuid::new_v4()));
        let _kept = (
            Segment::new(mark, one, "one").await,
            Segment::new(mark, two, "two").await,
        );
        let services = Services::of(mark);
        let table = format!("rhyzome_service_{mark}");
        let count = || async { Links::open().unwrap().list().await.unwrap().len() };
        let before = count().await;

        services.namespace(two).delete().unwrap();
        nft::delete("bridge", &table).await.unwrap();
        assert!(services.check(two, 1500).await.unwrap().is_some());
        services.ensure(two, 1500).await.unwrap();
        assert_eq!(services.check(one, 1500).await.unwrap(), None);

        services.remove(one).await.unwrap();
        services.remove(one).await.unwrap();
        assert_eq!(services.check(two, 1500).await.unwrap(), None);
        assert_eq!(count().await, before - 1);
        services.remove_all().await.unwrap();
        services.remove_all().await.unwrap();
        assert_eq!(count().await, before - 2);
        assert!(nft::list("bridge", &table).await.unwrap().is_none());
        let left = Namespace::list().unwrap();
        assert!(!left.iter().any(|it| it.name().ends_with(&mark.to_string())));
    });
}
