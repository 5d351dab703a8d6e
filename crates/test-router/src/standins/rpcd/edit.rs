//! Reading and writing configurations, by the real `uci`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value, json};

use super::super::config;
use super::super::ubus::{Reply, Status};

/// What `uci` itself has for what is not committed, and reads whatever else it is told to.
const SHARED: &str = "/tmp/.uci";

pub fn answer(method: &str, arguments: &Value, delta: &str) -> Reply {
    let text = |key: &str| arguments[key].as_str();
    let package = text("config")
        .filter(|name| is_name(name))
        .ok_or(Status::InvalidArgument)?;
    if !Path::new("/etc/config").join(package).exists() {
        return Err(Status::NotFound);
    }
    let section = text("section");
    match method {
        "get" => get(package, section, text("option"), delta),
        "add" => add(arguments, package, delta),
        "set" => {
            let section = section.ok_or(Status::InvalidArgument)?;
            let values = arguments["values"]
                .as_object()
                .ok_or(Status::InvalidArgument)?;
            if !batch(&format!("get {package}.{section}\n"), delta)
                .status
                .success()
                || read(package, delta)?.get(section).is_none()
            {
                return Err(Status::NotFound);
            }
            let lines = assignments(package, section, values)?;
            done(&batch(&lines, delta))
        }
        "delete" => {
            let section = section.ok_or(Status::InvalidArgument)?;
            let option = text("option").map_or(String::new(), |option| format!(".{option}"));
            if read(package, delta)?.get(section).is_none() {
                return Err(Status::NotFound);
            }
            let options = arguments["options"].as_array().into_iter().flatten();
            let options = options.filter_map(Value::as_str);
            let mut lines: String = options
                .map(|option| format!("delete {package}.{section}.{option}\n"))
                .collect();
            if lines.is_empty() {
                lines = format!("delete {package}.{section}{option}\n");
            }
            done(&batch(&lines, delta))
        }
        "rename" => {
            let section = section.ok_or(Status::InvalidArgument)?;
            let name = text("name")
                .filter(|name| is_name(name))
                .ok_or(Status::InvalidArgument)?;
            done(&batch(
                &format!("rename {package}.{section}={name}\n"),
                delta,
            ))
        }
        "order" => {
            let sections = arguments["sections"]
                .as_array()
                .ok_or(Status::InvalidArgument)?;
            let sections = sections.iter().filter_map(Value::as_str).enumerate();
            let lines: String = sections
                .map(|(at, section)| format!("reorder {package}.{section}={at}\n"))
                .collect();
            done(&batch(&lines, delta))
        }
        "changes" => {
            let output = batch(&format!("changes {package}\n"), delta);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            Ok(json!({"changes": lines}))
        }
        "revert" => done(&batch(&format!("revert {package}\n"), delta)),
        "commit" => done(&batch(&format!("commit {package}\n"), delta)),
        _ => Err(Status::MethodNotFound),
    }
}

pub fn packages() -> Vec<String> {
    let files = fs::read_dir("/etc/config").into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
    names.sort();
    names
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !text.is_empty() && text.chars().all(allowed)
}

fn add(arguments: &Value, package: &str, delta: &str) -> Reply {
    let kind = arguments["type"].as_str().ok_or(Status::InvalidArgument)?;
    let empty = Map::new();
    let values = arguments["values"].as_object().unwrap_or(&empty);
    let name = match arguments["name"].as_str() {
        Some(name) if is_name(name) && !name.contains('-') => {
            done(&batch(&format!("set {package}.{name}={kind}\n"), delta))?;
            name.to_owned()
        }
        Some(_) => return Err(Status::InvalidArgument),
        None => {
            let output = batch(&format!("add {package} {kind}\n"), delta);
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
    };
    done(&batch(&assignments(package, &name, values)?, delta))?;
    Ok(json!({"section": name}))
}

/// The lines that give options their values: texts and numbers, booleans as 1 and 0, lists. Anything else is refused.
fn assignments(
    package: &str,
    section: &str,
    values: &Map<String, Value>,
) -> Result<String, Status> {
    let mut lines = String::new();
    for (option, value) in values {
        if !is_name(option) || option.contains('-') {
            return Err(Status::InvalidArgument);
        }
        let path = format!("{package}.{section}.{option}");
        match value {
            Value::Array(items) => {
                lines.push_str(&format!("set {path}=''\n"));
                for item in items {
                    lines.push_str(&format!("add_list {path}={}\n", quoted(&scalar(item)?)));
                }
            }
            value => lines.push_str(&format!("set {path}={}\n", quoted(&scalar(value)?))),
        }
    }
    Ok(lines)
}

fn scalar(value: &Value) -> Result<String, Status> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(u8::from(*flag).to_string()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(Status::InvalidArgument),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A missing section is like an empty one.
fn get(package: &str, section: Option<&str>, option: Option<&str>, delta: &str) -> Reply {
    let values = read(package, delta)?;
    match (section, option) {
        (None, _) => Ok(json!({"values": values})),
        (Some(section), None) => match values.get(section) {
            Some(values) => Ok(json!({"values": values})),
            None => Ok(Value::Null),
        },
        (Some(section), Some(option)) => {
            match values.get(section).and_then(|one| one.get(option)) {
                Some(value) => Ok(json!({"value": value})),
                None => Ok(Value::Null),
            }
        }
    }
}

/// All sections of a package, with what is not committed.
fn read(package: &str, delta: &str) -> Result<Map<String, Value>, Status> {
    let output = batch(&format!("export {package}\n"), delta);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = rhyzome_uci_reference::read_export(&text).map_err(|_| Status::Unknown)?;
    let sections = found.into_iter().flat_map(|package| package.sections);
    let values = sections.enumerate().map(|(index, section)| {
        let mut values = Map::new();
        values.insert(".anonymous".to_owned(), json!(section.anonymous));
        values.insert(".type".to_owned(), json!(section.kind));
        values.insert(".name".to_owned(), json!(section.name));
        values.insert(".index".to_owned(), json!(index));
        for (option, value) in section.options {
            let value = match value {
                config::Value::One(text) => json!(text),
                config::Value::List(items) => json!(items),
            };
            values.insert(option, value);
        }
        (section.name, Value::Object(values))
    });
    Ok(values.collect())
}

fn done(output: &Output) -> Reply {
    match output.status.success() && output.stderr.is_empty() {
        true => Ok(Value::Null),
        false => Err(Status::Unknown),
    }
}

/// Runs lines of `uci batch` with a folder of what is not committed. The program would take along what is in the one
/// that all share, which rpcd does not: it is hidden from it.
fn batch(lines: &str, delta: &str) -> Output {
    let mut command = match delta == SHARED {
        true => Command::new("/sbin/uci"),
        false => {
            let _ = fs::create_dir_all(delta);
            let _ = fs::create_dir_all(SHARED);
            let mut command = Command::new("/bin/busybox");
            let script = format!("mount -t tmpfs none {SHARED} && exec /sbin/uci -t {delta} batch");
            command.args(["unshare", "-m", "sh", "-c", &script]);
            command
        }
    };
    if delta == SHARED {
        command.arg("batch");
    }
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("uci is there");
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(lines.as_bytes());
    }
    child.wait_with_output().expect("it is a child")
}
