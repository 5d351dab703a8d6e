//! The connection itself: opened where it is not, and given up where libvirtd hangs.
//!
//! A libvirtd that hangs still takes connections, and answers nothing on them. A connection that is
//! open is asked every few seconds whether anybody is there: without an answer its calls fail, and the
//! next call opens another. Opening one has no bound in libvirt, so it is done by a thread that may be
//! left behind; there is never a second one of it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use virt::connect::Connect;
use virt::error::Error;

use super::HypervisorError;
use super::event::{self, Event};

/// How long libvirtd may take to answer at all; what it is asked to do may take longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// How often an open connection is tried, in seconds, and how many tries may stay without an answer.
const ALIVE: (i32, u32) = (5, 3);

pub(super) struct Connection {
    pub uri: String,
    /// Whether libvirt is in this process, where there is nobody who could hang.
    pub embedded: bool,
    pub events: UnboundedSender<Event>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    open: Option<Arc<Connect>>,
    opening: Option<Opening>,
}

/// A thread that opens a connection, and since when.
struct Opening {
    began: Instant,
    done: Receiver<Result<Connect, Error>>,
}

impl Connection {
    pub fn new(uri: String, embedded: bool, events: UnboundedSender<Event>) -> Self {
        Self {
            uri,
            embedded,
            events,
            slot: Mutex::default(),
        }
    }

    /// The connection, opened where it is not or no longer there. Blocks.
    pub fn get(&self) -> Result<Arc<Connect>, HypervisorError> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &slot.open
            && connection.is_alive().unwrap_or(false)
        {
            return Ok(connection.clone());
        }
        let opened = if self.embedded {
            Connect::open(Some(&self.uri))
        } else {
            self.open(&mut slot)?
        };
        let connection = opened.and_then(|connection| {
            if !self.embedded {
                connection.set_keep_alive(ALIVE.0, ALIVE.1)?;
            }
            event::register(&connection, &self.events)?;
            Ok(connection)
        });
        let connection = connection.map_err(|source| HypervisorError::Open {
            uri: self.uri.clone(),
            source,
        })?;
        Ok(slot.open.insert(Arc::new(connection)).clone())
    }

    fn open(&self, slot: &mut Slot) -> Result<Result<Connect, Error>, HypervisorError> {
        let opening = slot.opening.get_or_insert_with(|| {
            let (answer, done) = channel();
            let uri = self.uri.clone();
            thread::spawn(move || answer.send(Connect::open(Some(&uri))));
            Opening {
                began: Instant::now(),
                done,
            }
        });
        let left = ANSWERS_WITHIN.saturating_sub(opening.began.elapsed());
        let opened = opening.done.recv_timeout(left);
        let silent = || HypervisorError::Silent {
            uri: self.uri.clone(),
            seconds: ANSWERS_WITHIN.as_secs(),
        };
        match opened {
            // It is still at it, and may be answered yet.
            Err(RecvTimeoutError::Timeout) => Err(silent()),
            Err(RecvTimeoutError::Disconnected) => {
                slot.opening = None;
                Err(silent())
            }
            Ok(opened) => {
                slot.opening = None;
                Ok(opened)
            }
        }
    }
}
