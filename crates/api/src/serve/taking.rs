//! Clients that take nothing of what is sent to them: their connections end, and with them what the core
//! holds for them.
//!
//! Two ways to take nothing: not reading the connection, which shows where bytes are written to it, and
//! over HTTP/2 granting no window, which shows in a body that nobody asks for more.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How much is read and thrown away of who is still sending when their connection ends: the system would
/// reset it, and they might never see the last answer.
const UNREAD: usize = 4 << 20;
/// How long that may take.
const LINGER: Duration = Duration::from_secs(5);

/// A connection on which each write has to go on within a time.
pub(super) struct Taking<S> {
    stream: S,
    /// None: it may take as long as it likes.
    within: Option<Duration>,
    /// Runs while a write does not go on.
    late: Option<Pin<Box<Sleep>>>,
    /// Told when a client was too late.
    told: Box<dyn Fn() + Send>,
    ending: Ending,
}

enum Ending {
    Not,
    /// So many unread bytes were thrown away.
    Unread(usize, Pin<Box<Sleep>>),
    Over,
}

impl<S> Taking<S> {
    pub(super) fn new(
        stream: S,
        within: Option<Duration>,
        told: impl Fn() + Send + 'static,
    ) -> Self {
        Self {
            stream,
            within,
            late: None,
            told: Box::new(told),
            ending: Ending::Not,
        }
    }

    /// What became of a write, unless it is too late for it.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        went: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(within) = self.within.filter(|_| went.is_pending()) else {
            self.late = None;
            return went;
        };
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(late.as_mut().poll(cx));
        (self.told)();
        let text = "the client took nothing in time";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<S: AsyncRead + Unpin> Taking<S> {
    /// Reads what is still coming, if anything is.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let more = buffer.filled().len();
                    match &mut self.ending {
                        Ending::Unread(count, _) if *count + more > UNREAD => break,
                        Ending::Unread(count, _) => *count += more,
                        _ => self.ending = Ending::Unread(more, Box::pin(sleep(LINGER))),
                    }
                }
                Poll::Ready(_) => break,
                Poll::Pending => match &mut self.ending {
                    Ending::Unread(_, over) => {
                        ready!(over.as_mut().poll(cx));
                        break;
                    }
                    // Nobody is sending: nobody is waited for.
                    _ => break,
                },
            }
        }
        self.ending = Ending::Over;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taking<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Taking<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let went = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, went)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let went = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, went)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.ending, Ending::Not) {
            let went = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.in_time(cx, went))?;
        }
        if !matches!(self.ending, Ending::Over) {
            ready!(self.poll_unread(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let went = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(cx, went)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The bodies of one connection, each with the time since when nobody has asked for more of it.
#[derive(Clone, Default)]
pub(super) struct Bodies(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    next: u64,
    since: HashMap<u64, Instant>,
}

impl Bodies {
    /// Watches over one more.
    pub(super) fn watch(&self, response: Response<Body>) -> Response<Body> {
        let mut waiting = self.waiting();
        let id = waiting.next;
        waiting.next += 1;
        waiting.since.insert(id, Instant::now());
        let bodies = self.clone();
        response.map(|body| {
            Body::new(Watched {
                body,
                rest: Bytes::new(),
                began: false,
                id,
                bodies,
            })
        })
    }

    /// Ends if there is one that nobody has asked for more of for so long.
    pub(super) async fn stuck(&self, within: Option<Duration>) {
        let Some(within) = within else {
            return std::future::pending().await;
        };
        loop {
            sleep(within / 4).await;
            let now = Instant::now();
            if self
                .waiting()
                .since
                .values()
                .any(|since| now - *since > within)
            {
                return;
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much is given out at once: more would be kept by the HTTP/2 server, which asks for no more then.
const PIECE: usize = 16 << 10;

/// A body that notes when it is asked for more. It is asked for its end, too: only then has the client
/// room for what came before.
struct Watched {
    body: Body,
    /// What the body gave and is not given out yet.
    rest: Bytes,
    began: bool,
    id: u64,
    bodies: Bodies,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.began = true;
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(over) => return Poll::Ready(over),
                // It is the client who waits.
                Poll::Pending => {
                    self.bodies.waiting().since.remove(&self.id);
                    return Poll::Pending;
                }
            }
        }
        self.bodies.waiting().since.insert(self.id, Instant::now());
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        !self.began && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.bodies.waiting().since.remove(&self.id);
    }
}
