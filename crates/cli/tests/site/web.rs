//! A web server with one file, which a test lets break off.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct State {
    pub bytes: Vec<u8>,
    /// Its entity tag; none where the server knows nothing of such.
    pub tag: Option<String>,
    /// The connection is cut after so many bytes of the answers to come, first of these first.
    pub cuts: Vec<usize>,
    /// What was asked for: path, and range if there was one.
    pub asked: Vec<String>,
}

pub struct Web {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Web {
    pub fn with(bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            bytes,
            tag: Some("\"first\"".to_owned()),
            cuts: Vec::new(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that is killed is none of its worries.
                thread::spawn(move || answer(socket, &shared).ok());
            }
        });
        Self { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    /// Since it was asked the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// One request a connection. `/round` leads to itself, `/moved` to `/big`.
fn answer(socket: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(socket.try_clone()?).lines();
    let first = lines.next().unwrap()?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut seen) = (None, None);
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "if-range" => seen = Some(value.to_owned()),
            _ => {}
        }
    }
    let (head, body, cut) = {
        let mut state = state.lock().unwrap();
        let shown = range
            .as_deref()
            .map_or(String::new(), |range| format!(" {range}"));
        state.asked.push(format!("{path}{shown}"));
        let to = match path.as_str() {
            "/moved" => Some("/big"),
            "/round" => Some("/round"),
            _ => None,
        };
        if let Some(to) = to {
            let head = format!("302 Found\r\nLocation: {to}\r\nContent-Length: 0");
            (head, Vec::new(), None)
        } else {
            let size = state.bytes.len();
            let start = range.filter(|_| seen == state.tag).and_then(|range| {
                let start = range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()?;
                Some(start).filter(|start| *start < size)
            });
            let body = state.bytes[start.unwrap_or(0)..].to_vec();
            let tag = state
                .tag
                .as_ref()
                .map_or(String::new(), |tag| format!("ETag: {tag}\r\n"));
            let length = body.len();
            let head = match start {
                Some(start) => format!(
                    "206 Partial Content\r\n{tag}Content-Range: bytes {start}-{}/{size}\r\nContent-Length: {length}",
                    size - 1
                ),
                None => format!("200 OK\r\n{tag}Content-Length: {length}"),
            };
            let cut = (!state.cuts.is_empty()).then(|| state.cuts.remove(0));
            (head, body, cut)
        }
    };
    let mut socket = socket;
    let length = cut.unwrap_or(body.len()).min(body.len());
    write!(socket, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    socket.write_all(&body[..length])
}
