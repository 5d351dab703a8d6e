//! `?wait=30s`: an answer that waits until what was asked for is there, failed or gone.
//!
//! Waiting holds no transaction and no connection to the database: it looks again whenever something
//! about it was committed, and from time to time in case nobody said so.

use std::str::FromStr;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_app::news::Waiting;
use rhyzome_model::job::JobState;
use rhyzome_model::resource::{Instance, Meta, Network, Peer};
use rhyzome_model::status::Phase;
use rhyzome_model::{JobId, Name, Timestamp};
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::context::{Context, Standing};
use crate::etag::{One, Whole};
use crate::problem::Failure;

/// The least time between two looks of [`until`]: what it looks at may be long.
const PACE: Duration = Duration::from_millis(100);
/// The net under the wake-ups.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether to wait.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// How long to wait at most until it is ready, failed or gone: `30s`, `2m`, at most `5m`. Where
    /// the time runs out, the answer is the present state, and its phase says so.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "30s")]
    pub wait: Option<Wait>,
}

/// A time to wait: whole seconds or minutes, up to [`Wait::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Wait(Duration);

impl Wait {
    pub const MAX: Duration = Duration::from_secs(300);

    pub fn time(self) -> Duration {
        self.0
    }
}

/// A text that is no time to wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time to wait: 30s or 2m, at most 5m, are")]
pub struct InvalidWait(String);

impl FromStr for Wait {
    type Err = InvalidWait;

    fn from_str(text: &str) -> Result<Self, InvalidWait> {
        let invalid = || InvalidWait(text.to_owned());
        let (digits, unit) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
            (Some(digits), _) => (digits, 1),
            (None, Some(digits)) => (digits, 60),
            (None, None) => return Err(invalid()),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        let time = Duration::from_secs(seconds.ok_or_else(invalid)?);
        if time > Self::MAX {
            Err(invalid())
        } else {
            Ok(Self(time))
        }
    }
}

impl TryFrom<String> for Wait {
    type Error = InvalidWait;
    fn try_from(text: String) -> Result<Self, InvalidWait> {
        text.parse()
    }
}

/// What takes time.
pub trait Settles: Whole + Clone + Sync {
    fn meta(&self) -> &Meta;
    fn phase(&self) -> Phase;
    fn observed_generation(&self) -> u64;

    /// What there is to tell when it is gone, if anything is. `left` is how it was when its deletion
    /// began.
    fn told(left: Self, gone_at: Timestamp) -> Option<Self>;

    /// Reads it by its name.
    fn look(
        cx: &Context,
        project: &Name,
        name: &Name,
    ) -> impl Future<Output = Result<Self, app::Error>> + Send;

    /// Whether waiting longer for what was asked would change nothing.
    fn settled(&self) -> bool {
        match self.phase() {
            Phase::Ready => self.observed_generation() >= self.meta().generation,
            Phase::Failed => true,
            Phase::Pending | Phase::Unknown | Phase::Deleting => false,
        }
    }
}

macro_rules! settles {
    ($($module:ident: $resource:ty, $told:expr;)*) => {$(
        impl Settles for $resource {
            fn meta(&self) -> &Meta {
                &self.meta
            }

            fn phase(&self) -> Phase {
                self.status.phase
            }

            fn observed_generation(&self) -> u64 {
                self.status.observed_generation
            }

            fn told(left: Self, gone_at: Timestamp) -> Option<Self> {
                $told(left, gone_at)
            }

            async fn look(cx: &Context, project: &Name, name: &Name) -> Result<Self, app::Error> {
                app::$module::get(cx.core(), &cx.caller, project, name).await
            }
        }
    )*};
}

settles! {
    network: Network, |_, _| None;
    peer: Peer, revoked;
    instance: Instance, |_, _| None;
}

/// A peer that no endpoint knows any more: when each was asked, and when it had done it.
fn revoked(left: Peer, gone_at: Timestamp) -> Option<Peer> {
    let mut told = left;
    for network in &mut told.status.networks {
        network.ready = false;
        network.applied_at = network.applied_at.or(Some(gone_at));
    }
    Some(told)
}

/// Waits until it is settled; where the time runs out, its present state. The change that made
/// `present` is committed: an error while looking again does not undo it, so what was seen first is
/// the answer then.
pub async fn settled<T: Settles>(cx: &Context, wait: Option<Wait>, present: T) -> T {
    if wait.is_none() || present.settled() {
        return present;
    }
    let Meta {
        id, project, name, ..
    } = present.meta().clone();
    let Some(project) = project else {
        return present;
    };
    let enough = |seen: &T| seen.meta().id != id || seen.settled();
    match follow(cx, (wait, id), &project, &name, enough).await {
        Ok(seen) if seen.meta().id == id => seen,
        _ => present,
    }
}

/// A resource to read, when it is settled or the time is over.
pub async fn read<T: Settles>(
    cx: &Context,
    wait: Option<Wait>,
    project: &Name,
    name: &Name,
) -> Result<T, Failure> {
    look_until(cx, wait, project, name, T::settled)
        .await
        .map_err(Failure::App)
}

