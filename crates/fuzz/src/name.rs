//! Names that people give.

use std::str::from_utf8;

use rhyzome_model::Name;
use rhyzome_model::name::MAX_NAME;

/// A name is read as it is written, and is a DNS label.
pub fn run(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let letter = |c: &u8| c.is_ascii_lowercase();
    let is_name = bytes.len() <= MAX_NAME
        && bytes.first().is_some_and(letter)
        && bytes.last().is_some_and(|c| *c != b'-')
        && bytes
            .iter()
            .all(|c| letter(c) || c.is_ascii_digit() || *c == b'-');
    match text.parse::<Name>() {
        Ok(name) => {
            assert!(is_name, "{text:?}");
            assert_eq!(name.as_str(), text);
            let json = serde_json::to_string(&name).expect("a name is JSON");
            assert_eq!(serde_json::from_str::<Name>(&json).expect("and back"), name);
        }
        Err(error) => {
            assert!(!is_name, "{text:?}");
            assert!(!error.to_string().is_empty());
        }
    }
}
