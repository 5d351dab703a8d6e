//! User data.

use std::str::from_utf8;

use rhyzome_model::user_data::{InvalidUserData, MAX_USER_DATA, UserData};

use crate::assert_kept;

/// What is wrong with user data is said shorter than this, in bytes.
const LONGEST: usize = 1000;

/// User data is taken as it is or refused; what is wrong with it is said shortly, with a line that is there, and without what may
/// be a secret.
pub fn run(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let data = UserData::new(text);
    assert_eq!(data.as_str(), text);
    assert_eq!(
        format!("{data:?}"),
        format!("UserData({} bytes)", text.len())
    );
    match data.check() {
        Ok(()) => {
            assert!(text.len() <= MAX_USER_DATA && !text.contains('\0'));
            assert!(!text.trim().is_empty());
        }
        Err(error) => refused(text, &error),
    }
}

fn refused(text: &str, error: &InvalidUserData) {
    let said = error.to_string();
    assert!(said.len() < LONGEST, "{} bytes: {said}", said.len());
    if let Some(line) = line(error) {
        // To YAML a carriage return alone ends a line.
        let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
        assert!((1..=lines).contains(&line), "{line} of {lines}: {said}");
    }
    // A first line that is not known and an address are quoted: the first is no secret, and the other one belongs to who reads it.
    if !matches!(
        error,
        InvalidUserData::Include { .. } | InvalidUserData::Nearly { .. }
    ) {
        assert_kept(error, text.split(|c: char| !c.is_alphanumeric()));
    }
}

fn line(error: &InvalidUserData) -> Option<usize> {
    match error {
        InvalidUserData::TooLong(_)
        | InvalidUserData::Empty
        | InvalidUserData::Unknown
        | InvalidUserData::Nearly { .. } => None,
        InvalidUserData::Nul(line)
        | InvalidUserData::Yaml { line, .. }
        | InvalidUserData::NoMapping { line, .. }
        | InvalidUserData::Json { line, .. }
        | InvalidUserData::Include { line, .. }
        | InvalidUserData::Mime { line, .. } => Some(*line),
    }
}
