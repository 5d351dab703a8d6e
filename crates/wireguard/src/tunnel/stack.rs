//! The TCP stack: smoltcp's interface and sockets under one lock, and the task that drives them.
//!
//! A socket whose stream was dropped is an orphan: it gets time to deliver what was written and is
//! then removed, with the turn that it holds.

mod stream;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gotatun::packet::Packet;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration as StackDuration, Instant as StackInstant};
use smoltcp::wire::{HardwareAddress, IpCidr};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep};

use super::ConnectError;
use super::icmp::{self, Report, Verdict};
use super::link::Wire;

pub(super) use stream::StackStream;

/// What a connection may have received and not read, in bytes.
const RECEIVE: usize = 1 << 20;

/// What a connection may have written and not delivered, in bytes.
const SEND: usize = 512 << 10;

/// How many packets are taken between two looks at the rest.
const BATCH: usize = 256;

/// How much faster the stack's clock runs. The stack waits at least a second before it sends anything
/// again, as RFC 6298 says and no kernel does, and cannot be told otherwise. So its second is Linux's
/// TCP_RTO_MIN, 200 ms. What it measures itself is stretched alike, and so as right as before.
const SPEED: u32 = 5;

/// An idle connection is probed this often.
pub(super) const PROBE: Duration = Duration::from_secs(30);

/// A connection whose other side is silent for so long, though probed or written to, is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

/// How long an orphan may take to deliver what was written.
const LINGER: Duration = Duration::from_secs(30);

/// The ports that connections come from (RFC 6335, section 6).
const PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;

/// The stack as its users and its driver share it.
pub(super) struct Shared {
    stack: Mutex<Stack>,
    /// Something was read or written, or is to be closed: there may be a packet to send.
    work: Notify,
}

pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    wire: Wire,
    orphans: Vec<Orphan>,
    /// Connections that the network put an end to before they were there.
    verdicts: HashMap<SocketHandle, Verdict>,
    sources: Vec<IpAddr>,
    next_port: u16,
    started: Instant,
    pub(super) closed: bool,
}

struct Orphan {
    handle: SocketHandle,
    until: Instant,
    _turn: OwnedSemaphorePermit,
}

impl Shared {
    pub(super) fn new(mut wire: Wire, addresses: &[IpAddr], seed: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let started = Instant::now();
        let mut interface = Interface::new(config, &mut wire, StackInstant::ZERO);
        interface.update_ip_addrs(|own| {
            for address in addresses {
                let length = if address.is_ipv4() { 32 } else { 128 };
                own.push(IpCidr::new((*address).into(), length))
                    .expect("there are at most two addresses, and room for two");
            }
        });
        // Everything goes into the tunnel: on this medium a gateway's address is never used.
        let routes = interface.routes_mut();
        routes
            .add_default_ipv4_route(Ipv4Addr::UNSPECIFIED)
            .expect("the table has room for two routes");
        routes
            .add_default_ipv6_route(Ipv6Addr::UNSPECIFIED)
            .expect("the table has room for two routes");
        let width = PORTS.end() - PORTS.start();
        let offset = u16::try_from(seed % u64::from(width)).unwrap_or_default();
        Self {
            stack: Mutex::new(Stack {
                interface,
                sockets: SocketSet::new(Vec::new()),
                wire,
                orphans: Vec::new(),
                verdicts: HashMap::new(),
                sources: addresses.to_vec(),
                next_port: PORTS.start() + offset,
                started,
                closed: false,
            }),
            work: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the driver look whether there is a packet to send.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().wire.dropped()
    }

    /// Breaks all connections; their users are woken.
    pub(super) fn close(&self) {
        let mut stack = self.lock();
        stack.closed = true;
        for (_, socket) in stack.sockets.iter_mut() {
            let smoltcp::socket::Socket::Tcp(socket) = socket;
            socket.abort();
        }
    }
}

impl Stack {
    pub(super) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Starts a connection.
    pub(super) fn open(
        &mut self,
        destination: SocketAddr,
    ) -> Result<(SocketHandle, SocketAddr), ConnectError> {
        if self.closed {
            return Err(ConnectError::Stopped);
        }
        let mut sources = self.sources.iter();
        let source = *sources
            .find(|source| source.is_ipv4() == destination.is_ipv4())
            .ok_or(ConnectError::NoSource(destination))?;
        let local = SocketAddr::new(source, self.port());
        let mut socket = Socket::new(
            SocketBuffer::new(vec![0; RECEIVE]),
            SocketBuffer::new(vec![0; SEND]),
        );
        // Without a congestion control a lost packet makes an upload collapse.
        socket.set_congestion_control(CongestionControl::Cubic);
        // Whoever writes through a tunnel has put together what belongs together.
        socket.set_nagle_enabled(false);
        socket
            .connect(self.interface.context(), destination, local)
            .map_err(|_| ConnectError::Invalid(destination))?;
        Ok((self.sockets.add(socket), local))
    }

