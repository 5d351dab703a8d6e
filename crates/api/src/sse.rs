//! Events as a stream that does not end (server-sent events, WHATWG HTML § 9.2), resumable by
//! `Last-Event-ID`.
//!
//! A reader holds no connection to the database between two looks, and nothing is queued for it: a slow
//! one is only behind. That no event is passed before an earlier one is committed is the store's doing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::event::Event;
use tokio::time::sleep;

use crate::context::Context;
use crate::limits::Held;
use crate::problem::{Failure, Refused, chain};

/// The net under the wake-ups.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So that nobody in between takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many events one look fetches.
const BATCH: u32 = 100;

/// Events of a project, or of the whole site, from behind `after` on.
pub async fn follow(cx: Context, project: Option<Name>, after: i64) -> Result<Response, Failure> {
    let open = cx.api.limits.streams.open(cx.caller.credential)?;
    let mut reader = Reader {
        cx,
        project,
        after,
        ready: VecDeque::new(),
        _open: open,
    };
    // What is refused is refused with a status, not within the stream.
    reader.look().await?;
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(reader.stream())
        .keep_alive(keep_alive)
        .into_response())
}

/// Where the caller was: the header that browsers and our clients send when they connect again.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Refused> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    match value.to_str().unwrap_or_default().parse() {
        Ok(id) if id >= 0 => Ok(Some(id)),
        _ => Err(Refused::Invalid {
            field: "Last-Event-ID".to_owned(),
            detail: "Last-Event-ID has to be the id of an event".to_owned(),
        }),
    }
}

struct Reader {
    cx: Context,
    project: Option<Name>,
    after: i64,
    ready: VecDeque<Event>,
    _open: Held,
}

impl Reader {
    async fn look(&mut self) -> Result<(), app::Error> {
        let (core, caller) = (self.cx.core(), &self.cx.caller);
        let events =
            app::event::after(core, caller, self.project.as_ref(), self.after, BATCH).await?;
        self.ready.extend(events);
        Ok(())
    }

    /// The next event; none when the core stops or the stream cannot go on: the reader connects again
    /// and misses nothing.
    async fn next(&mut self) -> Option<Event> {
        let mut changed = self.cx.core().events_changed();
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = event.id;
                return Some(event);
            }
            changed.borrow_and_update();
            if let Err(error) = self.look().await {
                tracing::warn!(error = chain(&error), "a stream of events ends");
                return None;
            }
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                Ok(()) = changed.changed() => {}
                () = sleep(LOOK_AGAIN) => {}
                () = self.cx.api.stopping.cancelled() => return None,
            }
        }
    }

    fn stream(self) -> impl Stream<Item = Result<Sent, Infallible>> + Send + 'static {
        stream::unfold(self, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok(written(&event)), reader))
        })
    }
}

fn written(event: &Event) -> Sent {
    let data = serde_json::to_string(event).expect("an event is plain data");
    Sent::default()
        .id(event.id.to_string())
        .event(&event.what)
        .data(data)
}
