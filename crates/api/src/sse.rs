//! Events, or entries of an audit log, as a stream that does not end (server-sent events, WHATWG HTML § 9.2), resumable by
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
use rhyzome_app::audit::Whose;
use rhyzome_model::Name;
use rhyzome_model::audit::AuditEntry;
use rhyzome_model::event::Event;
use tokio::time::sleep;

use crate::context::{Context, Standing};
use crate::limits::Held;
use crate::problem::{Failure, Refused, chain};

/// The net under the wake-ups.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So that nobody in between takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many events one look fetches.
const BATCH: u32 = 100;

/// What is followed.
#[derive(Debug, Clone)]
pub enum Source {
    /// Events of a project, or of the whole site.
    Events(Option<Name>),
    /// Sealed entries of an audit log.
    Audit(Whose),
}

/// What there is behind `after`, and all that comes.
pub async fn follow(cx: Context, source: Source, after: i64) -> Result<Response, Failure> {
    let open = cx.api.limits.streams.open(cx.caller.credential)?;
    let mut reader = Reader {
        standing: Standing::of(&cx),
        cx,
        source,
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
    source: Source,
    after: i64,
    ready: VecDeque<Told>,
    standing: Standing,
    _open: Held,
}

/// One of them, as it is sent.
struct Told {
    id: i64,
    what: String,
    data: String,
}

impl Told {
    fn event(event: &Event) -> Self {
        Self {
            id: event.id,
            what: event.what.clone(),
            data: serde_json::to_string(event).expect("an event is plain data"),
        }
    }

    fn entry(entry: &AuditEntry) -> Self {
        let number = entry.seal.map_or(0, |seal| seal.number);
        Self {
            id: i64::try_from(number).unwrap_or(i64::MAX),
            what: entry.result.as_str().to_owned(),
            data: serde_json::to_string(entry).expect("an entry is plain data"),
        }
    }
}

impl Reader {
    async fn look(&mut self) -> Result<(), app::Error> {
        let (core, caller) = (self.cx.core(), &self.cx.caller);
        match &self.source {
            Source::Events(project) => {
                let found =
                    app::event::after(core, caller, project.as_ref(), self.after, BATCH).await?;
                self.ready.extend(found.iter().map(Told::event));
            }
            Source::Audit(whose) => {
                let after = u64::try_from(self.after).unwrap_or(0);
                let found = app::audit::sealed_after(core, caller, whose, after, BATCH).await?;
                self.ready.extend(found.iter().map(Told::entry));
            }
        }
        Ok(())
    }

    /// The next event; none when the caller may not read it any more, when the core stops or the stream cannot go on: the reader connects again
    /// and misses nothing.
    async fn next(&mut self) -> Option<Told> {
        let core = self.cx.core();
        let mut changed = match self.source {
            Source::Events(_) => core.events_changed(),
            Source::Audit(_) => core.audit_changed(),
        };
        loop {
            if !self.standing.holds(&self.cx).await {
                return None;
            }
            if let Some(told) = self.ready.pop_front() {
                self.after = told.id;
                return Some(told);
            }
            changed.borrow_and_update();
            if let Err(error) = self.look().await {
                tracing::warn!(error = chain(&error), "a stream ends");
                return None;
            }
            if !self.ready.is_empty() {
                // What was just read may be that the caller's right to it has ended.
                if !self.standing.holds_now(&self.cx).await {
                    return None;
                }
                continue;
            }
            tokio::select! {
                Ok(()) = changed.changed() => {}
                () = self.standing.shaken() => {}
                () = sleep(LOOK_AGAIN) => {}
                () = self.cx.api.stopping.cancelled() => return None,
            }
        }
    }

    fn stream(self) -> impl Stream<Item = Result<Sent, Infallible>> + Send + 'static {
        stream::unfold(self, |mut reader| async move {
            let told = reader.next().await?;
            Some((Ok(written(told)), reader))
        })
    }
}

fn written(told: Told) -> Sent {
    Sent::default()
        .id(told.id.to_string())
        .event(told.what)
        .data(told.data)
}
