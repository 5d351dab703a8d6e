//! A connection of this stack.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use crate::tunnel::ConnectError;
use crate::tunnel::icmp::Verdict;
use crate::tunnel::stream::stopped;

/// A TCP connection.
pub(in crate::tunnel) struct StackStream {
    shared: Arc<Shared>,
    handle: SocketHandle,
    local: SocketAddr,
    remote: SocketAddr,
    shut: bool,
    /// Given to the stack with the socket when the stream is dropped.
    turn: Option<OwnedSemaphorePermit>,
}

impl StackStream {
    /// Starts a connection; [`Self::established`] waits for it.
    pub(in crate::tunnel) fn open(
        shared: Arc<Shared>,
        remote: SocketAddr,
        turn: OwnedSemaphorePermit,
    ) -> Result<Self, ConnectError> {
        let (handle, local) = shared.lock().open(remote)?;
        shared.wake();
        Ok(Self {
            shared,
            handle,
            local,
            remote,
            shut: false,
            turn: Some(turn),
        })
    }

    /// Waits until the other side has answered the connection's first packet.
    pub(in crate::tunnel) async fn established(&self) -> Result<(), ConnectError> {
        poll_fn(|context| {
            let mut stack = self.shared.lock();
            if stack.closed {
                return Poll::Ready(Err(ConnectError::Stopped));
            }
            let socket = stack.socket(self.handle);
            match socket.state() {
                State::SynSent | State::SynReceived => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                State::Closed => Poll::Ready(Err(match stack.verdict(self.handle) {
                    Verdict::Refused => ConnectError::Refused(self.remote),
                    Verdict::NoRoute => ConnectError::NoRoute(self.remote),
                })),
                _ => {
                    stack.established(self.handle);
                    Poll::Ready(Ok(()))
                }
            }
        })
        .await
    }

    pub(in crate::tunnel) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(in crate::tunnel) fn peer_addr(&self) -> SocketAddr {
        self.remote
    }
}

impl AsyncRead for StackStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut stack = self.shared.lock();
        if stack.closed {
            return Poll::Ready(Err(stopped()));
        }
        let socket = stack.socket(self.handle);
        match socket.recv_slice(buffer.initialize_unfilled()) {
            Ok(0) => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            Ok(read) => {
                buffer.advance(read);
                drop(stack);
                // There is more room in the window, which the other side may be waiting for.
                self.shared.wake();
                Poll::Ready(Ok(()))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(())),
            Err(RecvError::InvalidState) => Poll::Ready(Err(broken(self.remote))),
        }
    }
}

impl AsyncWrite for StackStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut stack = self.shared.lock();
        if stack.closed {
            return Poll::Ready(Err(stopped()));
        }
        let socket = stack.socket(self.handle);
        match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            Ok(written) => {
                drop(stack);
                self.shared.wake();
                Poll::Ready(Ok(written))
            }
            Err(_) => Poll::Ready(Err(broken(self.remote))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            self.shut = true;
            self.shared.lock().socket(self.handle).close();
            self.shared.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for StackStream {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.shared.lock().orphan(self.handle, turn);
            self.shared.wake();
        }
    }
}

fn broken(remote: SocketAddr) -> io::Error {
    let reason = format!("{remote} reset the connection, or has been silent for too long");
    io::Error::new(io::ErrorKind::ConnectionReset, reason)
}
