//! A conversation that goes on over one connection while a test does something else.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rhyzome_wireguard::tunnel::{Tunnel, TunnelStream};

use crate::member::{PATIENCE, connect};
use crate::wait::wait_for;
use crate::{Tunnelled, page};

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Heard {
    answers: AtomicU64,
    /// Whether it should end.
    is_over: AtomicBool,
    /// Whether it has ended.
    has_ended: AtomicBool,
    /// The longest time that an answer took, in microseconds.
    longest: AtomicU64,
}

/// Questions to an instance, one after the other, over one connection of a tunnel.
pub struct Talk(Arc<Heard>);

impl Talk {
    /// Begins, and returns once there was an answer.
    ///
    /// # Panics
    /// Where there is no connection, or no answer.
    pub async fn start(tunnel: &Tunnelled, destination: SocketAddr) -> Self {
        let heard = Arc::new(Heard::default());
        let talk = Self(Arc::clone(&heard));
        let begin = async move |tunnel: Rc<Tunnel>| {
            let stream = connect(&tunnel, destination, PATIENCE).await?;
            tokio::task::spawn_local(go_on(stream, heard));
            Ok::<(), String>(())
        };
        let begun = tunnel.run(begin).await;
        begun.unwrap_or_else(|why| panic!("{why}"));
        talk.goes_on(1).await;
        talk
    }

    /// How many answers there were so far.
    pub fn answers(&self) -> u64 {
        self.0.answers.load(Ordering::Relaxed)
    }

    /// Waits for a number of further answers.
    ///
    /// # Panics
    /// Where they do not come.
    pub async fn goes_on(&self, answers: u64) {
        let wanted = self.answers() + answers;
        wait_for("the connection goes on", PATIENCE, async || {
            (self.answers() >= wanted).then_some(())
        })
        .await;
    }

    /// Whether the connection is still there.
    pub fn is_on(&self) -> bool {
        !self.0.has_ended.load(Ordering::Relaxed)
    }

    /// The longest time that an answer took so far.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.0.longest.load(Ordering::Relaxed))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

async fn go_on(mut stream: TunnelStream, heard: Arc<Heard>) {
    while !heard.is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        if page::get(&mut stream, "/healthz").await.is_err() {
            break;
        }
        heard.answers.fetch_add(1, Ordering::Relaxed);
        let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        heard.longest.fetch_max(took, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    heard.has_ended.store(true, Ordering::Relaxed);
}
