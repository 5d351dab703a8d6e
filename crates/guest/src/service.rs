//! The metadata service over HTTP/1: it answers who asks about themselves, and nobody about others.
//!
//! Who asks is known by the segment and the address that a connection comes from: the port rules let an
//! instance use no other. By default a token is asked for first (IMDSv2), with a PUT, so that a program
//! in a guest that fetches addresses for strangers gives nothing away; nor does one that says it
//! forwards, nor a browser that was told the address by another name.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rhyzome_model::instance::{InstancePlacement, MetadataAccess};
use rhyzome_model::{InstanceId, NetworkId};
use tokio::net::{TcpListener, TcpStream};

use crate::paths;
use crate::token::{LONGEST, Tokens};

/// The header with a token, and the one with how long it shall be good for, in seconds.
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TIME: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// Connections that one instance may have at a time.
const CONNECTIONS: usize = 16;
/// How long a request's head may take, and a connection in all.
const HEAD: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(60);
/// The longest head of a request, in bytes (the least that hyper takes).
const LONGEST_HEAD: usize = 8192;
/// How long nothing is accepted when nothing can be.
const PAUSE: Duration = Duration::from_millis(200);

/// Who is where.
pub trait Callers: Send + Sync + 'static {
    /// The instance with an address in a network on this host, as it is now.
    fn at(&self, network: NetworkId, address: Ipv4Addr) -> Option<InstancePlacement>;
}

/// What all segments of a host share.
pub struct Service {
    callers: Arc<dyn Callers>,
    tokens: Tokens,
    connections: Mutex<HashMap<InstanceId, usize>>,
}

/// A connection that counts, until it is dropped.
struct Counted<'a>(&'a Service, InstanceId);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut connections = self.0.connections();
        if let Some(count) = connections.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.1);
            }
        }
    }
}

impl Service {
    pub fn new(callers: Arc<dyn Callers>) -> Self {
        Self {
            callers,
            tokens: Tokens::new(&mut rand::rng()),
            connections: Mutex::default(),
        }
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, usize>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers on a segment. Does not return.
    pub async fn run(self: Arc<Self>, network: NetworkId, listener: TcpListener) -> Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let IpAddr::V4(from) = from.ip() else {
                        continue;
                    };
                    tokio::spawn(self.clone().connection(network, from, stream));
                }
                Err(error) => {
                    tracing::warn!(%network, %error, "the metadata service cannot accept");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, network: NetworkId, from: Ipv4Addr, stream: TcpStream) {
        let Some(instance) = self.callers.at(network, from).map(|told| told.instance) else {
            tracing::debug!(%network, %from, "nobody known asks for metadata");
            return;
        };
        let Some(_counted) = self.count(instance) else {
            tracing::debug!(%instance, "an instance has too many connections for metadata");
            return;
        };
        let answer = service_fn(|request| {
            let answer = self.answer(network, from, &request, SystemTime::now());
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let serve = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(stream), answer);
        // Who breaks off, says nothing or takes too long has nobody to be told to.
        let _ = tokio::time::timeout(CONNECTION, serve).await;
    }

    fn count(&self, instance: InstanceId) -> Option<Counted<'_>> {
        let mut connections = self.connections();
        let count = connections.entry(instance).or_default();
        if *count >= CONNECTIONS {
            return None;
        }
        *count += 1;
        Some(Counted(self, instance))
    }

    fn answer(
        &self,
        network: NetworkId,
        from: Ipv4Addr,
        request: &Request<Incoming>,
        now: SystemTime,
    ) -> Response<Full<Bytes>> {
        match self.callers.at(network, from) {
            Some(told) => answer(&self.tokens, &told, request, now),
            None => text(StatusCode::NOT_FOUND, "nobody is known at this address"),
        }
    }
}

fn answer<B>(
    tokens: &Tokens,
    told: &InstancePlacement,
    request: &Request<B>,
    now: SystemTime,
) -> Response<Full<Bytes>> {
    let access = told.guest.metadata;
    if access == MetadataAccess::Off {
        let why = "the metadata service is switched off for this instance";
        return text(StatusCode::FORBIDDEN, why);
    }
    if let Err(why) = check_origin(request) {
        return text(StatusCode::FORBIDDEN, why);
    }
    let path = request.uri().path();
    if path == paths::TOKEN {
        return match *request.method() {
            Method::PUT => token(tokens, told, request, now),
            _ => not_allowed("PUT"),
        };
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD");
    }
    let given = request.headers().get(TOKEN).map(|it| it.to_str());
    let good = match given {
        Some(Ok(token)) => tokens.is_good(token, told.instance, now),
        Some(Err(_)) => false,
        None => access == MetadataAccess::TokenOptional || path == paths::KEY_VALUES,
    };
    if !good {
        let why =
            "a token is needed: PUT /latest/api/token with X-aws-ec2-metadata-token-ttl-seconds";
        return text(StatusCode::UNAUTHORIZED, why);
    }
    match paths::at(told, path) {
        Some(document) => text(StatusCode::OK, document),
        None => text(StatusCode::NOT_FOUND, "there is nothing at this path"),
    }
}

/// Refuses requests that somebody else had a guest make: passed on by a proxy, or by a browser that
/// found the address under a name.
fn check_origin<B>(request: &Request<B>) -> Result<(), &'static str> {
    if request.headers().contains_key("x-forwarded-for") {
        return Err("forwarded requests are not answered");
    }
    let named = request.headers().get_all(HOST).iter();
    let absolute = request.uri().host();
    let own = |host: &str| matches!(host, "" | "169.254.169.254" | "169.254.169.254:80");
    let all_own = named
        .map(|host| host.to_str().unwrap_or("?"))
        .chain(absolute)
        .all(own);
    match all_own {
        true => Ok(()),
        false => Err("the metadata service is asked by its address, http://169.254.169.254"),
    }
}

fn token<B>(
    tokens: &Tokens,
    told: &InstancePlacement,
    request: &Request<B>,
    now: SystemTime,
) -> Response<Full<Bytes>> {
    let asked = request.headers().get(TOKEN_TIME);
    let seconds = asked.and_then(|it| it.to_str().ok()?.trim().parse::<u64>().ok());
    match seconds {
        Some(seconds) if (1..=LONGEST.as_secs()).contains(&seconds) => {
            let token = tokens.make(told.instance, Duration::from_secs(seconds), now);
            let mut made = text(StatusCode::OK, token);
            made.headers_mut().insert(TOKEN_TIME, seconds.into());
            made
        }
        _ => {
            let why = "X-aws-ec2-metadata-token-ttl-seconds has to be 1 to 21600";
            text(StatusCode::BAD_REQUEST, why)
        }
    }
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{methods} is possible"),
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests;
