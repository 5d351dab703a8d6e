//! That there is no moment at which the rules are open: an instance, or a peer, talks to the host and to other networks
//! all the time, while the rules and the peers change, and the component is killed and started again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rhyzome_component::{Driver, Progress};
use rhyzome_hostnet::{Namespace, nft};
use rhyzome_linux::{LinuxDriver, Step};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_wireguard::key::PrivateKey;

use crate::client::comes_to_connect;
use crate::convergence::dying;
use crate::counted::Counted;
use crate::device::Device;
use crate::peers::{count_tunnelled, peer};
use crate::reach::{Lan, lan, lan_of, outside, world};
use crate::site::{LONG, Site, on_a_site, placed, settings};
use crate::world::Place;

const PORT: u16 = 7373;
/// Between two rounds, so that whoever listens loses none.
const BREATH: Duration = Duration::from_micros(300);

/// What one says: from which of its addresses, and to whom.
type Word = (IpAddr, SocketAddr);

/// Datagrams from a place to several others at once.
struct Flood {
    stop: Arc<AtomicBool>,
    sends: JoinHandle<u64>,
}

impl Flood {
    async fn begin(from: &Place, words: Vec<Word>) -> Self {
        let bound = |(from, to)| (UdpSocket::bind((from, 0)).unwrap(), to);
        let words = from.run(move || async move { words.into_iter().map(bound).collect() });
        let words: Vec<(UdpSocket, SocketAddr)> = words.await;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let sends = std::thread::spawn(move || {
            let mut sent = 0;
            while !until.load(Ordering::Relaxed) {
                // An earlier refusal is told to the next one who sends: it is sent all the same the time after.
                let sends = words
                    .iter()
                    .filter(|(from, to)| from.send_to(b"here I am", to).is_ok());
                sent += sends.count() as u64;
                std::thread::sleep(BREATH);
            }
            sent
        });
        Self { stop, sends }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.sends.join().unwrap()
    }
}

/// Listens at all addresses of a place.
fn listen() -> UdpSocket {
    listen_at(PORT)
}

fn listen_at(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// How many datagrams are there.
fn heard(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 64];
    std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).count()
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn forbidden(other: &Lan) -> Vec<Word> {
    let host = "192.0.2.1".parse().unwrap();
    let network = other.lease.ipv4.into();
    [host, network]
        .map(|to| (ANY, SocketAddr::new(to, PORT)))
        .to_vec()
}

#[test]
fn the_host_is_out_of_reach_also_while_its_rules_are_written_anew_and_the_component_starts_again() {
    on_a_site(|site| async move {
        let (world, _outside, _own) = world().await;
        let (one, two) = (lan(&site, 1, true).await, lan(&site, 2, true).await);
        assert!(comes_to_connect(&one.instance, outside()).await, "egress");
        let (host, inside) = (listen(), two.instance.run(|| async { listen() }).await);
        let beyond = world.run(|| async { listen() }).await;
        let mut to = forbidden(&two);
        to.push((ANY, SocketAddr::new(outside().ip(), PORT)));
        let flood = Flood::begin(&one.instance, to).await;
        let mut allowed = 0;
        for _ in 0..8 {
            // The same is asked of a component that was started again, with nothing but its state directory.
            let again = LinuxDriver::new(settings(site.state.path()));
            for placement in [&one.placement, &two.placement] {
                let progress = Progress::new().0;
                again.ensure(placement, &progress).await.unwrap();
            }
            // As another version has written them: all of them are written anew.
            forget(&site.table()).await;
            site.ensure(&two.placement).await.unwrap();
            allowed += heard(&beyond);
        }
        let sent = flood.end();
        assert_eq!((heard(&host), heard(&inside)), (0, 0), "of {sent}");
        assert!(allowed > 50, "{allowed} of {sent} are no flood");
    });
}

/// Makes rules unlike those that this version writes, without opening them.
async fn forget(table: &str) {
    let about = serde_json::json!({ "family": "inet", "table": table, "name": "about" });
    let flush = serde_json::json!({ "flush": { "chain": about } });
    nft::apply(vec![flush]).await.unwrap();
}

#[test]
fn a_moment_without_the_hosts_rules_would_be_heard() {
    on_a_site(|site| async move {
        let _world = world().await;
        let (one, two) = (lan(&site, 1, true).await, lan(&site, 2, true).await);
        assert!(comes_to_connect(&one.instance, outside()).await, "egress");
        let host = listen();
        let flood = Flood::begin(&one.instance, forbidden(&two)).await;
        nft::delete("inet", &site.table()).await.unwrap();
        site.ensure(&one.placement).await.unwrap();
        let sent = flood.end();
        assert!(heard(&host) > 0, "nothing of {sent}");
    });
}

