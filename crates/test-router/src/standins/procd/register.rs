//! `procd-service NAME`: what a script of somebody else's says of its service, for `rc.common`.
//!
//! A line of input each: `I instance`, `P parameter`, `V value`, `T package command`.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::super::ubus::call;

pub fn register(words: &[String]) -> ExitCode {
    let Some(name) = words.first() else {
        return ExitCode::FAILURE;
    };
    let (mut instances, mut triggers) = (Map::new(), Vec::new());
    let (mut instance, mut parameter) = (String::new(), String::new());
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match kind {
            "I" => {
                rest.clone_into(&mut instance);
                instances.insert(instance.clone(), json!({}));
            }
            "P" => {
                rest.clone_into(&mut parameter);
                let empty = if rest == "env" { json!({}) } else { json!([]) };
                instances[&instance][rest] = empty;
            }
            "V" => add(&mut instances[&instance][&parameter], rest),
            "T" => {
                if let Some((package, command)) = rest.split_once(' ') {
                    triggers.push(json!({"package": package, "command": command}));
                }
            }
            _ => return ExitCode::FAILURE,
        }
    }
    let service = json!({"name": name, "instances": instances, "triggers": triggers});
    match call("service", "set", &service) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn add(parameter: &mut Value, value: &str) {
    match parameter {
        Value::Array(values) => values.push(json!(value)),
        Value::Object(pairs) => {
            let (key, value) = value.split_once('=').unwrap_or((value, ""));
            pairs.insert(key.to_owned(), json!(value));
        }
        _ => {}
    }
}
