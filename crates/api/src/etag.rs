//! `ETag` and `If-Match` (RFC 9110): nobody overwrites a change that they have not seen.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_model::quota::Quota;
use rhyzome_model::resource::{
    ApiToken, Component, Image, ImageTag, Instance, Network, Peer, Project, SshKey,
};
use rhyzome_model::user::{Invitation, Member, User};
use serde::Serialize;
use uuid::Uuid;

use crate::problem::{Failure, Refused};

/// What is shown whole, with a tag of its state.
pub trait Whole: Serialize + Send {
    /// Which resource it is, and its generation.
    fn version(&self) -> (Uuid, u64);
}

macro_rules! whole {
    ($($resource:ty),*) => {$(
        impl Whole for $resource {
            fn version(&self) -> (Uuid, u64) {
                (self.meta.id, self.meta.generation)
            }
        }
    )*};
}

whole!(
    ApiToken, Component, Image, Instance, Invitation, Member, Network, Peer, Project, SshKey, User
);

impl Whole for Quota {
    fn version(&self) -> (Uuid, u64) {
        (self.id, self.generation)
    }
}

impl Whole for ImageTag {
    fn version(&self) -> (Uuid, u64) {
        (self.id, self.generation)
    }
}

/// A resource as an answer, with its `ETag`.
#[derive(Debug)]
pub struct One<T>(pub StatusCode, pub T);

impl<T> One<T> {
    pub fn ok(resource: T) -> Self {
        Self(StatusCode::OK, resource)
    }

    pub fn created(resource: T) -> Self {
        Self(StatusCode::CREATED, resource)
    }

    pub fn accepted(resource: T) -> Self {
        Self(StatusCode::ACCEPTED, resource)
    }
}

impl<T: Whole> IntoResponse for One<T> {
    fn into_response(self) -> Response {
        let Self(status, resource) = self;
        let etag = tag(resource.version());
        let mut response = (status, axum::Json(resource)).into_response();
        if let Ok(value) = HeaderValue::from_str(&etag) {
            response.headers_mut().insert(ETAG, value);
        }
        response
    }
}

/// A resource's tag: its generation, and which resource it is, so that a tag of one that was deleted
/// does not fit another of the same name.
fn tag((id, generation): (Uuid, u64)) -> String {
    format!("\"{generation}-{}\"", which(id))
}

/// The last bytes of the id: the first ones of a UUID of version 7 are the time.
fn which(id: Uuid) -> String {
    id.simple().to_string().split_off(32 - WHICH)
}

/// Hexadecimal digits of a tag that say which resource it is of.
const WHICH: usize = 12;

/// `If-Match`: what the caller has seen; none where any state will do.
#[derive(Debug)]
pub struct IfMatch(Option<Seen>);

/// A tag that was answered, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    generation: u64,
    which: String,
}

impl IfMatch {
    /// The generation that the use case has to find. `present` is only looked at if there is one.
    ///
    /// # Errors
    /// 412 if the tag is of another resource of that name; whatever reading it fails with.
    pub async fn generation<T: Whole>(
        self,
        present: impl Future<Output = Result<T, app::Error>> + Send,
    ) -> Result<app::IfMatch, Failure> {
        let Some(seen) = self.0 else {
            return Ok(None);
        };
        let present = present.await?;
        if which(present.version().0) == seen.which {
            return Ok(Some(seen.generation));
        }
        let why = "the tag is of another resource, which had this name before";
        Err(app::Error::new(app::Kind::Changed, why).into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(Self(read(&parts.headers)?))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}-{}\"", self.generation, self.which)
    }
}

/// What a request's `If-Match` says: none where any state will do.
///
/// # Errors
/// It is neither `*` nor one tag.
pub fn read(headers: &HeaderMap) -> Result<Option<Seen>, Refused> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().unwrap_or_default().trim(),
        (Some(_), Some(_)) => return Err(wrong()),
    };
    match value {
        "*" => Ok(None),
        tag => Ok(Some(seen(tag).ok_or_else(wrong)?)),
    }
}

/// Reads a tag as it was answered, and no other writing of it.
fn seen(tag: &str) -> Option<Seen> {
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    let (generation, which) = inner.split_once('-')?;
    // A list of tags would otherwise be one of a strange resource.
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if which.len() != WHICH || !which.bytes().all(digit) {
        return None;
    }
    let seen = Seen {
        generation: generation.parse().ok()?,
        which: which.to_owned(),
    };
    (seen.to_string() == tag).then_some(seen)
}

fn wrong() -> Refused {
    Refused::Invalid {
        field: "If-Match".to_owned(),
        detail: "If-Match has to be * or one ETag as it was answered, with its quotes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tag_that_was_answered_is_one() {
        let read = |text| seen(text).map(|seen| (seen.generation, seen.which));
        assert_eq!(
            read("\"7-0a1b2c3d4e5f\""),
            Some((7, "0a1b2c3d4e5f".to_owned()))
        );
        for wrong in [
            "",
            "7-0a1b2c3d4e5f",
            "W/\"7-0a1b2c3d4e5f\"",
            "\"7\"",
            "\"7-0a1b\"",
            "\"7-0A1B2C3D4E5F\"",
            "\"x-0a1b2c3d4e5f\"",
            "\"+7-0a1b2c3d4e5f\"",
            "\"07-0a1b2c3d4e5f\"",
            "\"7-0a1b2c3d4e5f\", \"8-0a1b2c3d4e5f\"",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
