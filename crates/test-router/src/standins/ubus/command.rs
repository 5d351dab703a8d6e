//! `ubus [-S] [-t SECONDS] call|list|wait_for …`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use super::{Status, call, objects};
use crate::standins::has;
use rhyzome_test_router::Fault;

pub fn run(words: &[String]) -> ExitCode {
    let mut timeout = Duration::from_secs(30);
    let (mut simple, mut left) = (false, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-S" if left.is_empty() => simple = true,
            "-v" if left.is_empty() => {}
            "-t" if left.is_empty() => {
                let seconds = words.next().and_then(|text| text.parse().ok());
                timeout = Duration::from_secs(seconds.unwrap_or_default());
            }
            _ => left.push(word.as_str()),
        }
    }
    if has(Fault::NoUbus) {
        eprintln!("Failed to connect to ubus");
        return ExitCode::from(255);
    }
    if has(Fault::UbusHangs) {
        std::thread::sleep(timeout);
        eprintln!("Command failed: {}", Status::Timeout.text());
        return ExitCode::from(Status::Timeout as u8);
    }
    match left.as_slice() {
        ["call", object, method] => call_and_print(object, method, "{}", simple),
        ["call", object, method, arguments] => call_and_print(object, method, arguments, simple),
        ["list"] => list(""),
        ["list", pattern] => list(pattern),
        ["wait_for", names @ ..] => wait_for(names, timeout),
        ["send", ..] => ExitCode::SUCCESS,
        _ => {
            eprintln!("Usage: ubus [<options>] <command> [arguments...]");
            ExitCode::from(254)
        }
    }
}

fn call_and_print(object: &str, method: &str, arguments: &str, simple: bool) -> ExitCode {
    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else {
        eprintln!("Failed to parse message data");
        return ExitCode::from(255);
    };
    if !objects().iter().any(|name| name == object) {
        eprintln!("Command failed: Not found");
        return ExitCode::from(Status::NotFound as u8);
    }
    match call(object, method, &arguments) {
        Ok(Value::Null) => ExitCode::SUCCESS,
        Ok(data) => {
            println!(
                "{}",
                if simple {
                    data.to_string()
                } else {
                    pretty(&data)
                }
            );
            ExitCode::SUCCESS
        }
        Err(status) => {
            eprintln!("Command failed: {}", status.text());
            ExitCode::from((status as u8).wrapping_neg())
        }
    }
}

fn pretty(data: &Value) -> String {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    let mut serializer = Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(data, &mut serializer).expect("JSON can be written");
    String::from_utf8(text).unwrap_or_else(|_| json!({}).to_string())
}

/// All objects, or those of a name; `*` at its end stands for any.
fn list(pattern: &str) -> ExitCode {
    let found = objects()
        .into_iter()
        .filter(|name| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => pattern.is_empty() || name == pattern,
        });
    let found: Vec<String> = found.collect();
    for name in &found {
        println!("{name}");
    }
    match found.is_empty() {
        true => {
            eprintln!("Command failed: Not found");
            ExitCode::from(Status::NotFound as u8)
        }
        false => ExitCode::SUCCESS,
    }
}

fn wait_for(names: &[&str], timeout: Duration) -> ExitCode {
    let begin = Instant::now();
    loop {
        let there = objects();
        if names.iter().all(|name| there.iter().any(|one| one == name)) {
            return ExitCode::SUCCESS;
        }
        if begin.elapsed() > timeout {
            return ExitCode::from(Status::Timeout as u8);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
