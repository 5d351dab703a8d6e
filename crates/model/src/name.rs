//! Names that people give: of projects, networks, instances, peers, components and images.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A name: 1 to 40 of `a-z`, `0-9` and `-`, beginning with a letter and not ending in `-`.
///
/// It is also a DNS label (RFC 1035, at most 63 bytes; 40 leave room for what we put around it).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", example = "web")]
pub struct Name(String);

/// The longest name, in bytes.
pub const MAX_NAME: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("a name may not be empty")]
    Empty,
    #[error("the name {0:?} is longer than {MAX_NAME} characters")]
    TooLong(String),
    #[error("the name {0:?} has to begin with a letter from a to z")]
    Start(String),
    #[error("the name {0:?} may not end in a hyphen")]
    End(String),
    #[error("the name {name:?} contains {found:?}; a-z, 0-9 and - are allowed")]
    Character { name: String, found: char },
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the project that exists from the start.
    pub fn default_project() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let Some(first) = text.chars().next() else {
            return Err(InvalidName::Empty);
        };
        if text.chars().count() > MAX_NAME {
            return Err(InvalidName::TooLong(text.to_owned()));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(found) = text.chars().find(|c| !allowed(*c)) {
            return Err(InvalidName::Character {
                name: text.to_owned(),
                found,
            });
        }
        if !first.is_ascii_lowercase() {
            return Err(InvalidName::Start(text.to_owned()));
        }
        if text.ends_with('-') {
            return Err(InvalidName::End(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<(), &str>) {
        let got = text.parse::<Name>().map(drop).map_err(|e| e.to_string());
        assert_eq!(got, expect.map_err(str::to_owned), "{text:?}");
    }

    #[test]
    fn a_name_is_a_dns_label_in_lower_case() {
        check("web", Ok(()));
        check("web-2", Ok(()));
        check("", Err("a name may not be empty"));
        check(
            "Web",
            Err("the name \"Web\" contains 'W'; a-z, 0-9 and - are allowed"),
        );
        check(
            "2web",
            Err("the name \"2web\" has to begin with a letter from a to z"),
        );
        check("web-", Err("the name \"web-\" may not end in a hyphen"));
        check(
            "a/../b",
            Err("the name \"a/../b\" contains '/'; a-z, 0-9 and - are allowed"),
        );
        let long = "a".repeat(41);
        check(
            &long,
            Err(&format!("the name {long:?} is longer than 40 characters")),
        );
    }
}
