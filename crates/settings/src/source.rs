//! Reading a configuration file into a tree.

use std::path::Path;

use serde_json::{Map, Value};

use crate::path;
use crate::problem::Problem;

/// Reads a file by its ending. `None` where it is not there and need not be.
pub(crate) fn read(file: &Path, required: bool) -> Result<Option<Value>, Problem> {
    let parse = parser(file)?;
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if !required && e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(file, path::explain(file, &e, "file"))),
    };
    let text = String::from_utf8(bytes).map_err(|_| unreadable(file, "is not UTF-8".to_owned()))?;
    parse(file, &text).map(Some)
}

type Parser = fn(&Path, &str) -> Result<Value, Problem>;

fn parser(file: &Path) -> Result<Parser, Problem> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => Ok(parse_toml),
        Some("json") => Ok(parse_json),
        other => Err(Problem::Ending {
            path: file.to_owned(),
            ending: match other {
                Some(other) => format!("the ending .{other} is not known"),
                None => "it has no ending".to_owned(),
            },
        }),
    }
}

/// Only the message and the place: the parser's own rendering would quote the
/// line, which may hold a secret.
fn parse_toml(file: &Path, text: &str) -> Result<Value, Problem> {
    let table = text.parse::<toml::Table>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = place(text, at);
        Problem::Syntax {
            path: file.to_owned(),
            line,
            column,
            format: "TOML",
            reason: error.message().trim().replace('\n', ", "),
        }
    })?;
    Ok(from_toml(toml::Value::Table(table)))
}

fn parse_json(file: &Path, text: &str) -> Result<Value, Problem> {
    let value: Value = serde_json::from_str(text).map_err(|error| Problem::Syntax {
        path: file.to_owned(),
        line: error.line(),
        column: error.column(),
        format: "JSON",
        reason: without_place(&error.to_string()),
    })?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(unreadable(file, "holds no JSON object".to_owned()))
    }
}

fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => Value::Object(
            table
                .into_iter()
                .map(|(key, value)| (key, from_toml(value)))
                .collect::<Map<_, _>>(),
        ),
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

/// serde_json ends its messages with the place that stands before ours.
fn without_place(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}

fn unreadable(file: &Path, reason: String) -> Problem {
    Problem::File {
        path: file.to_owned(),
        reason,
    }
}