    /// Why a connection was closed that was not there yet: without a report it was its other side.
    pub(super) fn verdict(&self, handle: SocketHandle) -> Verdict {
        let verdict = self.verdicts.get(&handle);
        verdict.copied().unwrap_or(Verdict::Refused)
    }

    /// Called once a connection is there: from now on silence ends it.
    pub(super) fn established(&mut self, handle: SocketHandle) {
        let socket = self.socket(handle);
        socket.set_keep_alive(Some(stretched(PROBE)));
        socket.set_timeout(Some(stretched(SILENCE)));
    }

    /// Takes over a connection that nobody uses any more.
    pub(super) fn orphan(&mut self, handle: SocketHandle, turn: OwnedSemaphorePermit) {
        let socket = self.socket(handle);
        if socket.can_recv() {
            // What was not read is lost, and the other side has to know (RFC 2525, section 2.17).
            socket.abort();
        } else {
            socket.close();
        }
        self.orphans.push(Orphan {
            handle,
            until: Instant::now() + LINGER,
            _turn: turn,
        });
    }

    fn arrive(&mut self, packets: impl Iterator<Item = Packet>) {
        for packet in packets {
            if let Some(report) = icmp::read(&packet) {
                self.heed(&report);
            }
            self.wire.arrived.push_back(packet);
        }
    }

    /// Ends the connection that is reported on, if it is ours and not there yet.
    fn heed(&mut self, report: &Report) {
        for (handle, socket) in self.sockets.iter_mut() {
            let smoltcp::socket::Socket::Tcp(socket) = socket;
            let same = socket.local_endpoint() == Some(report.local.into())
                && socket.remote_endpoint() == Some(report.remote.into());
            if same && socket.state() == State::SynSent {
                self.verdicts.insert(handle, report.verdict);
                socket.abort();
            }
        }
    }

    /// Moves packets, and says how long nothing has to be done unless something happens.
    fn poll(&mut self) -> Option<Duration> {
        let now = self.now();
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        self.bury();
        let delay = self.interface.poll_delay(now, &self.sockets);
        let delay = delay.map(|delay| Duration::from_micros(delay.total_micros()) / SPEED);
        if self.orphans.is_empty() {
            return delay;
        }
        // Orphans are looked at now and then, whatever the sockets wait for.
        Some(delay.map_or(BURIAL, |delay| delay.min(BURIAL)))
    }

    /// Removes the orphans that are done, and gives up those that take too long.
    fn bury(&mut self) {
        let (sockets, verdicts) = (&mut self.sockets, &mut self.verdicts);
        self.orphans.retain(|orphan| {
            let socket: &mut Socket<'_> = sockets.get_mut(orphan.handle);
            match socket.state() {
                // A closed one with an address still has a reset to send.
                State::Closed if socket.remote_endpoint().is_none() => {}
                // Both sides are done. If the last acknowledgement was lost, a reset will say so.
                State::TimeWait => {}
                State::Closed => return true,
                _ => {
                    if socket.can_recv() || Instant::now() >= orphan.until {
                        socket.abort();
                    }
                    return true;
                }
            }
            sockets.remove(orphan.handle);
            verdicts.remove(&orphan.handle);
            false
        });
    }

    /// A port that no connection uses. There are more ports than connections.
    fn port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = match port {
                last if last == *PORTS.end() => *PORTS.start(),
                port => port + 1,
            };
            let taken = self.sockets.iter().any(|(_, socket)| {
                let smoltcp::socket::Socket::Tcp(socket) = socket;
                socket.local_endpoint().is_some_and(|own| own.port == port)
            });
            if !taken {
                return port;
            }
        }
    }

    fn now(&self) -> StackInstant {
        let micros = self.started.elapsed().as_micros() * u128::from(SPEED);
        StackInstant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// As the stack's clock has it.
fn stretched(time: Duration) -> StackDuration {
    StackDuration::from_secs(time.as_secs() * u64::from(SPEED))
}

const BURIAL: Duration = Duration::from_millis(100);

/// Moves packets between the device and the sockets until the device is gone.
pub(super) async fn drive(shared: Arc<Shared>, mut arrivals: mpsc::Receiver<Packet>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let (delay, stalled, room) = {
            let mut stack = shared.lock();
            stack.arrive(batch.drain(..));
            let delay = stack.poll();
            let waiting = stack.wire.arrived.len();
            (delay, stack.wire.stalled(), BATCH.saturating_sub(waiting))
        };
        // With the way out blocked, nothing that is due can be done before there is room.
        let blocked = stalled.is_some();
        let room_outside = async {
            match &stalled {
                Some(queue) => drop(queue.reserve().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = arrivals.recv_many(&mut batch, room), if room > 0 => {
                if received == 0 {
                    return;
                }
            }
            () = shared.work.notified() => {}
            () = room_outside, if blocked => {}
            () = sleep(delay.unwrap_or_default()), if delay.is_some() && !blocked => {}
        }
    }
}
