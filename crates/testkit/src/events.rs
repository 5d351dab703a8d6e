//! Reading server-sent events.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::BOUND;

/// A stream of events that is being read.
pub struct EventStream {
    response: Response,
    buffer: Vec<u8>,
}

/// One event as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub id: i64,
    pub event: String,
    pub data: Value,
}

impl EventStream {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "a stream of events");
        let kind = response.headers()["content-type"]
            .to_str()
            .expect("a content type");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self {
            response,
            buffer: Vec::new(),
        }
    }

    /// The next event; none when the stream has ended.
    ///
    /// # Panics
    /// When neither comes in time, or it is no event.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let one: Vec<u8> = self.buffer.drain(..end + 2).collect();
                match told(std::str::from_utf8(&one).expect("text")) {
                    Some(told) => return Some(told),
                    None => continue,
                }
            }
            let piece = tokio::time::timeout(BOUND, self.response.chunk()).await;
            match piece.expect("an event in time") {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next events until one fits, which is the last of them.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn until(&mut self, fits: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            let told = self.next().await.expect("the stream goes on");
            let enough = fits(&told);
            all.push(told);
            if enough {
                return all;
            }
        }
    }
}

/// An event of its lines; none for a comment.
fn told(text: &str) -> Option<Told> {
    let field = |name: &str| {
        let start = format!("{name}: ");
        text.lines().find_map(|line| line.strip_prefix(&start))
    };
    Some(Told {
        id: field("id")?.parse().expect("an id"),
        event: field("event").expect("a kind").to_owned(),
        data: serde_json::from_str(field("data").expect("data")).expect("JSON"),
    })
}
