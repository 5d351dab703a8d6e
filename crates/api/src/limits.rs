//! How much one caller may take: requests in a second, and what is open at the same time.
//!
//! A request with a credential that was good lately counts against that credential, every other one
//! against its address: so a flood of one stops no other, also where many share an address, and who
//! tries credentials is limited before the database is asked. Failing again and again makes an address
//! pause ([`crate::throttle`]). What is kept is in memory, bounded, and of this process alone.

mod heads;
mod held;
mod known;
mod rate;

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::middleware::Next;
use axum::response::Response;
use rhyzome_app as app;
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::configuration;
use crate::context::Api;
use crate::outermost::Remote;
use crate::problem::{Failure, Refused};
use crate::throttle::Throttle;

pub use heads::{MAX_HEADERS, MAX_URI, heads};
pub use held::{Held, Holds, during, waits};
use known::Known;
use rate::Rate;

/// A credential as it is remembered: its hash, and never itself.
type Shown = [u8; 32];

/// What is counted of callers.
#[derive(Debug)]
pub struct Limits {
    by_credential: Rate<Shown>,
    by_address: Rate<IpAddr>,
    failures: Throttle,
    known: Known,
    pub waits: Holds,
    pub streams: Holds,
}

/// Which limit a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    Credential,
    Address,
    Failures,
    Waits,
    Streams,
}

impl Limit {
    /// For the figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Address => "address",
            Self::Failures => "failures",
            Self::Waits => "waits",
            Self::Streams => "streams",
        }
    }

    /// The problem's code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Credential | Self::Address | Self::Failures => "too_many_requests",
            Self::Waits | Self::Streams => "too_many_open",
        }
    }

    /// What happened and what to do, for people.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Credential => {
                "more requests in a second with this credential than the core takes"
            }
            Self::Address => {
                "more requests in a second from this address than the core takes of those whom it does not know yet"
            }
            Self::Failures => {
                "too many requests from this address had credentials that are no good: send a good one"
            }
            Self::Waits => {
                "too many requests wait at the same time, and nothing was done: end some, or ask without wait"
            }
            Self::Streams => {
                "too many streams of events and consoles are open at the same time: close some"
            }
        }
    }
}

impl Limits {
    pub fn new(settings: &configuration::Limits, clock: &Clock) -> Self {
        let holds = |limit, one, all| Holds::new(limit, one, all);
        Self {
            by_credential: Rate::new(settings.requests_per_credential, clock.clone()),
            by_address: Rate::new(settings.requests_per_address, clock.clone()),
            failures: Throttle::new(settings.failures_per_address, clock.clone()),
            known: Known::default(),
            waits: holds(Limit::Waits, settings.waits_per_credential, settings.waits),
            streams: holds(
                Limit::Streams,
                settings.streams_per_credential,
                settings.streams,
            ),
        }
    }

    /// What failed by address, for all ways to show something secret over HTTP.
    pub fn failures(&self) -> &Throttle {
        &self.failures
    }

    /// Counts a request, or refuses it.
    fn admit(&self, from: Option<IpAddr>, shown: Option<&Shown>) -> Result<(), Refused> {
        if let Some(shown) = shown.filter(|shown| self.known.has(shown)) {
            return self
                .by_credential
                .take(*shown)
                .map_err(too_many(Limit::Credential));
        }
        // Only in a test is there no listener that knows where a request is from.
        let Some(from) = from else {
            return Ok(());
        };
        if let Some(pause) = shown.and_then(|_| self.failures.refused(from)) {
            return Err(too_many(Limit::Failures)(pause));
        }
        let subscriber = crate::address::subscriber(from);
        self.by_address
            .take(subscriber)
            .map_err(too_many(Limit::Address))
    }

    /// Notes whether a credential was good.
    fn learn(&self, from: Option<IpAddr>, shown: &Shown, response: &Response) {
        if response.extensions().get::<app::Caller>().is_some() {
            self.known.add(*shown);
        } else if response.status() == StatusCode::UNAUTHORIZED {
            // One that was good and is no more is what a guess is not, but it is tried no less.
            self.known.remove(shown);
            if let Some(from) = from {
                self.failures.failed(from);
            }
        }
    }
}

fn too_many(limit: Limit) -> impl FnOnce(Duration) -> Refused {
    move |pause| Refused::TooMany { limit, pause }
}

/// The layer around all requests.
pub async fn limited(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let remote = request.extensions().get::<Remote>();
    let from = remote.map(|remote| remote.0.ip());
    let shown = shown(request.headers());
    api.limits.admit(from, shown.as_ref())?;
    let response = next.run(request).await;
    if let Some(shown) = shown {
        api.limits.learn(from, &shown, &response);
    }
    Ok(response)
}

/// The layer around what takes a secret in its body: ID tokens, invitations.
pub async fn guesses(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let remote = request.extensions().get::<Remote>();
    let Some(from) = remote.map(|remote| remote.0.ip()) else {
        return Ok(next.run(request).await);
    };
    if let Some(pause) = api.limits.failures.refused(from) {
        return Err(too_many(Limit::Failures)(pause).into());
    }
    let response = next.run(request).await;
    if [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&response.status()) {
        api.limits.failures.failed(from);
    }
    Ok(response)
}

fn shown(headers: &HeaderMap) -> Option<Shown> {
    let value = headers.get(AUTHORIZATION)?;
    Some(Sha256::digest(value.as_bytes()).into())
}
