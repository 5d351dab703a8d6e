//! The web server: a fixed number of connections, each with its own buffers, none of which can hold up the others.
//!
//! A connection: listening → reading a head → answering → reading the next head, or closing → listening. Who sends no
//! whole request, or takes no response, within a limit is cut off. When few connections are left, idle ones are closed.

use core::fmt::Write;
use core::net::IpAddr;

use hello::http::{self, Head, LONGEST_HEAD, Method, Parsed, Status};
use hello::page::{self, Facts, Resource};
use hello::text::Text;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::Duration;

use crate::machine::clock;
use crate::machine::once::Once;
use crate::net::Stack;

/// How many connections there can be at a time.
pub const CONNECTIONS: usize = 32;
const PORT: u16 = 80;
/// With fewer than these free, connections are not kept open.
const RESERVE: usize = 8;
const LONGEST_RESPONSE_HEAD: usize = 512;
const SEND_BUFFER: usize = page::LONGEST + LONGEST_RESPONSE_HEAD;
/// For a whole request to arrive, also the next one on an open connection.
const REQUEST_MICROS: u64 = 15_000_000;
/// For a response to be taken, and for the other side to close.
const CLOSE_MICROS: u64 = 5_000_000;
/// A connection that has been quiet for this long is idle, and may go first.
const IDLE_MICROS: u64 = 500_000;
/// A peer that acknowledges nothing for this long is gone.
const GONE: Duration = Duration::from_secs(20);
const ACK_DELAY: Duration = Duration::from_millis(10);

struct Buffers {
    receive: [[u8; LONGEST_HEAD]; CONNECTIONS],
    send: [[u8; SEND_BUFFER]; CONNECTIONS],
    heads: [[u8; LONGEST_HEAD]; CONNECTIONS],
}

static BUFFERS: Once<Buffers> = Once::new(Buffers {
    receive: [[0; LONGEST_HEAD]; CONNECTIONS],
    send: [[0; SEND_BUFFER]; CONNECTIONS],
    heads: [[0; LONGEST_HEAD]; CONNECTIONS],
});
static BODY: Once<Text<{ page::LONGEST }>> = Once::new(Text::new());

/// What the server says about the machine.
#[derive(Clone, Copy)]
pub struct Memory {
    /// Bytes of RAM.
    pub total: u64,
    /// Bytes of the kernel.
    pub kernel: u64,
}

/// The server's state.
pub struct Server {
    connections: [Connection; CONNECTIONS],
    body: &'static mut Text<{ page::LONGEST }>,
    memory: Memory,
    requests: u64,
}

struct Connection {
    handle: SocketHandle,
    head: &'static mut [u8; LONGEST_HEAD],
    len: usize,
    phase: Phase,
    /// When the phase began, in microseconds since boot.
    since: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Listening,
    Reading,
    Closing,
}

