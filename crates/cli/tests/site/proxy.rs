//! A way to the core that lets through as many bytes as a test says, and can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Much, for a test.
const ALL: u64 = u64::MAX;

/// To the core, or from it.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

struct State {
    /// How many more bytes may pass, to the core and from it.
    left: [u64; 2],
    moved: [u64; 2],
    sockets: Vec<TcpStream>,
}

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Proxy {
    pub fn to(core: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State {
            left: [ALL; 2],
            moved: [0; 2],
            sockets: Vec::new(),
        };
        let this = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new((Mutex::new(state), Condvar::new())),
        };
        let shared = Arc::clone(&this.shared);
        thread::spawn(move || {
            for inside in listener.incoming().flatten() {
                // A core that is not there is a connection that ends.
                let Ok(outside) = TcpStream::connect(core) else {
                    continue;
                };
                let sockets = [&inside, &outside].map(|socket| socket.try_clone().unwrap());
                shared.0.lock().unwrap().sockets.extend(sockets);
                let ends = (inside.try_clone().unwrap(), outside.try_clone().unwrap());
                for (from, to, way) in [(ends.0, ends.1, Way::Up), (outside, inside, Way::Down)] {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || copy(from, to, &shared, way as usize));
                }
            }
        });
        this
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
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
        self.shared.0.lock().unwrap().left.contains(&0)
    }

    pub fn moved_up(&self) -> u64 {
        self.shared.0.lock().unwrap().moved[Way::Up as usize]
    }

    pub fn moved_down(&self) -> u64 {
        self.shared.0.lock().unwrap().moved[Way::Down as usize]
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, shared: &(Mutex<State>, Condvar), way: usize) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut piece = &buffer[..count];
        while !piece.is_empty() {
            let state = shared.0.lock().unwrap();
            let mut state = shared.1.wait_while(state, |s| s.left[way] == 0).unwrap();
            let some = piece.len().min(usize::try_from(state.left[way]).unwrap());
            if state.left[way] != ALL {
                state.left[way] -= some as u64;
            }
            state.moved[way] += some as u64;
            drop(state);
            if to.write_all(&piece[..some]).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
            piece = &piece[some..];
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
