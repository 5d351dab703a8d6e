//! A way to a core that lets through as many bytes as a test says, and can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// More than any test moves.
const ALL: u64 = u64::MAX;

/// To the core, or from it.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

struct State {
    core: SocketAddr,
    /// How many more bytes may pass, to the core and from it.
    left: [u64; 2],
    moved: [u64; 2],
    sockets: Vec<TcpStream>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Has threads of its own, so that it serves tests with a runtime and without.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// # Panics
    /// Where it cannot listen.
    pub fn to(core: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = State {
            core,
            left: [ALL; 2],
            moved: [0; 2],
            sockets: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let this = Self {
            address,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for inside in listener.incoming().flatten() {
                let core = shared.lock().core;
                // A core that is not there is a connection that ends.
                if let Ok(outside) = TcpStream::connect(core) {
                    shared.join(&inside, &outside);
                }
            }
        });
        this
    }

    /// Where new connections go from now on.
    pub fn lead_to(&self, core: SocketAddr) {
        self.change(|state| state.core = core);
    }

    /// Lets so many bytes pass to the core, and counts from here on.
    pub fn allow_up(&self, bytes: u64) {
        self.change(|state| (state.left, state.moved) = ([bytes, ALL], [0; 2]));
    }

    /// Lets so many bytes pass from the core, and counts from here on.
    pub fn allow_down(&self, bytes: u64) {
        self.change(|state| (state.left, state.moved) = ([ALL, bytes], [0; 2]));
    }

    /// Lets everything pass, and counts from here on.
    pub fn allow_all(&self) {
        self.change(|state| (state.left, state.moved) = ([ALL; 2], [0; 2]));
    }

    /// Ends all connections that are open.
    pub fn cut(&self) {
        self.change(|state| {
            for socket in state.sockets.drain(..) {
                // It may have ended by itself.
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }

    /// Whether no more bytes may pass in some direction.
    pub fn is_full(&self) -> bool {
        self.shared.lock().left.contains(&0)
    }

    pub fn moved_up(&self) -> u64 {
        self.shared.lock().moved[Way::Up as usize]
    }

    pub fn moved_down(&self) -> u64 {
        self.shared.lock().moved[Way::Down as usize]
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies both ways from now on.
    fn join(self: &Arc<Self>, inside: &TcpStream, outside: &TcpStream) {
        let clone = |socket: &TcpStream| socket.try_clone().expect("a second handle");
        for (from, to, way) in [(inside, outside, Way::Up), (outside, inside, Way::Down)] {
            let (shared, from, to) = (Arc::clone(self), clone(from), clone(to));
            self.lock().sockets.push(clone(&from));
            thread::spawn(move || shared.copy(from, to, way as usize));
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, way: usize) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut piece = &buffer[..count];
            while !piece.is_empty() {
                let some = self.take(piece.len(), way);
                if to.write_all(&piece[..some]).is_err() {
                    // What came the other way before is still to be read.
                    let _ = from.shutdown(Shutdown::Read);
                    return;
                }
                piece = &piece[some..];
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits until some bytes may pass. How many.
    fn take(&self, wanted: usize, way: usize) -> usize {
        let waited = self
            .changed
            .wait_while(self.lock(), |state| state.left[way] == 0);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let some = usize::try_from(state.left[way]).unwrap_or(wanted);
        let some = some.min(wanted);
        if state.left[way] != ALL {
            state.left[way] -= some as u64;
        }
        state.moved[way] += some as u64;
        some
    }
}
