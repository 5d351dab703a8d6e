//! What every handler stands on: the core, and who is calling.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use rhyzome_app as app;
use rhyzome_app::audit::Origin;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::configuration::Proxy;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outermost::{Remote, RequestId};
use crate::problem::{Failure, Refused};

/// The HTTP face's state; cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// What the state is made of.
pub struct Shared {
    pub core: app::Core,
    pub metrics: Metrics,
    pub limits: Limits,
    /// Whose word on where a request comes from is taken.
    pub proxy: Proxy,
    /// Cancelled when the core begins to stop: streams and waits end then.
    pub stopping: CancellationToken,
    /// What goes on without its caller.
    pub detached: TaskTracker,
}

impl Api {
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for Api {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// A request of a caller who has said who they are.
#[derive(Clone)]
pub struct Context {
    pub api: Api,
    pub caller: app::Caller,
    /// What they showed.
    shown: Option<Arc<str>>,
}

impl Context {
    /// Who the caller is now, by what they showed.
    ///
    /// # Errors
    /// As [`app::authenticate`].
    pub async fn again(&self) -> Result<app::Caller, app::Error> {
        app::authenticate(self.core(), self.shown.as_deref()).await
    }

    /// Whether the caller is allowed what they were when the request began: asked again by what goes on for long. Where nobody can
    /// be asked, it goes on.
    pub async fn is_unchanged(&self) -> bool {
        match self.again().await {
            Ok(now) => now.may_the_same(&self.caller),
            Err(error) => matches!(error.kind(), app::Kind::Unavailable | app::Kind::Internal),
        }
    }

    pub fn core(&self) -> &app::Core {
        &self.api.core
    }
}

/// How long what a caller may is taken for what they might, where nobody says that it changed.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a caller might when they began to be told something for long.
#[derive(Debug)]
pub struct Standing {
    rights: watch::Receiver<u64>,
    /// When it was asked last.
    asked: Instant,
}

impl Standing {
    pub fn of(cx: &Context) -> Self {
        Self {
            rights: cx.core().rights_changed(),
            asked: Instant::now(),
        }
    }

    /// Whether they may it still: asked when somebody lost something, and once a second, since what is shown expires, another
    /// core may have taken it, and this one between the beginning of the request and now.
    pub async fn holds(&mut self, cx: &Context) -> bool {
        let is_due = self.asked.elapsed() >= ASK_AGAIN;
        if !is_due && !self.rights.has_changed().unwrap_or(false) {
            return true;
        }
        self.holds_now(cx).await
    }

    /// The same, asked whatever was said.
    pub async fn holds_now(&mut self, cx: &Context) -> bool {
        self.rights.borrow_and_update();
        self.asked = Instant::now();
        cx.is_unchanged().await
    }

    /// Until somebody has lost something.
    pub async fn shaken(&mut self) {
        match self.rights.changed().await {
            Ok(()) => self.rights.mark_changed(),
            // The core is gone, and whoever waits with it.
            Err(_) => std::future::pending().await,
        }
    }
}

impl FromRequestParts<Api> for Context {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        // A route outside of `authenticated` has no caller; taking a context there is refused.
        let caller = parts.extensions.get::<app::Caller>().cloned();
        match caller {
            Some(caller) => Ok(Self {
                api: api.clone(),
                caller,
                shown: bearer(&parts.headers).map(Arc::from),
            }),
            None => Err(Failure::App(app::Error::unauthenticated())),
        }
    }
}

/// The layer around everything that wants to know who is calling. Before it nothing of a request's
/// body is read.
pub async fn authenticated(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let origin = origin(&api, &request);
    let work = async {
        let caller = app::authenticate(&api.core, bearer(request.headers())).await;
        let caller = caller.inspect_err(app::audit::unknown)?;
        app::audit::known(&caller);
        request.extensions_mut().insert(caller.clone());
        let mut response = next.run(request).await;
        // For the access log.
        response.extensions_mut().insert(caller);
        Ok(response)
    };
    app::audit::during(&api.core, origin, work).await
}

/// The layer around what people ask who are not known yet, and may be so afterwards.
pub async fn unknown(State(api): State<Api>, request: Request, next: Next) -> Response {
    let origin = origin(&api, &request);
    app::audit::during(&api.core, origin, next.run(request)).await
}

/// What the audit log says of a request, whoever it is from.
fn origin(api: &Api, request: &Request) -> Origin {
    let extensions = request.extensions();
    let route = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    Origin {
        from: extensions.get::<Remote>().map(|remote| remote.0.ip()),
        request_id: extensions.get::<RequestId>().map(|id| id.0.clone()),
        operation: api.metrics.operation(request.method(), route),
    }
}

/// What a request shows, if it shows something.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whatever no route is made for.
pub async fn nothing_here() -> Failure {
    Refused::NotFound.into()
}

/// A path that exists, with a method that it does not know.
pub async fn no_such_method(method: axum::http::Method) -> Failure {
    Refused::Method(method.to_string()).into()
}
