//! The core's figures for Prometheus, and the endpoint that shows them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use rhyzome_model::job::JobState;

use crate::limits::Limit;
use crate::openapi;

/// Upper bounds in seconds. Answers that wait (`?wait=`) take up to 5 minutes.
const BOUNDS: [f64; 12] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    operation: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Met {
    limit: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shown {
    to: String,
}

/// Whom a certificate is shown to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    Http,
    Components,
}

#[derive(Clone)]
struct ByBounds;

impl MetricConstructor<Histogram> for ByBounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BOUNDS)
    }
}

/// The figures that are counted as requests pass; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Answered, Counter>,
    duration: Family<Operation, Histogram, ByBounds>,
    in_flight: Gauge,
    refused: Family<Met, Counter>,
    slow: Counter,
    joins_refused: Counter,
    certificates: Family<Shown, Gauge>,
    jobs: Family<State, Gauge>,
    components: Gauge,
}

/// What is looked up in the database when the figures are asked for.
#[derive(Debug, Default)]
pub struct Observed {
    pub jobs: Vec<(JobState, i64)>,
    pub connected: i64,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rhyzome");
        let requests = Family::default();
        let duration = Family::new_with_constructor(ByBounds);
        let (in_flight, components) = (Gauge::default(), Gauge::default());
        let jobs = Family::default();
        let refused = Family::default();
        let (slow, joins_refused) = (Counter::default(), Counter::default());
        registry.register(
            "http_requests_refused",
            "HTTP requests refused with 429, by the limit that they met",
            refused.clone(),
        );
        registry.register(
            "http_slow_clients",
            "HTTP connections ended since the client took nothing in time",
            slow.clone(),
        );
        let certificates = Family::default();
        registry.register(
            "certificate_failing",
            "Whether a new certificate cannot be had or used, so that the one before is shown",
            certificates.clone(),
        );
        registry.register(
            "joins_refused",
            "Attempts to join refused since too many from the same address had failed",
            joins_refused.clone(),
        );
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from a request's head to its answer's head",
            duration.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "HTTP requests under way",
            in_flight.clone(),
        );
        registry.register("jobs", "Jobs by state", jobs.clone());
        registry.register(
            "components_connected",
            "Components with a session",
            components.clone(),
        );
        Self {
            registry: Arc::new(registry),
            requests,
            duration,
            in_flight,
            refused,
            slow,
            joins_refused,
            certificates,
            jobs,
            components,
        }
    }

    /// The operation's id: a bounded set, whatever paths are asked for.
    pub fn operation(&self, method: &Method, route: Option<&str>) -> String {
        let known = route.and_then(|route| openapi::operation(method, route));
        known.unwrap_or("none").to_owned()
    }

    pub fn began(&self) {
        self.in_flight.inc();
    }

    pub fn ended(&self, operation: &str, status: u16, took: Duration) {
        self.in_flight.dec();
        let operation = operation.to_owned();
        self.duration
            .get_or_create(&Operation {
                operation: operation.clone(),
            })
            .observe(took.as_secs_f64());
        self.requests
            .get_or_create(&Answered { operation, status })
            .inc();
    }

    /// A request met a limit.
    pub fn refused(&self, limit: Limit) {
        let limit = limit.as_str().to_owned();
        self.refused.get_or_create(&Met { limit }).inc();
    }

    /// A connection was ended since its client took nothing.
    pub fn was_slow(&self) {
        self.slow.inc();
    }

    /// A certificate was looked for, and was there or not.
    pub fn certificate(&self, shows: Shows, good: bool) {
        let to = match shows {
            Shows::Http => "http",
            Shows::Components => "components",
        };
        let shown = Shown { to: to.to_owned() };
        self.certificates
            .get_or_create(&shown)
            .set(i64::from(!good));
    }

    /// Nobody looked at a join token, since too many were no good.
    pub fn join_refused(&self) {
        self.joins_refused.inc();
    }

    /// All figures in the text format (OpenMetrics 1.0).
    pub fn text(&self, observed: &Observed) -> String {
        for (state, count) in &observed.jobs {
            self.jobs
                .get_or_create(&State {
                    state: state.as_str().to_owned(),
                })
                .set(*count);
        }
        self.components.set(observed.connected);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing into a string does not fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
