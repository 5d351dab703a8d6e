//! `ifup`, `ifdown` and `ifstatus`. The first two end well whatever comes of it.

use std::process::ExitCode;

use serde_json::json;

use super::super::ubus;

pub fn ifup(words: &[String]) -> ExitCode {
    // As the real one: down first, so that it is made anew.
    each(words, &["down", "up"])
}

pub fn ifdown(words: &[String]) -> ExitCode {
    each(words, &["down"])
}

fn each(words: &[String], methods: &[&str]) -> ExitCode {
    for name in words.iter().filter(|word| !word.starts_with('-')) {
        for method in methods {
            let object = format!("network.interface.{name}");
            if ubus::call(&object, method, &json!({})).is_err() {
                println!("Interface {name} not found");
            }
        }
    }
    ExitCode::SUCCESS
}

pub fn ifstatus(words: &[String]) -> ExitCode {
    let Some(name) = words.first() else {
        return ExitCode::FAILURE;
    };
    let words = [
        "call".to_owned(),
        format!("network.interface.{name}"),
        "status".to_owned(),
    ];
    ubus::run(&words)
}
