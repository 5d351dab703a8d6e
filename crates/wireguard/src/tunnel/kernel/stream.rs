//! A connection of the kernel in the tunnel's namespace.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use crate::tunnel::stream::stopped;

/// How long what was written may take to be delivered when nobody holds the connection any more.
const LINGER: Duration = Duration::from_secs(30);

/// A TCP connection.
pub(in crate::tunnel) struct KernelStream {
    /// There until it is dropped.
    stream: Option<TcpStream>,
    local: SocketAddr,
    remote: SocketAddr,
    stopped: Stopped,
    turn: Option<OwnedSemaphorePermit>,
}

type Stopped = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl KernelStream {
    pub(in crate::tunnel) fn new(
        stream: TcpStream,
        mut is_stopped: watch::Receiver<bool>,
        turn: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let stopped = async move {
            // Who would say so is gone: that is the same.
            let _ = is_stopped.wait_for(|it| *it).await;
        };
        Ok(Self {
            stream: Some(stream),
            local,
            remote,
            stopped: Box::pin(stopped),
            turn: Some(turn),
        })
    }

    pub(in crate::tunnel) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(in crate::tunnel) fn peer_addr(&self) -> SocketAddr {
        self.remote
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("it is there until the end"))
    }

    /// What a socket says, or that the tunnel was stopped meanwhile.
    fn unless_stopped<T>(
        &mut self,
        context: &mut Context<'_>,
        said: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if said.is_ready() {
            return said;
        }
        ready!(self.stopped.as_mut().poll(context));
        // Asked again it would not end, so it is not: what a socket still has is nobody's.
        self.stopped = Box::pin(std::future::ready(()));
        Poll::Ready(Err(stopped()))
    }
}

impl AsyncRead for KernelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let said = self.stream().poll_read(context, buffer);
        self.unless_stopped(context, said)
    }
}

impl AsyncWrite for KernelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let said = self.stream().poll_write(context, bytes);
        self.unless_stopped(context, said)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

impl Drop for KernelStream {
    fn drop(&mut self) {
        let (stream, turn) = (self.stream.take(), self.turn.take());
        // Without a runtime nothing moves the tunnel's packets either.
        if let (Some(stream), Ok(runtime)) = (stream, Handle::try_current()) {
            runtime.spawn(async move {
                // Past that it is the kernel's, as long as the tunnel is there.
                let _ = timeout(LINGER, close(stream)).await;
                drop(turn);
            });
        }
    }
}

/// Delivers what was written, and hears the other side's end of it; what comes beyond that resets it.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    if matches!(stream.try_read(&mut [0]), Ok(1..)) {
        return Ok(());
    }
    stream.shutdown().await?;
    stream.read(&mut [0]).await.map(drop)
}
