//! `?limit=100&after=<cursor>` of every list.

use std::str::FromStr;

use rhyzome_app as app;
use rhyzome_wire::Page;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which part of a list.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many rows at most: 1 to 1000.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
    pub limit: Limit,
    /// Where the page begins: the `next` of the page before it.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub after: Option<Cursor>,
}

impl PageQuery {
    /// As the use cases take it.
    pub fn request(self) -> app::PageRequest {
        app::PageRequest {
            limit: self.limit.0,
            after: self.after.map(|cursor| cursor.0),
        }
    }
}

/// Where a page begins, as some page before said it: never with a character that no name has, which not every database takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cursor(String);

/// A text that no page ends with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no `next` of a page")]
pub struct InvalidCursor(String);

impl TryFrom<String> for Cursor {
    type Error = InvalidCursor;
    fn try_from(text: String) -> Result<Self, InvalidCursor> {
        match text.contains(char::is_control) {
            true => Err(InvalidCursor(text)),
            false => Ok(Self(text)),
        }
    }
}

/// How many rows a page may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Limit(u32);

impl Limit {
    /// The largest page.
    pub const MAX: u32 = 1000;

    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

/// A limit that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number from 1 to {max}", max = Limit::MAX)]
pub struct InvalidLimit(String);

impl FromStr for Limit {
    type Err = InvalidLimit;
    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        match text.parse() {
            Ok(limit @ 1..=Self::MAX) => Ok(Self(limit)),
            _ => Err(InvalidLimit(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Limit {
    type Error = InvalidLimit;
    fn try_from(text: String) -> Result<Self, InvalidLimit> {
        text.parse()
    }
}

/// The rows and where the next page begins, as JSON.
pub fn page<T>((items, next): (Vec<T>, Option<String>)) -> axum::Json<Page<T>> {
    axum::Json(Page { items, next })
}
