//! That there is no moment at which the port rules are open: an instance lies all the time, while they change.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rhyzome_hostnet::{Ports, nft};

use crate::frame::{open, receive_now, send_now, udp4};
use crate::ports::{Pair, lies, offices, pair, port};
use crate::world::on_a_host;

const HONEST: &[u8] = b"honest words";

/// Between two rounds of frames, so that whoever listens loses none.
const BREATH: Duration = Duration::from_micros(300);

/// Two threads: one says what the instance may and may not, one hears what comes of it.
struct Flood {
    stop: Arc<AtomicBool>,
    sends: JoinHandle<u64>,
    hears: JoinHandle<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    honest: u64,
    false_ones: Vec<Vec<u8>>,
}

impl Flood {
    async fn begin(pair: &Pair) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut frames, mut needles) = (Vec::new(), Vec::new());
        for (_, _, frame, needle) in lies(&pair.speaks).into_iter().chain(offices(&pair.speaks)) {
            frames.push(frame);
            needles.push(needle);
        }
        let (own, from) = (pair.speaks.mac.octets(), pair.speaks.ipv4);
        frames.push(udp4(own, from, (4000, 4000), HONEST));
        let listener = pair.listener.run(|| async { open() }).await;
        let speaker = pair.speaker.run(|| async { open() }).await;
        let (until, also) = (Arc::clone(&stop), Arc::clone(&stop));
        Self {
            stop,
            hears: std::thread::spawn(move || hear(&listener, &needles, &until)),
            sends: std::thread::spawn(move || send(&speaker, &frames, &also)),
        }
    }

    /// How many frames were sent, and what was heard.
    fn end(self) -> (u64, Heard) {
        self.stop.store(true, Ordering::Relaxed);
        (self.sends.join().unwrap(), self.hears.join().unwrap())
    }
}

fn send(socket: &OwnedFd, frames: &[Vec<u8>], stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let round = frames.iter().filter(|frame| send_now(socket, frame));
        sent += round.count() as u64;
        std::thread::sleep(BREATH);
    }
    sent
}

fn hear(socket: &OwnedFd, needles: &[Vec<u8>], stop: &AtomicBool) -> Heard {
    let mut heard = Heard::default();
    let mut buffer = [0; 2048];
    loop {
        // Looked at before: what was there until then is heard to its end.
        let is_over = stop.load(Ordering::Relaxed);
        while let Some(frame) = receive_now(socket, &mut buffer) {
            let has = |needle: &[u8]| frame.windows(needle.len()).any(|part| part == needle);
            heard.honest += u64::from(has(HONEST));
            if needles.iter().any(|needle| has(needle)) {
                heard.false_ones.push(frame.to_vec());
            }
        }
        if is_over {
            return heard;
        }
        std::thread::sleep(BREATH);
    }
}

#[test]
fn nothing_false_passes_while_the_rules_are_written_anew() {
    on_a_host(|| async {
        let pair = pair().await;
        let flood = Flood::begin(&pair).await;
        let table = pair.ports.table();
        for round in 0..15 {
            // Another port comes, and the same is asked for again.
            let other = port(100 + round);
            pair.ports.ensure(&other).await.unwrap();
            pair.ports.ensure(&pair.speaks).await.unwrap();
            // As another version has written it: whoever comes next, with nothing but what the kernel has, as a
            // program that was killed and started again, writes all of it anew.
            let about = serde_json::json!({ "family": "bridge", "table": table, "name": "about" });
            let flush = serde_json::json!({ "flush": { "chain": about } });
            nft::apply(vec![flush]).await.unwrap();
            let again: Ports = pair.ports.clone();
            assert!(again.check().await.unwrap().is_some());
            again.ensure(&pair.speaks).await.unwrap();
            assert_eq!(again.check().await.unwrap(), None);
            again.remove(&other.tap).await.unwrap();
        }
        let (sent, heard) = flood.end();
        assert!(heard.false_ones.is_empty(), "of {sent}: {heard:02x?}");
        assert!(heard.honest > 50, "{} of {sent} are no flood", heard.honest);
    });
}

#[test]
fn a_moment_without_rules_would_be_heard() {
    on_a_host(|| async {
        let pair = pair().await;
        let flood = Flood::begin(&pair).await;
        pair.ports.remove_all().await.unwrap();
        pair.ports.ensure(&pair.speaks).await.unwrap();
        let (sent, heard) = flood.end();
        assert!(!heard.false_ones.is_empty(), "nothing of {sent}");
    });
}
