//! From a tree to the program's struct, with all that does not fit instead of
//! only the first: what fails is noted, taken out, and the rest tried again.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Settings;
use crate::problem::{Origin, Problem};
use crate::tree::{self, Key};

/// A value that somebody set, where from, and how else its text may be read.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub value: Value,
    pub origin: Origin,
    /// As it was written, where it was plain text.
    pub text: Option<String>,
    pub other_readings: Vec<Value>,
}

impl Given {
    /// A value whose type is beyond doubt.
    pub(crate) fn plain(value: Value, origin: Origin) -> Self {
        Self {
            value,
            origin,
            text: None,
            other_readings: Vec::new(),
        }
    }
}

/// All that was set, by key.
pub(crate) type AllGiven = BTreeMap<Key, Given>;

/// Decodes what was given. The struct is made even when there are problems,
/// from what fits, so that its paths can be looked at too.
pub(crate) fn decode<T: Settings>(mut given: AllGiven, problems: &mut Vec<Problem>) -> Option<T> {
    loop {
        let mut whole = Value::Object(serde_json::Map::new());
        for (key, one) in &given {
            tree::put(&mut whole, key, one.value.clone());
        }
        let error = match serde_path_to_error::deserialize::<_, T>(whole) {
            Ok(settings) => return Some(settings),
            Err(error) => error,
        };
        let path = parts(error.path());
        let Some(key) = blamed(&given, &path) else {
            problems.push(Problem::Whole {
                reason: error.inner().to_string(),
            });
            return None;
        };
        let one = given.get_mut(&key).expect("blamed is one of the given");
        if one.other_readings.is_empty() {
            problems.push(problem::<T>(&key, &path, one, &error.inner().to_string()));
            given.remove(&key);
        } else {
            one.value = one.other_readings.remove(0);
        }
    }
}

fn parts(path: &serde_path_to_error::Path) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

/// The given key that an error's path lies at or below: the longest such.
fn blamed(given: &AllGiven, path: &[String]) -> Option<Key> {
    given
        .keys()
        .filter(|key| path.starts_with(key))
        .max_by_key(|key| key.len())
        .cloned()
}

fn problem<T: Settings>(key: &Key, path: &[String], one: &Given, message: &str) -> Problem {
    let secret = is_secret::<T>(&tree::dotted(key));
    // Below a list the path has positions that the tree's tables do not.
    let below = path.get(key.len()..).unwrap_or_default();
    let shown_key = tree::dotted(path).replace(".[", "[");
    let origin = one.origin.clone();
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => Problem::WrongType {
            origin,
            key: shown_key,
            expected: plain_words(expected),
            found: match &one.text {
                Some(text) if below.is_empty() => found(&Value::from(text.as_str()), secret),
                _ => found(at(&one.value, below), secret),
            },
        },
        None if secret => Problem::BadValue {
            origin,
            key: shown_key,
            reason: "the value is not acceptable (not shown: it is secret)".to_owned(),
        },
        None => Problem::BadValue {
            origin,
            key: shown_key,
            reason: format!("{message}; found {}", found(&one.value, false)),
        },
    }
}

/// Whether values of a key may not be shown.
pub(crate) fn is_secret<T: Settings>(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    T::SECRETS
        .iter()
        .any(|secret| key == *secret || key.starts_with(&format!("{secret}.")))
        || ["secret", "password", "passphrase", "token"]
            .iter()
            .any(|word| last.contains(word))
}

/// What stands below a value; the nearest there is.
fn at<'a>(value: &'a Value, below: &[String]) -> &'a Value {
    below.iter().fold(value, |at, part| {
        let index = part.trim_matches(['[', ']']).parse::<usize>().ok();
        at.get(part)
            .or_else(|| index.and_then(|index| at.get(index)))
            .unwrap_or(at)
    })
}

fn found(value: &Value, secret: bool) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::Bool(_) if secret => "true or false".to_owned(),
        Value::Number(_) if secret => "a number".to_owned(),
        Value::String(_) if secret => "a text that does not fit".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {text:?}"),
    }
}

/// serde speaks of Rust's types; people do not.
fn plain_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" | "a borrowed string" => "a text",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    words.to_owned()
}
