//! Configuration as a tree of JSON values, addressed by keys with dots.

use serde_json::{Map, Value};

/// The parts of a key.
pub(crate) type Key = Vec<String>;

pub(crate) fn dotted(key: &[String]) -> String {
    key.join(".")
}

pub(crate) fn split(dotted: &str) -> Key {
    dotted.split('.').map(str::to_owned).collect()
}

pub(crate) fn get<'a>(tree: &'a Value, key: &[String]) -> Option<&'a Value> {
    key.iter().try_fold(tree, |at, part| at.get(part))
}

/// Puts a value at a key, making tables on the way.
pub(crate) fn put(tree: &mut Value, key: &[String], value: Value) {
    let mut at = tree;
    for part in key {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = at
            .as_object_mut()
            .expect("made a table just above")
            .entry(part)
            .or_insert(Value::Null);
    }
    *at = value;
}

/// A struct of the program: an object with fields.
pub(crate) fn is_table(default: &Value) -> bool {
    default.as_object().is_some_and(|fields| !fields.is_empty())
}

/// All keys that hold values, with their defaults, in order.
pub(crate) fn leaves(default: &Value) -> Vec<(Key, &Value)> {
    fn walk<'a>(at: &'a Value, above: &Key, found: &mut Vec<(Key, &'a Value)>) {
        let Some(fields) = at.as_object() else {
            return;
        };
        for (name, value) in fields {
            let mut key = above.clone();
            key.push(name.clone());
            if is_table(value) {
                walk(value, &key, found);
            } else {
                found.push((key, value));
            }
        }
    }
    let mut found = Vec::new();
    walk(default, &Vec::new(), &mut found);
    found
}

/// All keys that may be written: those of values and those of tables.
pub(crate) fn known(default: &Value) -> Vec<String> {
    let mut keys: Vec<String> = leaves(default)
        .iter()
        .flat_map(|(key, _)| (1..=key.len()).map(|depth| dotted(&key[..depth])))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// What stands at a key in the default; `None` is an unknown key, and
/// everything below a free table is known.
pub(crate) fn known_at<'a>(default: &'a Value, key: &[String]) -> Option<&'a Value> {
    let mut at = default;
    for part in key {
        if at.as_object().is_some_and(Map::is_empty) {
            return Some(&Value::Null);
        }
        at = at.get(part)?;
    }
    Some(at)
}
