//! A TLS listener that nobody can hold up.
//!
//! One task accepts TCP connections; each handshake runs in a task of its own,
//! with a time limit. When [`Limits::handshakes`] are under way, the next waits
//! for one to end; none ending within [`Limits::patience`], the one that has
//! taken longest is dropped. An honest handshake takes milliseconds, so a crowd
//! of them passes in turn, and what takes longest is what stalls.
//!
//! Connections come out as a stream, as tonic's `serve_with_incoming` takes
//! it, or one by one from [`TlsIncoming::accept`]. Dropping the
//! [`TlsIncoming`] closes the port and ends all handshakes.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use crate::certificate::PeerCertificate;

/// How long a pause follows when the system refuses to accept (no descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one listener spends on strangers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Handshakes under way at once, at least 1.
    pub handshakes: usize,
    /// How long a handshake may keep a newcomer waiting when there are as many.
    pub patience: Duration,
    /// From the TCP connection to the end of the handshake.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            patience: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Who is at the other end, as tonic puts it into every request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectInfo {
    pub remote_addr: SocketAddr,
    /// `None` where no certificate was shown. May be expired.
    pub peer: Option<PeerCertificate>,
}

/// Connections whose handshakes have succeeded.
#[derive(Debug)]
pub struct TlsIncoming {
    ready: mpsc::Receiver<TlsConnection>,
    listening: JoinHandle<()>,
    local_addr: SocketAddr,
}

impl TlsIncoming {
    /// Takes over a listener. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the listener cannot say its own address.
    pub fn new(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        limits: Limits,
    ) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let (done, ready) = mpsc::channel(limits.handshakes.max(1));
        let listening = tokio::spawn(listen(listener, TlsAcceptor::from(config), limits, done));
        Ok(Self {
            ready,
            listening,
            local_addr,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The next connection; `None` only when the runtime is shutting down.
    /// Nothing is lost if the future is dropped.
    pub async fn accept(&mut self) -> Option<TlsConnection> {
        self.ready.recv().await
    }
}

impl Stream for TlsIncoming {
    type Item = io::Result<TlsConnection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|next| next.map(Ok))
    }
}

impl Drop for TlsIncoming {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One connection, with what is known of its peer.
#[derive(Debug)]
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    info: ConnectInfo,
}

impl TlsConnection {
    /// Who is at the other end.
    #[must_use]
    pub fn info(&self) -> &ConnectInfo {
        &self.info
    }

    /// Whether an ACME server looked for the answer to its challenge: it has seen all there is.
    #[must_use]
    pub fn is_challenge(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(crate::challenge::ALPN)
    }

    /// The bare stream and the peer's address, for servers with types of
    /// their own.
    #[must_use]
    pub fn into_parts(self) -> (TlsStream<TcpStream>, SocketAddr) {
        (self.stream, self.info.remote_addr)
    }
}

impl Connected for TlsConnection {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    limits: Limits,
    done: mpsc::Sender<TlsConnection>,
) {
    // Dropped with this future, which ends every handshake.
    let mut tasks = JoinSet::new();
    let mut oldest_first: VecDeque<(Instant, AbortHandle)> = VecDeque::new();
    loop {
        oldest_first.retain(|(_, handshake)| !handshake.is_finished());
        let has_room = oldest_first.len() < limits.handshakes.max(1);
        let oldest = oldest_first
            .front()
            .map_or_else(Instant::now, |(at, _)| *at);
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                // A handshake that was dropped or panicked is just not there.
                if let Ok(Some(connection)) = ended
                    && done.send(connection).await.is_err()
                {
                    return;
                }
            }
            accepted = listener.accept(), if has_room => match accepted {
                Ok((tcp, remote)) => {
                    let handshake = shake_hands(tcp, remote, acceptor.clone(), limits.timeout);
                    oldest_first.push_back((Instant::now(), tasks.spawn(handshake)));
                }
                // What the peer did to its own connection says nothing about the next.
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no TCP connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = tokio::time::sleep_until(oldest + limits.patience), if !has_room => {
                tracing::debug!("too many TLS handshakes at once; the oldest is dropped");
                if let Some((_, handshake)) = oldest_first.pop_front() {
                    handshake.abort();
                }
            }
        }
    }
}

async fn shake_hands(
    tcp: TcpStream,
    remote: SocketAddr,
    acceptor: TlsAcceptor,
    timeout: Duration,
) -> Option<TlsConnection> {
    // Latency only; a socket that refuses it is about to fail anyway.
    let _ = tcp.set_nodelay(true);
    match tokio::time::timeout(timeout, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => identify(stream, remote),
        Ok(Err(error)) => {
            tracing::debug!(%remote, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%remote, "TLS handshake took too long");
            None
        }
    }
}

fn identify(stream: TlsStream<TcpStream>, remote_addr: SocketAddr) -> Option<TlsConnection> {
    let peer = match stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
    {
        None => None,
        Some(der) => match PeerCertificate::parse(der) {
            Ok(peer) => Some(peer),
            Err(error) => {
                // The verifier has parsed it before: closing is the safe answer.
                tracing::warn!(%remote_addr, %error, "a verified certificate is not readable");
                return None;
            }
        },
    };
    let info = ConnectInfo { remote_addr, peer };
    Some(TlsConnection { stream, info })
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
