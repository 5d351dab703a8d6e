//! Names of packages, sections and options, and types of sections.

use std::fmt;
use std::str::FromStr;

/// A text that cannot be a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("the name of {kind} may not be empty")]
    Empty { kind: &'static str },
    #[error("{text:?} cannot be {kind}: {found:?} may not be in it, but {allowed} may")]
    Character {
        kind: &'static str,
        text: String,
        found: char,
        allowed: &'static str,
    },
}

fn check(
    kind: &'static str,
    allowed: &'static str,
    text: &str,
    is_allowed: fn(char) -> bool,
) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty { kind });
    }
    match text.chars().find(|c| !is_allowed(*c)) {
        None => Ok(()),
        Some(found) => Err(InvalidName::Character {
            kind,
            text: text.to_owned(),
            found,
            allowed,
        }),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $kind:literal, $allowed:literal, $is_allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check($kind, $allowed, text, $is_allowed)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

names! {
    /// The name of a section or an option.
    Name = "a section or an option", "A-Z, a-z, 0-9 and _", |c| c.is_ascii_alphanumeric() || c == '_';
    /// The name of a package, which is also its file's in `/etc/config`.
    PackageName = "a package", "A-Z, a-z, 0-9, _ and -",
        |c| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    /// The type of a section. `bridge-vlan` is one, and could not be a name.
    SectionType = "a type of sections", "printable ASCII without space, quotes, #, ; and \\",
        |c| c.is_ascii_graphic() && !is_lost(c);
}

/// libuci writes a type without quotes, so that these do not come back, or make the whole file unreadable.
fn is_lost(c: char) -> bool {
    matches!(c, '\'' | '"' | '#' | ';' | '\\')
}

impl Name {
    /// One that was a name before.
    pub(crate) fn known(text: &str) -> Self {
        Self(text.into())
    }
}

impl SectionType {
    /// As libuci reads one: also what it could not write.
    pub(crate) fn read(text: &str) -> Result<Self, InvalidName> {
        let allowed = "printable ASCII without space";
        check("a type of sections", allowed, text, |c| {
            c.is_ascii_graphic()
        })?;
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = InvalidName>>(text: &str, expect: Result<(), &str>) {
        let got = text.parse::<T>().map(drop).map_err(|e| e.to_string());
        assert_eq!(got, expect.map_err(str::to_owned), "{text:?}");
    }

    #[test]
    fn a_hyphen_may_be_in_a_type_and_a_packages_name_only() {
        check::<SectionType>("bridge-vlan", Ok(()));
        check::<PackageName>("luci-app", Ok(()));
        check::<Name>(
            "bridge-vlan",
            Err(
                "\"bridge-vlan\" cannot be a section or an option: '-' may not be in it, but \
                 A-Z, a-z, 0-9 and _ may",
            ),
        );
    }

    #[test]
    fn nothing_is_no_name() {
        check::<Name>(
            "",
            Err("the name of a section or an option may not be empty"),
        );
    }

    #[test]
    fn a_type_that_libuci_could_not_write_is_only_read() {
        for text in ["it's", "a\"b", "a#b", "a;b", "a\\b"] {
            assert!(text.parse::<SectionType>().is_err(), "{text:?}");
            assert!(SectionType::read(text).is_ok(), "{text:?}");
        }
        assert!(SectionType::read("zwölf").is_err() && SectionType::read("a b").is_err());
    }
}