impl Server {
    /// Opens the sockets. Panics when a second server is started.
    pub fn start(sockets: &mut SocketSet<'static>, memory: Memory) -> Self {
        let Buffers {
            receive,
            send,
            heads,
        } = BUFFERS.take();
        let mut buffers = receive.iter_mut().zip(send).zip(heads);
        let connections = core::array::from_fn(|_| {
            let ((receive, send), head) = buffers
                .next()
                .expect("there are buffers for every connection");
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(&mut receive[..]),
                tcp::SocketBuffer::new(&mut send[..]),
            );
            socket.set_nagle_enabled(false);
            socket.set_timeout(Some(GONE));
            listen(&mut socket);
            Connection {
                handle: sockets.add(socket),
                head,
                len: 0,
                phase: Phase::Listening,
                since: 0,
            }
        });
        Self {
            connections,
            body: BODY.take(),
            memory,
            requests: 0,
        }
    }

    /// Does what can be done on every connection. Returns whether that was anything.
    pub fn serve(&mut self, stack: &mut Stack) -> bool {
        let now = clock::now_micros();
        let free = self
            .connections
            .iter()
            .filter(|connection| connection.phase == Phase::Listening)
            .count();
        let crowded = free < RESERVE;
        if crowded {
            self.close_idle(stack, now);
        }
        let mut did = false;
        for index in 0..CONNECTIONS {
            did |= self.step(index, stack, now, crowded);
        }
        did
    }

    /// Whether there are connections.
    pub fn is_busy(&self) -> bool {
        self.connections
            .iter()
            .any(|connection| connection.phase != Phase::Listening)
    }

    /// Closes the connection that has waited longest for a next request.
    fn close_idle(&mut self, stack: &mut Stack, now: u64) {
        let idle = |connection: &&mut Connection| {
            connection.phase == Phase::Reading
                && connection.len == 0
                && now - connection.since > IDLE_MICROS
        };
        if let Some(oldest) = self
            .connections
            .iter_mut()
            .filter(idle)
            .min_by_key(|connection| connection.since)
        {
            oldest.close(stack.sockets.get_mut(oldest.handle), now);
        }
    }

    fn step(&mut self, index: usize, stack: &mut Stack, now: u64, crowded: bool) -> bool {
        let connection = &mut self.connections[index];
        let socket: &mut tcp::Socket<'static> = stack.sockets.get_mut(connection.handle);
        match (socket.state(), connection.phase) {
            // The time after a close serves the closing side; waiting it out would use up the connections.
            (State::Closed | State::TimeWait, _) => {
                connection.len = 0;
                connection.enter(Phase::Listening, now);
                listen(socket);
                true
            }
            (State::Listen | State::SynReceived, _) => false,
            (_, Phase::Listening) => {
                connection.enter(Phase::Reading, now);
                self.read(index, stack, now, crowded)
            }
            (_, Phase::Reading) => self.read(index, stack, now, crowded),
            (_, Phase::Closing) if now - connection.since > CLOSE_MICROS => {
                socket.abort();
                true
            }
            (_, Phase::Closing) => false,
        }
    }

    /// Takes in what came, and answers a request once it is whole and the response before it is taken.
    fn read(&mut self, index: usize, stack: &mut Stack, now: u64, crowded: bool) -> bool {
        let connection = &mut self.connections[index];
        let socket: &mut tcp::Socket<'static> = stack.sockets.get_mut(connection.handle);
        let late = now - connection.since > REQUEST_MICROS;
        if socket.send_queue() > 0 {
            if late {
                socket.abort();
            }
            return late;
        }
        let received = socket
            .recv_slice(&mut connection.head[connection.len..])
            .unwrap_or(0);
        connection.len += received;
        let (resource, head_only, keep_alive, used) =
            match http::parse(&connection.head[..connection.len]) {
                Parsed::Request(request, used) => {
                    let keep_alive = request.keep_alive && !crowded;
                    (
                        Resource::find(&request),
                        request.method == Method::Head,
                        keep_alive,
                        used,
                    )
                }
                Parsed::Refused(status) => (Resource::Refusal(status), false, false, 0),
                Parsed::Incomplete if !socket.may_recv() || late && connection.len == 0 => {
                    connection.close(socket, now);
                    return true;
                }
                Parsed::Incomplete if late => {
                    (Resource::Refusal(Status::RequestTimeout), false, false, 0)
                }
                Parsed::Incomplete => return received > 0,
            };
        connection.head.copy_within(used..connection.len, 0);
        connection.len -= used;
        self.answer(
            index,
            stack,
            Answer {
                resource,
                head_only,
                keep_alive,
            },
        );
        let connection = &mut self.connections[index];
        if keep_alive {
            connection.enter(Phase::Reading, now);
        } else {
            connection.close(stack.sockets.get_mut(connection.handle), now);
        }
        true
    }

    fn answer(&mut self, index: usize, stack: &mut Stack, answer: Answer) {
        let Answer {
            resource,
            head_only,
            keep_alive,
        } = answer;
        self.requests += 1;
        self.body.clear();
        write_body(self.body, resource, stack, self.memory, self.requests);
        let head = Head {
            status: resource.status(),
            media_type: resource.media_type(),
            length: self.body.as_bytes().len(),
            keep_alive,
        };
        let mut text = Text::<LONGEST_RESPONSE_HEAD>::new();
        write!(text, "{head}").expect("the longest head fits its buffer");
        let body = if head_only { &[] } else { self.body.as_bytes() };
        let socket: &mut tcp::Socket<'static> =
            stack.sockets.get_mut(self.connections[index].handle);
        for part in [text.as_bytes(), body] {
            // A peer that has reset the connection meanwhile takes nothing: its socket says so at the next step.
            let _ = socket.send_slice(part);
        }
    }
}

struct Answer {
    resource: Resource,
    head_only: bool,
    keep_alive: bool,
}

fn write_body(
    into: &mut Text<{ page::LONGEST }>,
    resource: Resource,
    stack: &Stack,
    memory: Memory,
    requests: u64,
) {
    let nowhere = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
    let (mut addresses, mut gateways, mut dns) = ([(nowhere, 0); 4], [nowhere; 2], [nowhere; 4]);
    let facts = Facts {
        hostname: stack.hostname(),
        network: stack.network(),
        addresses: fill(&mut addresses, stack.addresses()),
        gateways: fill(&mut gateways, stack.gateways()),
        dns: fill(&mut dns, stack.dns()),
        mac: stack.mac(),
        dhcp: stack.uses_dhcp(),
        memory: memory.total,
        kernel: memory.kernel,
        uptime_micros: clock::now_micros(),
        requests,
    };
    resource
        .write(&facts, into)
        .expect("the longest page fits its buffer");
}

/// Puts items into an array, as many as fit, and returns those.
fn fill<T>(array: &mut [T], items: impl Iterator<Item = T>) -> &[T] {
    let mut len = 0;
    for (slot, item) in array.iter_mut().zip(items) {
        *slot = item;
        len += 1;
    }
    &array[..len]
}

fn listen(socket: &mut tcp::Socket<'static>) {
    socket.abort();
    socket.set_ack_delay(Some(ACK_DELAY));
    socket
        .listen(PORT)
        .expect("a closed socket can listen on a port");
}

impl Connection {
    fn enter(&mut self, phase: Phase, now: u64) {
        self.phase = phase;
        self.since = now;
    }

    /// Sends what is left and then the end. From here on everything is acknowledged at once: the peer's end, too,
    /// must be, before this connection listens again.
    fn close(&mut self, socket: &mut tcp::Socket<'static>, now: u64) {
        socket.set_ack_delay(None);
        socket.close();
        self.enter(Phase::Closing, now);
    }
}
