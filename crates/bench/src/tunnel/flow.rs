//! Bytes that flow one way through TCP connections, counted where they arrive.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rhyzome_end_to_end::Place;

const CHUNK: usize = 128 << 10;
/// Until windows have grown.
const WARM: Duration = Duration::from_secs(1);
const CONNECTED: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// From the member.
    Up,
    Down,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// What a client asks for with its first byte.
const SINK: u8 = b's';
const SOURCE: u8 = b'g';

/// Takes what is sent, or sends for ever, as each connection asks.
pub struct Server {
    port: u16,
    taken: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(place: &Place, address: Ipv4Addr) -> anyhow::Result<Self> {
        let listener = place.run(|| TcpListener::bind((address, 0)));
        let listener = listener.context("the server's port")?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let (taken, ended) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, end) = (Arc::clone(&taken), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let count = Arc::clone(&count);
                        // It ends with its connection.
                        std::thread::spawn(move || serve(stream, &count));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Ok(Self {
            port,
            taken,
            ended,
            thread: Some(thread),
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets so many streams run from a place, and says how many megabits a second arrive.
    pub fn measure(
        &self,
        from: &Place,
        server: SocketAddr,
        way: Way,
        streams: usize,
        lasts: Duration,
    ) -> anyhow::Result<f64> {
        let received = match way {
            Way::Up => Arc::clone(&self.taken),
            Way::Down => Arc::new(AtomicU64::new(0)),
        };
        let mut running = Vec::new();
        for _ in 0..streams {
            let stream = from.run(|| TcpStream::connect_timeout(&server, CONNECTED));
            let mut stream = stream.with_context(|| format!("a connection to {server}"))?;
            stream.write_all(&[if way == Way::Up { SINK } else { SOURCE }])?;
            let other = stream.try_clone()?;
            let received = Arc::clone(&received);
            let thread = std::thread::spawn(move || match way {
                Way::Up => send(stream),
                Way::Down => take(stream, &received),
            });
            running.push((other, thread));
        }
        std::thread::sleep(WARM);
        let (before, began) = (received.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(lasts);
        let bytes = received.load(Ordering::Relaxed) - before;
        let rate = bytes as f64 * 8.0 / 1e6 / began.elapsed().as_secs_f64();
        for (stream, _) in &running {
            // The other side may have ended it already.
            let _ended = stream.shutdown(Shutdown::Both);
        }
        for (_, thread) in running {
            ensure!(thread.join().is_ok(), "a stream failed");
        }
        ensure!(bytes > 0, "nothing arrived from {server}");
        Ok(rate)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics for nothing.
            let _ended = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, taken: &AtomicU64) {
    let mut asked = [0];
    if stream.set_nonblocking(false).is_err() || stream.read_exact(&mut asked).is_err() {
        return;
    }
    match asked[0] {
        SINK => take(stream, taken),
        _ => send(stream),
    }
}

fn take(mut stream: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

fn send(mut stream: TcpStream) {
    let buffer = vec![0x5a; CHUNK];
    while stream.write_all(&buffer).is_ok() {}
}
