//! A stretch of internet: UDP packets that come later, and some never. The kernel that this is measured on
//! has nothing that would do so itself.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::socket::{setsockopt, sockopt};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rhyzome_end_to_end::Place;

/// How often its threads look whether they are to end.
const LOOK: Duration = Duration::from_millis(50);
const BUFFER: usize = 8 << 20;

pub struct Relay {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

type Delayed = (Instant, Vec<u8>);

impl Relay {
    /// Between a port that it chooses and `port`, both of `host`; `delay` each way, and `loss` of the
    /// packets gone.
    pub fn start(
        place: &Place,
        host: Ipv4Addr,
        port: u16,
        delay: Duration,
        loss: f64,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let (front, back) = place
            .run(|| {
                Ok::<_, std::io::Error>((UdpSocket::bind((host, 0))?, UdpSocket::bind((host, 0))?))
            })
            .context("the relay's ports")?;
        back.connect((host, port))?;
        let address = front.local_addr()?;
        for socket in [&front, &back] {
            socket.set_read_timeout(Some(LOOK))?;
            setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &BUFFER)?;
            setsockopt(&socket.as_fd(), sockopt::SndBufForce, &BUFFER)?;
        }
        let (front, back) = (Arc::new(front), Arc::new(back));
        let ended = Arc::new(AtomicBool::new(false));
        let member = Arc::new(Mutex::new(None::<SocketAddr>));
        let mut threads = Vec::new();
        for up in [true, false] {
            let (sender, receiver) = channel::<Delayed>();
            let (from, to) = match up {
                true => (&front, &back),
                false => (&back, &front),
            };
            let (from, to) = (Arc::clone(from), Arc::clone(to));
            let (heard, known) = (Arc::clone(&member), Arc::clone(&member));
            let end = Arc::clone(&ended);
            let mut chance = StdRng::seed_from_u64(seed * 2 + u64::from(up));
            threads.push(std::thread::spawn(move || {
                receive(&from, &sender, up.then_some(&*heard), &end, || {
                    (!chance.random_bool(loss)).then_some(delay)
                });
            }));
            threads.push(std::thread::spawn(move || {
                deliver(&receiver, |packet| {
                    let member = *known.lock().unwrap_or_else(PoisonError::into_inner);
                    // What cannot be sent is lost, as elsewhere.
                    let _lost = match (up, member) {
                        (true, _) => to.send(packet),
                        (false, Some(member)) => to.send_to(packet, member),
                        (false, None) => Ok(0),
                    };
                });
            }));
        }
        Ok(Self {
            address,
            ended,
            threads,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // They panic for nothing.
            let _ended = thread.join();
        }
    }
}

/// Takes packets in; `fate` says how long each is on its way, and none where it is lost.
fn receive(
    from: &UdpSocket,
    sender: &Sender<Delayed>,
    heard: Option<&Mutex<Option<SocketAddr>>>,
    ended: &AtomicBool,
    mut fate: impl FnMut() -> Option<Duration>,
) {
    let mut buffer = vec![0; 1 << 16];
    while !ended.load(Ordering::Relaxed) {
        let Ok((size, source)) = from.recv_from(&mut buffer) else {
            continue;
        };
        if let Some(heard) = heard {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
        }
        if let Some(delay) = fate()
            && sender
                .send((Instant::now() + delay, buffer[..size].to_vec()))
                .is_err()
        {
            return;
        }
    }
}

fn deliver(receiver: &Receiver<Delayed>, mut send: impl FnMut(&[u8])) {
    while let Ok((at, packet)) = receiver.recv() {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        send(&packet);
    }
}
