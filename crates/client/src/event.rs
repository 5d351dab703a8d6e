//! Events, of a project or of the site: read once, or followed for ever over broken connections.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderName};
use rhyzome_model::event::Event;
use rhyzome_wire::Page;

use crate::send::Call;
use crate::sse::Reader;
use crate::{Client, Error};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long a followed connection may be silent; the core sends a comment more often than that.
const SILENCE: Duration = Duration::from_secs(60);

/// Pauses between tries to connect again grow from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Events {
    client: Client,
    path: String,
}

impl Events {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self { client, path }
    }

    /// A page of what happened behind the event `after`.
    pub async fn list(&self, limit: u32, after: Option<i64>) -> Result<Page<Event>, Error> {
        let call = self
            .client
            .get(&self.path)
            .query("follow", "false")
            .query("limit", limit);
        call.query_if("after", after).send().await?.json()
    }

    /// Follows what happens behind the event `after`; from the first event that is kept, without one.
    pub fn follow(&self, after: Option<i64>) -> Follow {
        Follow {
            events: self.clone(),
            last: after,
            response: None,
            reader: Reader::default(),
            ready: VecDeque::new(),
            was_connected: false,
            pause: FIRST_PAUSE,
        }
    }

    fn call(&self, after: Option<i64>) -> Call {
        let call = self
            .client
            .get(&self.path)
            .header(ACCEPT, "text/event-stream");
        match after {
            Some(id) => call.header(LAST_EVENT_ID, &id.to_string()),
            None => call,
        }
    }
}

/// What a follower hears.
#[derive(Debug)]
pub enum Heard {
    Event(Box<Event>),
    /// The connection is gone; after a pause it is made again, behind the last event. For people: the
    /// reason.
    Lost(String),
}

/// A follower of events. It misses none and repeats none.
pub struct Follow {
    events: Events,
    last: Option<i64>,
    response: Option<reqwest::Response>,
    reader: Reader,
    ready: VecDeque<Event>,
    was_connected: bool,
    pause: Duration,
}

impl Follow {
    /// The last event that was heard.
    pub fn last(&self) -> Option<i64> {
        self.last
    }

    /// The next thing that happens; waits for ever. May be dropped while it waits and called again.
    ///
    /// # Errors
    /// What the core refuses, and a first connection that cannot be made. Later ones are tried for ever.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last = Some(event.id);
                return Ok(Heard::Event(Box::new(event)));
            }
            match &mut self.response {
                None => match self.connect().await {
                    Ok(()) => {}
                    Err(e) if self.was_connected && passes(&e) => {
                        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    }
                    Err(e) => return Err(e),
                },
                Some(response) => {
                    let reason = match tokio::time::timeout(SILENCE, response.chunk()).await {
                        Ok(Ok(Some(bytes))) => {
                            self.take(&bytes)?;
                            continue;
                        }
                        Ok(Ok(None)) => "the core ended the connection".to_owned(),
                        Ok(Err(e)) => format!("the connection broke: {}", e.without_url()),
                        Err(_) => format!("nothing came for {} s", SILENCE.as_secs()),
                    };
                    self.response = None;
                    return Ok(Heard::Lost(reason));
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        if self.was_connected {
            tokio::time::sleep(self.pause).await;
        }
        self.reader = Reader::default();
        let call = self.events.call(self.last).stream();
        let response = tokio::time::timeout(SILENCE, call).await;
        let silent = |_| Error::Silent {
            url: self.events.client.base.to_string(),
        };
        self.response = Some(response.map_err(silent)??);
        self.was_connected = true;
        Ok(())
    }

    /// The bytes as events; those that were heard before are left out.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for message in self.reader.push(bytes) {
            let mut reader = serde_json::Deserializer::from_str(&message.data);
            let event: Event = serde_path_to_error::deserialize(&mut reader).map_err(|source| {
                let url = self.events.path.clone();
                Error::Answer {
                    method: "GET".to_owned(),
                    url,
                    source,
                }
            })?;
            // A connection that ends right away is no reason to hurry; one that brought something is.
            self.pause = FIRST_PAUSE;
            let known = self.ready.back().map(|event| event.id).or(self.last);
            if known.is_none_or(|known| event.id > known) {
                self.ready.push_back(event);
            }
        }
        Ok(())
    }
}

/// Whether a failure to connect again may pass: nobody answers, or a core that is just starting.
fn passes(error: &Error) -> bool {
    error.is_unreachable()
        || error
            .problem()
            .is_some_and(|problem| matches!(problem.status, 429 | 503))
}