#[test]
fn a_router_is_out_of_reach_also_while_its_rules_are_written_anew_and_the_component_starts_again() {
    on_a_site(|site| async move {
        let one = lan(&site, 1, false).await;
        let [router] = &site.routers()[..] else {
            panic!("one router")
        };
        let inside = router.run(|| async { listen() }).await.unwrap();
        let to = SocketAddr::new(one.spec.router_ipv4().into(), PORT);
        let flood = Flood::begin(&one.instance, vec![(ANY, to)]).await;
        for _ in 0..8 {
            router.run(|| forget("rhyzome")).await.unwrap();
            let again = LinuxDriver::new(settings(site.state.path()));
            let progress = Progress::new().0;
            again.ensure(&one.placement, &progress).await.unwrap();
            assert!(again.look(&one.placement).await.unwrap().is_ok());
        }
        assert_eq!(heard(&inside), 0);
        // The control: a moment without them is heard.
        let open = || async { nft::delete("inet", "rhyzome").await.unwrap() };
        assert!(router.run(open).await.unwrap());
        site.ensure(&one.placement).await.unwrap();
        let sent = flood.end();
        assert!(heard(&inside) > 0, "nothing of {sent}");
    });
}

/// Where a peer may send to.
const ALLOWED: u16 = 7374;

/// A peer of a network, and who listens where it must not be heard.
struct Intruder {
    device: Device,
    placement: Placement,
    /// Another peer, whose addresses the first one says are its own.
    other: Placement,
    /// Its network's.
    router: Namespace,
    words: Vec<Word>,
    closed: Vec<(&'static str, UdpSocket)>,
    open: UdpSocket,
}

/// A network, those beside it, and what each of them is called.
type Lans<'a> = (&'a Lan, [(&'static str, &'a Lan); 2]);

impl Intruder {
    async fn new(site: &Site, street: &Place, (one, others): Lans<'_>) -> Self {
        let key = || PrivateKey::generate(&mut rand::rng());
        let (mut own, other) = (peer(&one.spec, &key(), 9), peer(&one.spec, &key(), 10));
        let device = Device::start(street, &[&own, &other]).await;
        own.public_key = device.key.to_string();
        let router = site.router(&one.spec);
        let of_other = [other.ipv4.into(), other.ipv6.into()];
        router.run(move || count_tunnelled(of_other)).await.unwrap();
        let mut closed = vec![("the host", listen())];
        closed.push(("the world", street.run(|| async { listen() }).await));
        let on_router = router.run(|| async { listen() }).await.unwrap();
        closed.push(("its router", on_router));
        let inside = one.instance.run(|| async { listen() }).await;
        closed.push(("its network, as another peer", inside));
        for (what, lan) in others {
            let router = site.router(&lan.spec).run(|| async { listen() }).await;
            closed.push((what, router.unwrap()));
            closed.push((what, lan.instance.run(|| async { listen() }).await));
        }
        let open = one.instance.run(|| async { listen_at(ALLOWED) }).await;
        Self {
            words: words([&own, &other], one, others.map(|(_, lan)| lan)),
            device,
            placement: placed(PlacementSpec::Peer(own)),
            other: placed(PlacementSpec::Peer(other)),
            router,
            closed,
            open,
        }
    }

    /// Begins a session with its network's endpoint, anew where there was one.
    async fn connect(&self, site: &Site, one: &Lan) {
        let Observed::Network(observed) = site.ensure(&one.placement).await.unwrap() else {
            panic!("a network")
        };
        let key = observed.endpoint_key.parse().unwrap();
        self.device.connect(&one.spec, key).await;
    }

    /// Makes sure that all it may say comes in, and nothing else, and that this is counted.
    async fn is_held_back(&self, site: &Site, when: &str) {
        let before = site.counted().await;
        heard(&self.open);
        // What is allowed is said last: who hears it several times from now on has missed all the rest meanwhile.
        let mut allowed = 0;
        wait_for(when, || {
            allowed += heard(&self.open);
            allowed > 8
        })
        .await;
        let counted = site.counted().await;
        counted.rose(&before, "from_tunnel", when);
        counted.rose(&before, "to_router", when);
        for (what, socket) in &self.closed {
            assert_eq!(heard(socket), 0, "{what}, {when}");
        }
        let tunnelled = self.router.run(|| async { Counted::of("inet", "test") });
        assert_eq!(tunnelled.await.unwrap().count("of_other"), 0, "{when}");
    }
}

