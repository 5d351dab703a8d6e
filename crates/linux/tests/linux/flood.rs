//! That there is no moment at which the rules of a way out are open: an instance talks to the host and to another
//! network all the time, while the rules change and the component is started again.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rhyzome_component::{Driver, Progress};
use rhyzome_hostnet::nft;
use rhyzome_linux::LinuxDriver;

use crate::client::comes_to_connect;
use crate::reach::{Lan, lan, outside, world};
use crate::site::{on_a_site, settings};
use crate::world::Place;

const PORT: u16 = 7373;
/// Between two rounds, so that whoever listens loses none.
const BREATH: Duration = Duration::from_micros(300);

/// Datagrams from an instance to several places at once.
struct Flood {
    stop: Arc<AtomicBool>,
    sends: JoinHandle<u64>,
}

impl Flood {
    async fn begin(from: &Place, to: Vec<SocketAddr>) -> Self {
        let socket = from.run(|| async { UdpSocket::bind("0.0.0.0:0").unwrap() });
        let socket = socket.await;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let sends = std::thread::spawn(move || {
            let mut sent = 0;
            while !until.load(Ordering::Relaxed) {
                // An earlier refusal is told to the next one who sends: it is sent all the same the time after.
                let sends = to
                    .iter()
                    .filter(|to| socket.send_to(b"here I am", to).is_ok());
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
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// How many datagrams are there.
fn heard(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 64];
    std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).count()
}

fn forbidden(other: &Lan) -> Vec<SocketAddr> {
    let host = "192.0.2.1".parse().unwrap();
    let network = other.lease.ipv4.into();
    [host, network].map(|to| SocketAddr::new(to, PORT)).to_vec()
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
        to.push(SocketAddr::new(outside().ip(), PORT));
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
        let flood = Flood::begin(&one.instance, vec![to]).await;
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