/// The answer to a DELETE: 204 if it is gone (200 where there is something to tell of it), 202 with what
/// is left of it where it is still going.
pub async fn deleted<T: Settles>(cx: &Context, wait: Option<Wait>, left: Option<T>) -> Response {
    let Some(left) = left else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let present = match wait {
        Some(_) => until_gone(cx, wait, left.clone()).await,
        None => Some(left.clone()),
    };
    match present {
        Some(present) => One::accepted(present).into_response(),
        None => match T::told(left, cx.core().now()) {
            Some(told) => One::ok(told).into_response(),
            None => StatusCode::NO_CONTENT.into_response(),
        },
    }
}

/// Waits until what is being deleted is gone (none) or the time is over (its present state).
async fn until_gone<T: Settles>(cx: &Context, wait: Option<Wait>, left: T) -> Option<T> {
    let Meta {
        id, project, name, ..
    } = left.meta().clone();
    let Some(project) = project else {
        return Some(left);
    };
    // Another one of the same name may be made as soon as it is gone.
    let enough = |seen: &T| seen.meta().id != id;
    match follow(cx, (wait, id), &project, &name, enough).await {
        Ok(seen) => (seen.meta().id == id).then_some(seen),
        Err(error) if error.kind() == app::Kind::NotFound => None,
        Err(_) => Some(left),
    }
}

/// Looks again until it is enough or the time is over: what was seen last. An error while looking again does not undo what was
/// done, so what was seen before is the answer then.
pub async fn until<T, F>(
    cx: &Context,
    wait: Option<Wait>,
    present: T,
    look: impl Fn() -> F,
    enough: impl Fn(&T) -> bool,
) -> T
where
    F: Future<Output = Result<T, app::Error>> + Send,
{
    let Some(Wait(time)) = wait else {
        return present;
    };
    let deadline = Instant::now() + time;
    let mut changed = cx.core().events_changed();
    let mut seen = present;
    while !enough(&seen) && Instant::now() < deadline {
        tokio::select! {
            _ = changed.changed() => {}
            () = sleep(LOOK_AGAIN) => {}
            () = sleep_until(deadline) => {}
            () = cx.api.stopping.cancelled() => break,
        }
        sleep(PACE).await;
        match look().await {
            Ok(found) => seen = found,
            Err(_) => break,
        }
    }
    seen
}

/// Waits until a job has ended.
///
/// # Errors
/// What [`app::Error::of_job`] makes of the component's words, if the job failed in that time.
pub async fn ended(
    cx: &Context,
    wait: Option<Wait>,
    project: &Name,
    id: JobId,
) -> Result<(), Failure> {
    let Some(Wait(time)) = wait else {
        return Ok(());
    };
    let deadline = Instant::now() + time;
    let mut news = cx.core().news.of(id.0);
    let mut standing = Standing::of(cx);
    loop {
        let job = app::job::get(cx.core(), &cx.caller, Some(project), id).await?;
        if let (JobState::Failed, Some(failure)) = (job.state, job.failure) {
            return Err(app::Error::of_job(failure.kind, failure.message).into());
        }
        if job.state.ended()
            || Instant::now() >= deadline
            || !pause(cx, &mut standing, &mut news, deadline).await
        {
            return Ok(());
        }
    }
}

/// Until something about it was committed, or it is time to look anyway; false when the core stops, or the caller may not see what
/// they might when they asked.
async fn pause(
    cx: &Context,
    standing: &mut Standing,
    news: &mut Waiting,
    deadline: Instant,
) -> bool {
    tokio::select! {
        () = standing.shaken() => {}
        () = news.changed() => {}
        () = sleep(LOOK_AGAIN) => {}
        () = sleep_until(deadline) => {}
        () = cx.api.stopping.cancelled() => return false,
    }
    standing.holds(cx).await
}

async fn look_until<T: Settles>(
    cx: &Context,
    wait: Option<Wait>,
    project: &Name,
    name: &Name,
    enough: impl Fn(&T) -> bool,
) -> Result<T, app::Error> {
    let seen = T::look(cx, project, name).await?;
    if wait.is_none() || enough(&seen) {
        return Ok(seen);
    }
    follow(cx, (wait, seen.meta().id), project, name, enough).await
}

/// The same for what was seen just now, and was not enough.
async fn follow<T: Settles>(
    cx: &Context,
    (wait, id): (Option<Wait>, Uuid),
    project: &Name,
    name: &Name,
    enough: impl Fn(&T) -> bool,
) -> Result<T, app::Error> {
    let deadline = Instant::now() + wait.map_or(Duration::ZERO, |wait| wait.0);
    let mut news = cx.core().news.of(id);
    let mut standing = Standing::of(cx);
    loop {
        // It may have changed before anybody waited for that.
        let seen = T::look(cx, project, name).await?;
        if enough(&seen)
            || Instant::now() >= deadline
            || !pause(cx, &mut standing, &mut news, deadline).await
        {
            return Ok(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_whole_seconds_or_minutes_up_to_five() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(
                text.parse::<Wait>().ok().map(|wait| wait.0.as_secs()),
                expect,
                "{text:?}"
            );
        };
        check("30s", Some(30));
        check("2m", Some(120));
        check("0s", Some(0));
        check("5m", Some(300));
        for wrong in [
            "",
            "s",
            "30",
            "301s",
            "6m",
            "-1s",
            "+1s",
            "1h",
            "1.5s",
            "99999999999999999999m",
        ] {
            check(wrong, None);
        }
    }
}
