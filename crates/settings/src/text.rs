//! Values written as plain text, in the environment or after `--set`: what a
//! text may mean depends on the key that it is for.

use serde_json::{Map, Value};

/// All readings of a text, the likeliest first. `default` is what the key
/// holds when nobody sets it, and tells its type unless it is null.
pub(crate) fn readings(text: &str, default: &Value) -> Vec<Value> {
    let plain = Value::String(text.to_owned());
    let json = serde_json::from_str::<Value>(text).ok();
    match default {
        Value::String(_) => vec![plain],
        Value::Number(_) | Value::Bool(_) => json
            .filter(|value| value.is_number() || value.is_boolean())
            .into_iter()
            .chain([plain])
            .collect(),
        Value::Array(_) => match json {
            Some(list @ Value::Array(_)) => vec![list],
            _ => lists(text),
        },
        Value::Object(_) => match json {
            Some(map @ Value::Object(_)) => vec![map],
            _ => pairs(text).into_iter().chain([plain]).collect(),
        },
        Value::Null => [plain]
            .into_iter()
            .chain(json)
            .chain(lists(text))
            .chain(pairs(text))
            .collect(),
    }
}

/// `a,b,c`, all as texts, and those that can be as numbers and truths.
fn lists(text: &str) -> Vec<Value> {
    let parts: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let texts = parts.iter().map(|part| Value::from(*part)).collect();
    let values = parts
        .iter()
        .map(|part| serde_json::from_str(part).unwrap_or_else(|_| Value::from(*part)))
        .collect();
    vec![Value::Array(texts), Value::Array(values)]
}

/// `a=1,b=2`.
fn pairs(text: &str) -> Option<Value> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=')?;
            Some((key.to_owned(), Value::from(value)))
        })
        .collect::<Option<Map<_, _>>>()
        .map(Value::Object)
}
