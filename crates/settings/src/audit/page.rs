//! Whether the page for operators has every key of a program, and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Finding;
use crate::{Settings, tree};

/// What a page says of a key.
struct Row<'a> {
    default: &'a str,
    meaning: &'a str,
}

/// Compares a program's keys with its section of a page in Markdown; nothing is right.
///
/// The section is headed by the program's name, as `` ## `rhyzome-api` ``, and has a table with a row
/// for each key: the key, its default (a dash where it is not set by default), what it means.
///
/// # Panics
/// When the default cannot be serialized.
#[must_use]
pub fn audit_page<T: Settings>(program: &str, page: &str) -> Vec<Finding> {
    let default = serde_json::to_value(T::default())
        .expect("the default of a configuration can be serialized");
    let mut rows = rows(section(program, page));
    let mut findings = Vec::new();
    for (key, value) in tree::leaves(&default) {
        let (key, default) = (tree::dotted(&key), shown(value));
        match rows.remove(key.as_str()) {
            None => findings.push(Finding::Undocumented { key }),
            Some(row) if row.default != default => findings.push(Finding::OtherDefault {
                key,
                default,
                said: row.default.to_owned(),
            }),
            Some(row) if row.meaning.is_empty() => findings.push(Finding::Undocumented { key }),
            Some(_) => {}
        }
    }
    let unknown = rows.into_keys().map(str::to_owned);
    findings.extend(unknown.map(|key| Finding::NoSuchKey { key }));
    findings
}

/// From the program's heading to the next one.
fn section<'a>(program: &str, page: &'a str) -> &'a str {
    let heading = format!("\n## `{program}`\n");
    let (_, section) = page.split_once(&heading).unwrap_or_default();
    section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section)
}

/// The rows of tables whose first cell is code.
fn rows(section: &str) -> BTreeMap<&str, Row<'_>> {
    section.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(&str, Row<'_>)> {
    let cells = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ");
    let cells: Vec<&str> = cells.map(str::trim).collect();
    let [key, default, meaning] = cells[..] else {
        return None;
    };
    let key = key.strip_prefix('`')?.strip_suffix('`')?;
    Some((key, Row { default, meaning }))
}

/// A default as it stands in the table.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
