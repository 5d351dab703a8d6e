//! Listeners and connections: HTTP/1.1 and HTTP/2, over TLS or plain on loopback, until told to stop.
//!
//! A connection that sends no request's head in time is closed, and one whose client takes nothing of
//! what is sent to it; handshakes are limited by [`rhyzome_pki::acceptor`]. Stopping: nothing new is accepted, requests under way are finished within
//! a bound, the rest is cut off.

mod linger;
mod taking;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Version;
use hyper::body::Incoming as Received;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use ipnet::IpNet;
use rhyzome_pki::acceptor::{Limits, TlsIncoming};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::address;
use crate::configuration::{Configuration, TlsMode};
use crate::metrics::Metrics;
use crate::outermost::Remote;
use taking::{Bodies, Taking};

/// How long a connection may take for a request's head, and rest between two.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The most that is read of a request's headers over HTTP/2, in bytes; over HTTP/1.1 it is hyper's some
/// 400 KiB.
const HEADERS: u32 = 128 << 10;
/// HTTP/2 connections are asked for a sign of life this often.
const PING: Duration = Duration::from_secs(30);
/// How long requests under way have to finish.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long a pause follows when the system refuses to accept (no descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How connections are served.
#[derive(Clone)]
pub struct Manner {
    /// How long a connection may take for a request's head.
    head_within: Duration,
    /// How long a client may take nothing; none where that is its own affair.
    take_within: Option<Duration>,
    /// Who may connect besides this machine; none where everybody may.
    only: Option<Arc<[IpNet]>>,
    metrics: Metrics,
}

impl Manner {
    pub fn of(settings: &Configuration, metrics: Metrics) -> Self {
        let seconds = Duration::from_secs(settings.limits.take_within.into());
        let proxies = || settings.proxy.trusted.clone().into();
        Self {
            head_within: HEAD_TIME,
            take_within: Some(seconds).filter(|time| !time.is_zero()),
            only: (settings.tls.mode == TlsMode::BehindProxy).then(proxies),
            metrics,
        }
    }

    fn admits(&self, remote: IpAddr) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|nets| remote.to_canonical().is_loopback() || address::is_in(nets, remote))
    }
}

/// A bound port.
#[derive(Debug)]
pub enum Listener {
    Plain(TcpListener),
    Tls(TlsIncoming),
}

impl Listener {
    /// HTTPS on a bound port.
    ///
    /// # Errors
    /// When the listener cannot say its own address.
    pub fn tls(listener: TcpListener, config: rustls::ServerConfig) -> io::Result<Self> {
        TlsIncoming::new(listener, Arc::new(config), Limits::default()).map(Self::Tls)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(listener) => listener.local_addr(),
            Self::Tls(incoming) => Ok(incoming.local_addr()),
        }
    }
}

/// Serves until `stopping`; returns when the last connection is closed or [`GRACE`] is over.
pub async fn run(
    mut listener: Listener,
    router: Router,
    manner: Manner,
    stopping: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            () = accept(&mut listener, &router, &manner, &graceful) => {}
            () = stopping.cancelled() => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were cut off: they did not end in time");
    }
}

