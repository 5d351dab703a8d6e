//! Amounts of bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount of bytes. In JSON a text with a binary unit (`"64MiB"`) or a whole number of bytes;
/// always returned as the text with the largest unit that divides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Written", into = "String")]
#[schema(value_type = String, example = "64MiB")]
pub struct Size(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount of bytes like 512KiB, 64MiB or 2GiB")]
pub struct InvalidSize(pub String);

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Size {
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = InvalidSize;
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize(text.to_owned());
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = text[..digits].parse().map_err(|_| invalid())?;
        let unit = match text[digits..].trim_start() {
            "" => 1,
            unit => {
                UNITS
                    .iter()
                    .find(|(name, _)| *name == unit)
                    .ok_or_else(invalid)?
                    .1
            }
        };
        number.checked_mul(unit).map(Self).ok_or_else(invalid)
    }
}

impl TryFrom<Written> for Size {
    type Error = InvalidSize;
    fn try_from(written: Written) -> Result<Self, InvalidSize> {
        match written {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        size.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or(&("B", 1));
        f.pad(&format!("{}{name}", self.0 / unit))
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_with_the_largest_unit_that_divides_it() {
        for (text, shown) in [
            ("64MiB", "64MiB"),
            ("1024", "1KiB"),
            ("1536MiB", "1536MiB"),
            ("2048 MiB", "2GiB"),
            ("0", "0B"),
        ] {
            assert_eq!(text.parse::<Size>().expect(text).to_string(), shown);
        }
        for wrong in ["", "MiB", "64MB", "-1", "99999999999TiB", "1.5GiB"] {
            assert_eq!(wrong.parse::<Size>(), Err(InvalidSize(wrong.to_owned())));
        }
    }
}
