//! Requests that are answered before their body has come.
//!
//! Over HTTP/1.1 such an answer is followed by the end of the connection; where bytes are still on their
//! way, the system then resets it, and who was sending never sees why. So what comes is read on for a
//! while, and thrown away. HTTP/2 ends the one request by itself.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::header::EXPECT;
use axum::http::{Request, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// How long bytes are read that nobody wants. A sender that listens while it sends stops at once.
const LINGER: Duration = Duration::from_secs(5);

/// A request's body, of which the rest is read where a handler has left some.
pub(super) struct Lingering {
    body: Option<Incoming>,
    /// Whether whoever sends it has begun, or will without being told to.
    sent: bool,
    lingers: bool,
}

impl Lingering {
    pub(super) fn of(request: Request<Incoming>) -> Request<Self> {
        let lingers = request.version() < Version::HTTP_2;
        let sent = !request.headers().contains_key(EXPECT);
        request.map(|body| Self {
            body: Some(body),
            sent,
            lingers,
        })
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.sent = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let wanted = self.lingers && self.sent && !self.is_end_stream();
        let Some(mut body) = self.body.take().filter(|_| wanted) else {
            return;
        };
        let rest = async move { while let Some(Ok(_)) = body.frame().await {} };
        // Not where the program ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LINGER, rest));
        }
    }
}
