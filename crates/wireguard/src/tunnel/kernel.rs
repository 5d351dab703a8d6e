//! The kernel's TCP above the tunnel, also for who is not root.
//!
//! ```text
//!   this process                                  holder, in a user and a network namespace of its own
//!   gotatun ── the TUN device's descriptor ◄───── makes the TUN device, its addresses and routes
//!   streams on sockets ◄───────────────────────── makes sockets, which stay in its namespace
//! ```
//!
//! A process may be root in a user namespace that it makes, and there in a network namespace with nothing in
//! it but what it makes; it has to have one thread to do so, so it is a process of its own. What it opens works
//! in this process as well, by `SCM_RIGHTS`, and stays where it was opened. Nobody else on the machine has a
//! way into that namespace. Its holder ends when this process does.
//!
//! A system may forbid user namespaces, or `/dev/net/tun`: then the stack in this crate does the same.

mod holder;
mod stream;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, send, setsockopt,
    socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::ConnectError;
use super::stack::{PROBE, SILENCE};

pub use holder::{HolderError, main};
pub(super) use stream::KernelStream;

/// How long a holder has to make what it is asked for, in seconds.
const PATIENCE: i64 = 5;
/// The longest that a holder says.
const ANSWER: usize = 4096;
/// How many probes an idle connection gets until [`SILENCE`] is over.
const PROBES: u32 = 3;

/// What a holder is to make.
#[derive(Debug, Serialize, Deserialize)]
struct Wanted {
    mtu: u16,
    addresses: Vec<IpAddr>,
}

/// What it is asked for from then on: a socket of a family.
const V4: u8 = b'4';
const V6: u8 = b'6';
/// The first byte of an answer that comes with a descriptor; the others are why there is none.
const GOOD: u8 = b'+';

/// A program that calls [`main`] when it is run with these arguments, and has begun no thread by then.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The file to run.
    pub path: PathBuf,
    /// What it is run with.
    pub args: Vec<String>,
}

/// A namespace for one tunnel.
pub(super) struct Kernel {
    wire: Arc<Mutex<OwnedFd>>,
    holder: Child,
    addresses: Vec<IpAddr>,
    stopped: watch::Sender<bool>,
}

impl Kernel {
    /// Makes it; gives the TUN device too.
    ///
    /// # Errors
    /// Where the system does not let us.
    pub(super) fn start(
        program: &Holder,
        mtu: u16,
        addresses: Vec<IpAddr>,
    ) -> io::Result<(Self, OwnedFd)> {
        let kind = SockType::SeqPacket;
        let (ours, its) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
        // It makes what it is asked for at once, or hangs.
        setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
        let holder = Command::new(&program.path)
            .args(&program.args)
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A terminal's Ctrl-C is for this process alone.
            .process_group(0)
            .spawn()?;
        let this = Self {
            wire: Arc::new(Mutex::new(ours)),
            holder,
            addresses,
            stopped: watch::Sender::new(false),
        };
        let wanted = Wanted {
            mtu,
            addresses: this.addresses.clone(),
        };
        let tun = ask(&this.wire, &serde_json::to_vec(&wanted)?)?;
        Ok((this, tun))
    }

    /// A connection to a destination.
    ///
    /// # Errors
    /// As the kernel says it.
    pub(super) async fn connect(
        &self,
        destination: SocketAddr,
        turn: OwnedSemaphorePermit,
    ) -> Result<KernelStream, ConnectError> {
        let has = |address: &IpAddr| address.is_ipv4() == destination.is_ipv4();
        if !self.addresses.iter().any(has) {
            return Err(ConnectError::NoSource(destination));
        }
        // A kernel would send to that port.
        if destination.port() == 0 {
            return Err(ConnectError::Invalid(destination));
        }
        let family = if destination.is_ipv4() { V4 } else { V6 };
        let wire = Arc::clone(&self.wire);
        let made = tokio::task::spawn_blocking(move || ask(&wire, &[family])).await;
        let socket =
            made.map_err(io::Error::other)
                .flatten()
                .map_err(|source| ConnectError::System {
                    destination,
                    source,
                })?;
        let socket = TcpSocket::from_std_stream(socket.into());
        let started = Instant::now();
        let connected = socket.connect(destination).await;
        let stream = connected.map_err(|error| refusal(error, destination, started.elapsed()))?;
        // What cannot be set stays as the system has it.
        let _ = mind_silence(&stream);
        KernelStream::new(stream, self.stopped.subscribe(), turn)
            .map_err(|_| ConnectError::Refused(destination))
    }

    /// Breaks all connections; their users are woken.
    pub(super) fn close(&self) {
        self.stopped.send_replace(true);
    }
}

/// Why there is no connection, as the kernel says it: a router's words reach it by ICMP.
fn refusal(error: io::Error, destination: SocketAddr, waited: Duration) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused(destination),
        io::ErrorKind::TimedOut => ConnectError::TimedOut {
            destination,
            waited,
        },
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        // What is forbidden on the way, over IPv6.
        | io::ErrorKind::PermissionDenied => ConnectError::NoRoute(destination),
        _ => ConnectError::System {
            destination,
            source: error,
        },
    }
}

/// Lets silence end a connection, as the other stack does, and sends what is written at once.
fn mind_silence(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let seconds = u32::try_from(PROBE.as_secs()).unwrap_or(u32::MAX);
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &seconds)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &seconds)?;
    setsockopt(stream, sockopt::TcpKeepCount, &PROBES)?;
    let silence = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    setsockopt(stream, sockopt::TcpUserTimeout, &silence)?;
    Ok(())
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Asks for a descriptor.
fn ask(wire: &Mutex<OwnedFd>, words: &[u8]) -> io::Result<OwnedFd> {
    let wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
    send(wire.as_raw_fd(), words, MsgFlags::MSG_NOSIGNAL)?;
    let mut answer = [0; ANSWER];
    let mut room = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut answer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let heard = recvmsg::<()>(wire.as_raw_fd(), &mut parts, Some(&mut room), flags)?;
    let descriptor = heard.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    let length = heard.bytes;
    if let Some(descriptor) = descriptor {
        // SAFETY: the kernel has made it for this message, and nothing else has it.
        return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }
    let said = String::from_utf8_lossy(&answer[..length]).into_owned();
    Err(io::Error::other(match said.is_empty() {
        true => "the holder ended".to_owned(),
        false => said,
    }))
}
