//! Tags: movable names for images, like `debian:12`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Name;
use crate::name::InvalidName;

/// A tag, `FAMILY:LABEL`. The family is a name; the label has 1 to 40 of `a-z`, `0-9`, `.`, `_` and `-`,
/// and begins with a letter or a digit.
///
/// The colon tells a tag from an image's name. `sha256` is no family: a digest is written so.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(
    value_type = String,
    pattern = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?:[a-z0-9][a-z0-9._-]{0,39}$",
    example = "debian:12"
)]
pub struct Tag(String);

/// The longest label, in bytes.
pub const MAX_LABEL: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    #[error("the tag {0:?} has no colon: it has to be FAMILY:LABEL, like debian:12")]
    Colon(String),
    #[error("the tag {tag:?} has no family before its colon: {why}")]
    Family { tag: String, why: InvalidName },
    #[error("the tag {0:?} may not begin with sha256: that is a digest")]
    Reserved(String),
    #[error(
        "the tag {0:?} needs 1 to {MAX_LABEL} of a-z, 0-9, '.', '_' and '-' behind its colon, a letter or digit first"
    )]
    Label(String),
}

impl Tag {
    /// What is before the colon.
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let whole = || text.to_owned();
        let (family, label) = text
            .split_once(':')
            .ok_or_else(|| InvalidTag::Colon(whole()))?;
        let family: Name = family
            .parse()
            .map_err(|why| InvalidTag::Family { tag: whole(), why })?;
        if family.as_str() == "sha256" {
            return Err(InvalidTag::Reserved(whole()));
        }
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let first = label.bytes().next().is_some_and(plain);
        let rest = label
            .bytes()
            .all(|c| plain(c) || matches!(c, b'.' | b'_' | b'-'));
        if !first || !rest || label.len() > MAX_LABEL {
            return Err(InvalidTag::Label(whole()));
        }
        Ok(Self(whole()))
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidTag;
    fn try_from(text: String) -> Result<Self, InvalidTag> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What images are chosen by: one tag, or a family of tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum TagFilter {
    Tag(Tag),
    Family(Name),
}

impl FromStr for TagFilter {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        if text.contains(':') {
            return text.parse().map(Self::Tag);
        }
        text.parse()
            .map(Self::Family)
            .map_err(|why| InvalidTag::Family {
                tag: text.to_owned(),
                why,
            })
    }
}

impl TryFrom<String> for TagFilter {
    type Error = InvalidTag;
    fn try_from(text: String) -> Result<Self, InvalidTag> {
        text.parse()
    }
}

impl fmt::Display for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Family(family) => family.fmt(f),
        }
    }
}

/// What is asked of a tag: which image it points at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageTagSpec {
    /// The image, by name.
    pub image: Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_family_and_a_label() {
        let long = format!("debian:{}", "1".repeat(41));
        let check = |text: &str, wrong: Option<&str>| {
            let why = text.parse::<Tag>().err().map(|why| why.to_string());
            match wrong {
                None => assert_eq!(why, None, "{text}"),
                Some(part) => assert!(why.is_some_and(|why| why.contains(part)), "{text}"),
            }
        };
        check("debian:12", None);
        check("my-app:1.2.3_rc-1", None);
        check("debian", Some("no colon"));
        check(":12", Some("may not be empty"));
        check("Debian:12", Some("contains 'D'"));
        check("sha256:ab", Some("that is a digest"));
        for label in ["", ".1", "-1", "A", "a b", "1:2", "ä"] {
            check(&format!("debian:{label}"), Some("behind its colon"));
        }
        check(&long, Some("behind its colon"));
        let tag: Tag = "debian:12".parse().unwrap();
        assert_eq!(tag.to_string(), "debian:12");
        assert_eq!(tag.family(), "debian");
    }

    #[test]
    fn images_are_chosen_by_a_tag_or_its_family() {
        let filter = |text: &str| text.parse::<TagFilter>();
        assert_eq!(
            filter("debian:12"),
            Ok(TagFilter::Tag("debian:12".parse().unwrap()))
        );
        assert_eq!(
            filter("debian"),
            Ok(TagFilter::Family("debian".parse().unwrap()))
        );
        assert!(filter("debian:").is_err() && filter("").is_err());
    }
}
