//! A connection through the tunnel, as a stream of bytes, whoever's TCP it is.
//!
//! Shutting down its writing half sends what was written and then the end; reading goes on until
//! the other side ends as well. Dropping it closes it in order, or resets it if something was
//! received and not read, as a kernel does.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(target_os = "linux")]
use super::kernel::KernelStream;
use super::stack::StackStream;

/// A TCP connection through a tunnel.
pub struct TunnelStream(pub(super) Stream);

pub(super) enum Stream {
    Stack(StackStream),
    #[cfg(target_os = "linux")]
    Kernel(KernelStream),
}

/// Does the same with either.
macro_rules! either {
    ($stream:expr, $it:ident => $what:expr) => {
        match $stream {
            Stream::Stack($it) => $what,
            #[cfg(target_os = "linux")]
            Stream::Kernel($it) => $what,
        }
    };
}

impl TunnelStream {
    /// The address and port inside the tunnel that the connection comes from.
    pub fn local_addr(&self) -> SocketAddr {
        either!(&self.0, it => it.local_addr())
    }

    /// The destination.
    pub fn peer_addr(&self) -> SocketAddr {
        either!(&self.0, it => it.peer_addr())
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(&mut self.0, it => Pin::new(it).poll_read(context, buffer))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(&mut self.0, it => Pin::new(it).poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.0, it => Pin::new(it).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.0, it => Pin::new(it).poll_shutdown(context))
    }
}

impl std::fmt::Debug for TunnelStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "TunnelStream({} to {})",
            self.local_addr(),
            self.peer_addr()
        )
    }
}

pub(super) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the tunnel is stopped")
}