/// What it may not say, from each of its addresses, and what it may.
fn words([own, other]: [&PeerPlacement; 2], one: &Lan, others: [&Lan; 2]) -> Vec<Word> {
    let host = IpAddr::from([192, 0, 2, 1]);
    let (four, six) = (one.lease.ipv4.into(), one.lease.ipv6.into());
    let mut to = vec![(host, PORT), (outside().ip(), PORT)];
    to.push((host, one.spec.endpoint_port));
    for lan in [one, others[0], others[1]] {
        to.push((lan.spec.router_ipv4().into(), PORT));
        to.push((lan.spec.router_ipv6().into(), PORT));
    }
    for lan in others {
        to.push((lan.lease.ipv4.into(), PORT));
        to.push((lan.lease.ipv6.into(), PORT));
    }
    let own = [IpAddr::from(own.ipv4), own.ipv6.into()];
    let other = [IpAddr::from(other.ipv4), other.ipv6.into()];
    let mut words = Vec::new();
    for from in own.into_iter().chain(other) {
        let of_family = to.iter().filter(|(to, _)| to.is_ipv4() == from.is_ipv4());
        words.extend(of_family.map(|(to, port)| (from, SocketAddr::new(*to, *port))));
    }
    for (from, port) in [(other, PORT), (own, ALLOWED)] {
        words.push((from[0], SocketAddr::new(four, port)));
        words.push((from[1], SocketAddr::new(six, port)));
    }
    words
}

async fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !happened() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(BREATH).await;
    }
}

#[test]
fn a_peer_gets_nowhere_else_while_rules_and_peers_change_and_component_and_endpoint_are_killed() {
    on_a_site(|site| async move {
        let (street, _outside, _own) = world().await;
        let (one, two) = (lan(&site, 1, true).await, lan(&site, 2, true).await);
        let three = lan_of("other", &site, 3, true).await;
        let others = [("another network", &two), ("another project's", &three)];
        let intruder = Intruder::new(&site, &street, (&one, others)).await;
        site.ensure(&intruder.placement).await.unwrap();
        intruder.connect(&site, &one).await;
        let flood = Flood::begin(&intruder.device.place, intruder.words.clone()).await;
        intruder.is_held_back(&site, "at first").await;
        let progress = Progress::new().0;
        for step in Step::UP {
            site.ensure(&intruder.other).await.unwrap();
            // As another version has written them: all of them are written anew.
            intruder.router.run(|| forget("rhyzome")).await.unwrap();
            forget(&site.table()).await;
            let killed = dying(&site, step).ensure(&one.placement, &progress).await;
            killed.unwrap_err();
            let again = LinuxDriver::new(settings(site.state.path()));
            again.ensure(&one.placement, &progress).await.unwrap();
            let other = intruder.other.reference();
            again.remove(&other, &progress).await.unwrap();
            let when = format!("killed before {step:?}");
            intruder.is_held_back(&site, &when).await;
        }
        site.kill_endpoint(&one.spec);
        intruder.connect(&site, &one).await;
        let when = "after its endpoint was killed";
        intruder.is_held_back(&site, when).await;
        would_be_heard(&site, &intruder, [&two, &three]).await;
        flood.end();
    });
}

/// The control: a moment without rules is heard, and so is whoever is in the other networks.
async fn would_be_heard(site: &Site, intruder: &Intruder, others: [&Lan; 2]) {
    let open = || async { nft::delete("inet", "rhyzome").await.unwrap() };
    assert!(intruder.router.run(open).await.unwrap());
    assert!(nft::delete("inet", &site.table()).await.unwrap());
    for lan in others {
        let to = [lan.spec.router_ipv4(), lan.lease.ipv4];
        let says = move || async move {
            let socket = UdpSocket::bind((ANY, 0)).unwrap();
            to.map(|to| socket.send_to(b"from inside", (to, PORT)).unwrap())
        };
        site.router(&lan.spec).run(says).await.unwrap();
    }
    for (what, socket) in &intruder.closed {
        if *what != "its network, as another peer" {
            wait_for(what, || heard(socket) > 0).await;
        }
    }
}
