//! An instance that says all the time what it is not, while others do something to the site; and who would hear it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rhyzome_client::Scope;
use rhyzome_end_to_end::frame::{Frames, udp_to_all};
use rhyzome_end_to_end::operator::{READY, TOLD, name};
use rhyzome_end_to_end::stranger::{LINK, Stranger};
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{World, wait_for};
use rhyzome_model::network::tap_name;

use crate::tenants::{Inhabited, running, spec};

const NAME: &str = "liar";
const HONEST: &[u8] = b"as itself";
const FALSE: &[u8] = b"as another";
/// Between two rounds, so that whoever listens loses none.
const BREATH: Duration = Duration::from_millis(3);
const LAST: &[u8] = b"the last one";
/// How long the others may take with what they do.
const LONGEST: Duration = Duration::from_secs(600);
/// How long the last word may take over a bridge.
const CROSSED: Duration = Duration::from_secs(5);

pub struct Liar {
    stranger: Stranger,
    hears: JoinHandle<Heard>,
    stop: Arc<AtomicBool>,
    sends: JoinHandle<u64>,
}

/// What came to a neighbour.
#[derive(Debug, Default)]
struct Heard {
    honest: u64,
    false_ones: u64,
    /// Whether the last word came.
    ended: bool,
}

impl Heard {
    /// All that passes a neighbour's tap until the last word.
    fn until_the_last(neighbour: &Frames) -> Self {
        let (mut honest, mut false_ones) = (0, 0);
        let ended = neighbour.collect_until(LAST, LONGEST, |frame| {
            let has = |text: &[u8]| frame.windows(text.len()).any(|part| part == text);
            honest += u64::from(has(HONEST));
            false_ones += u64::from(has(FALSE));
        });
        Self {
            honest,
            false_ones,
            ended,
        }
    }
}

impl Liar {
    pub async fn begin(world: &World, scope: &Scope, lab: &Inhabited) -> Self {
        let liar = name(NAME);
        let instances = scope.instance();
        let wanted = spec("lab", TOLD);
        instances.create(&liar, wanted, None).await.unwrap();
        running(scope, &liar).await;
        let stopped = instances.stop(&liar, false, Some(READY)).await.unwrap();
        let stranger = Stranger::of(world, &stopped, &lab.network);
        let neighbour = &lab.instances[0];
        let tap = tap_name(neighbour.meta.id, 0);
        let theirs = &neighbour.status.interfaces[0];
        let (mac, own) = (stranger.mac().octets(), stranger.ipv4());
        let router = lab.network.status.router_ipv4;
        let datagram = |mac, from, port, text| udp_to_all(mac, from, (port, 68), text);
        let frames = [
            datagram(theirs.mac.octets(), own, 7000, FALSE),
            datagram(mac, theirs.ipv4, 7000, FALSE),
            datagram(mac, router, 7000, FALSE),
            datagram(mac, own, 67, FALSE),
            datagram(mac, own, 7000, HONEST),
        ];
        let neighbour = world.host.run(|| Frames::open(&tap));
        let hears = std::thread::spawn(move || Heard::until_the_last(&neighbour));
        let socket = stranger.place().run(|| Frames::open(LINK));
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let sends = std::thread::spawn(move || {
            let mut rounds = 0;
            while !until.load(Ordering::Relaxed) {
                frames.iter().for_each(|frame| socket.send(frame));
                rounds += 1;
                std::thread::sleep(BREATH);
            }
            rounds
        });
        Self {
            hears,
            stranger,
            stop,
            sends,
        }
    }

    /// Makes sure that nothing false was heard from the beginning to the end, and that it was counted.
    pub async fn end(self, world: &World, scope: &Scope) {
        self.stop.store(true, Ordering::Relaxed);
        let rounds = self.sends.join().unwrap();
        let sender = self.stranger.place().run(|| Frames::open(LINK));
        let (mac, own) = (self.stranger.mac().octets(), self.stranger.ipv4());
        wait_for("the last word is heard", CROSSED, async || {
            sender.send(&udp_to_all(mac, own, (7000, 68), LAST));
            self.hears.is_finished().then_some(())
        })
        .await;
        let heard = self.hears.join().unwrap();
        assert_eq!(heard.false_ones, 0, "of {rounds} rounds: {heard:?}");
        assert!(
            heard.ended && heard.honest > 100,
            "of {rounds} rounds: {heard:?}"
        );
        for counter in ["mac", "ipv4", "dhcp_server"] {
            assert!(counted(world, counter) > 0, "{counter} has counted nothing");
        }
        drop(self.stranger);
        let instances = scope.instance();
        instances
            .delete(&name(NAME), None, Some(READY))
            .await
            .unwrap();
    }
}

/// What a counter of the hypervisor's port rules has counted.
fn counted(world: &World, counter: &str) -> u64 {
    let table = format!("rhyzome_{}", world.mark(Kind::Libvirt));
    let list = ["-j", "list", "counter", "bridge", &table, counter];
    let output = world.host.run(|| Command::new("nft").args(list).output());
    let listed: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let objects = listed["nftables"].as_array().unwrap();
    let found = objects.iter().find_map(|object| object.get("counter"));
    found.unwrap()["packets"].as_u64().unwrap()
}