/// Accepts one connection and serves it in a task of its own.
async fn accept(
    listener: &mut Listener,
    router: &Router,
    manner: &Manner,
    graceful: &GracefulShutdown,
) {
    match listener {
        Listener::Plain(listener) => match listener.accept().await {
            Ok((stream, remote)) if manner.admits(remote.ip()) => {
                let watcher = graceful.watcher();
                tokio::spawn(serve(
                    stream,
                    remote,
                    router.clone(),
                    watcher,
                    manner.clone(),
                ));
            }
            Ok((_, remote)) => {
                tracing::warn!(%remote, "not in proxy.trusted: plain HTTP is for those alone");
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        },
        Listener::Tls(incoming) => match incoming.accept().await {
            Some(connection) if connection.is_challenge() => {
                tracing::info!("an ACME server looked at the answer to its challenge");
            }
            Some(connection) => {
                let (stream, remote) = connection.into_parts();
                let watcher = graceful.watcher();
                tokio::spawn(serve(
                    stream,
                    remote,
                    router.clone(),
                    watcher,
                    manner.clone(),
                ));
            }
            // Only while the runtime ends.
            None => std::future::pending().await,
        },
    }
}

async fn serve<S>(stream: S, remote: SocketAddr, router: Router, watcher: Watcher, manner: Manner)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let spoken = Arc::new(AtomicBool::new(false));
    let speaks = spoken.clone();
    let bodies = Bodies::default();
    let watched = bodies.clone();
    let service = hyper::service::service_fn(move |request: Request<Received>| {
        speaks.store(true, Ordering::Relaxed);
        let mut request = linger::Lingering::of(request).map(Body::new);
        let is_h2 = request.version() >= Version::HTTP_2;
        request.extensions_mut().insert(Remote(remote));
        let (answer, watched) = (router.clone().oneshot(request), watched.clone());
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(if is_h2 {
                watched.watch(response)
            } else {
                response
            })
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(manner.head_within);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(100)
        // More than is taken, so that who sends too much is told so by us.
        .max_header_list_size(HEADERS);
    let metrics = manner.metrics.clone();
    let stream = Taking::new(stream, manner.take_within, move || metrics.was_slow());
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    tokio::select! {
        ended = watcher.watch(connection) => if let Err(error) = ended {
            tracing::debug!(%remote, error, "a connection ended early");
        },
        // Before its first bytes nobody knows which HTTP it is, and nobody's timer runs.
        () = silence(&spoken, manner.head_within) => {
            tracing::debug!(%remote, "a connection said nothing");
        }
        () = bodies.stuck(manner.take_within) => {
            manner.metrics.was_slow();
            tracing::debug!(%remote, "a client took nothing of what was sent to it");
        }
    }
}

/// Ends if nothing was asked in time.
async fn silence(spoken: &AtomicBool, time: Duration) {
    tokio::time::sleep(time).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn manner(take_within: Option<Duration>) -> Manner {
        Manner {
            head_within: SHORT,
            take_within,
            only: None,
            metrics: Metrics::new(),
        }
    }

    async fn connect(said: &[u8]) -> Vec<u8> {
        let router = Router::new().route("/", axum::routing::any(|| async { "hello" }));
        let (mut here, there) = tokio::io::duplex(1 << 16);
        let graceful = GracefulShutdown::new();
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        tokio::spawn(serve(
            there,
            remote,
            router,
            graceful.watcher(),
            manner(None),
        ));
        here.write_all(said).await.expect("written");
        let mut heard = Vec::new();
        let read = here.read_to_end(&mut heard);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("it ends")
            .expect("read");
        heard
    }

    #[tokio::test]
    async fn a_connection_that_sends_no_whole_head_is_closed() {
        assert!(connect(b"").await.is_empty());
        assert!(connect(b"GET").await.is_empty());
        assert!(
            !connect(b"GET / HTTP/1.1\r\nhost: x\r\n")
                .await
                .starts_with(b"HTTP/1.1 200")
        );
    }

    #[tokio::test]
    async fn a_connection_that_asks_is_answered_and_closed_when_it_rests() {
        let heard = connect(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(heard.starts_with(b"HTTP/1.1 200") && heard.ends_with(b"hello"));
    }

    #[tokio::test]
    async fn who_sends_more_than_was_read_hears_the_answer() {
        // The duplex holds 64 KiB: the rest is written only if it is read.
        let mut said = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n".to_vec();
        said.resize(said.len() + 1_000_000, b'x');
        let heard = connect(&said).await;
        assert!(heard.starts_with(b"HTTP/1.1 200") && heard.ends_with(b"hello"));
    }

    #[tokio::test]
    async fn who_waits_to_be_told_to_send_is_answered_without() {
        let said =
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n";
        assert!(connect(said).await.starts_with(b"HTTP/1.1 200"));
    }

    #[test]
    fn behind_a_proxy_nobody_else_is_admitted_but_this_machine() {
        let mut settings = Configuration::default();
        settings.proxy.trusted = vec!["10.0.0.0/24".parse().expect("a net")];
        let check = |mode, remote: &str, expect: bool| {
            let mut settings = settings.clone();
            settings.tls.mode = mode;
            let manner = Manner::of(&settings, Metrics::new());
            let remote = remote.parse().expect("an address");
            assert_eq!(manner.admits(remote), expect, "{mode:?} {remote}");
        };
        for (remote, expect) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("10.0.0.7", true),
            ("::ffff:10.0.0.7", true),
            ("10.0.1.7", false),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            check(TlsMode::BehindProxy, remote, expect);
            check(TlsMode::On, remote, true);
        }
    }

    const LARGE: usize = 4 << 20;

    /// A connection to a core that answers with much, and its end.
    fn large(take_within: Duration) -> (tokio::io::DuplexStream, Manner, Serving) {
        let router = Router::new().route("/", axum::routing::any(|| async { vec![b'x'; LARGE] }));
        let (here, there) = tokio::io::duplex(1 << 10);
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        let manner = Manner {
            head_within: Duration::from_secs(600),
            ..manner(Some(take_within))
        };
        let graceful = GracefulShutdown::new();
        let serving = serve(there, remote, router, graceful.watcher(), manner.clone());
        let serving = async move {
            serving.await;
            drop(graceful);
        };
        (here, manner, tokio::spawn(serving))
    }

    type Serving = tokio::task::JoinHandle<()>;

    fn slow_ones(manner: &Manner) -> bool {
        let text = manner.metrics.text(&crate::metrics::Observed::default());
        text.contains("rhyzome_http_slow_clients_total 1\n")
    }

    #[tokio::test]
    async fn who_reads_nothing_of_an_answer_is_dropped() {
        let (mut here, manner, serving) = large(SHORT);
        let said = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        here.write_all(said).await.expect("written");
        serving.await.expect("it ends while nothing is read");
        assert!(slow_ones(&manner));
    }

    #[tokio::test]
    async fn who_reads_gets_all_of_it_piece_by_piece() {
        let (mut here, manner, serving) = large(Duration::from_secs(60));
        let said = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        here.write_all(said).await.expect("written");
        let mut heard = 0;
        let mut piece = vec![0; 64 << 10];
        while let count @ 1.. = here.read(&mut piece).await.expect("it goes on") {
            heard += count;
        }
        assert!(heard > LARGE);
        serving.await.expect("it ends");
        assert!(!slow_ones(&manner));
    }

    #[tokio::test]
    async fn over_http2_who_takes_nothing_of_an_answer_is_dropped() {
        let (here, manner, serving) = large(SHORT);
        let io = TokioIo::new(here);
        let (mut sender, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .handshake(io)
                .await
                .expect("HTTP/2");
        let driven = tokio::spawn(connection);
        let request = Request::get("http://x/").body(String::new());
        let answer = sender.send_request(request.expect("a request")).await;
        let _untaken = answer.expect("an answer");
        serving.await.expect("it ends while nothing is taken");
        assert!(slow_ones(&manner));
        let _ = driven.await;
    }
}
