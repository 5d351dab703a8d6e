//! Figures: a JSON object that can also be read, and times put in order.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

/// One object of figures.
#[derive(Debug, Default)]
pub struct Figures(Map<String, Value>);

impl Figures {
    /// # Panics
    /// Where the value cannot be JSON, which none of ours is.
    pub fn insert(&mut self, name: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).expect("plain values");
        self.0.insert(name.to_owned(), value);
    }

    pub fn as_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    pub fn as_text(&self) -> String {
        let mut text = String::new();
        write(&mut text, "", &Value::Object(self.0.clone()));
        text
    }
}

/// A line for each value, with the path to it.
fn write(text: &mut String, path: &str, value: &Value) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(fields)
            if fields
                .values()
                .all(|value| !value.is_object() && !value.is_array())
                && !path.is_empty() =>
        {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect();
            let _ = writeln!(text, "{path}: {}", fields.join(", "));
        }
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| write(text, &below(name), value)),
        Value::Array(values) => values.iter().for_each(|value| write(text, path, value)),
        value => {
            let _ = writeln!(text, "{path}: {}", plain(value));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Times, to be summed up.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds, so many hundredths of them not longer; 0 where there are none.
    pub fn percentile(&self, hundredths: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = (last * hundredths).div_ceil(100);
        sorted.get(at).map_or(0.0, |time| milliseconds(*time))
    }
}

/// With three digits behind the point.
pub fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1000.0, 1000.0)
}

/// In parts of which so many are one.
pub fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut times = Times::default();
        assert!(times.percentile(50).abs() < f64::EPSILON);
        for millis in (1..=101).rev() {
            times.push(Duration::from_millis(millis));
        }
        assert!((times.percentile(50) - 51.0).abs() < f64::EPSILON);
        assert!((times.percentile(99) - 100.0).abs() < f64::EPSILON);
        assert!((times.percentile(100) - 101.0).abs() < f64::EPSILON);
    }

    #[test]
    fn people_read_a_line_for_each_object() {
        let mut figures = Figures::default();
        figures.insert("name", "control-plane");
        figures.insert(
            "create",
            serde_json::json!([{"clients": 1, "p50_ms": 2.5}, {"clients": 8, "p50_ms": 3}]),
        );
        assert_eq!(
            figures.as_text(),
            "create: clients 1, p50_ms 2.5\ncreate: clients 8, p50_ms 3\nname: control-plane\n"
        );
    }
}
