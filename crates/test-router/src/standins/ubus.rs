//! The command `ubus`, and a bus between the stand-ins. What goes over the sockets is our own: a line of JSON each way.
//!
//! What the command ends with is as it was measured: 256 less the status where a method failed, the status itself
//! where there is no such object.

mod command;
mod server;

pub use command::run;
pub use server::{Reply, serve};

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

/// Where the sockets are, one for each process with objects.
pub const FOLDER: &str = "/tmp/run/ubus";

/// The statuses of libubus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    InvalidArgument = 2,
    MethodNotFound = 3,
    NotFound = 4,
    NoData = 5,
    PermissionDenied = 6,
    Timeout = 7,
    Unknown = 9,
}

impl Status {
    pub const ALL: [Self; 7] = [
        Self::InvalidArgument,
        Self::MethodNotFound,
        Self::NotFound,
        Self::NoData,
        Self::PermissionDenied,
        Self::Timeout,
        Self::Unknown,
    ];

    pub fn text(self) -> &'static str {
        match self {
            Self::InvalidArgument => "Invalid argument",
            Self::MethodNotFound => "Method not found",
            Self::NotFound => "Not found",
            Self::NoData => "No response",
            Self::PermissionDenied => "Permission denied",
            Self::Timeout => "Request timed out",
            Self::Unknown => "Unknown error",
        }
    }
}

/// The process that has an object.
fn owner(object: &str) -> Option<&'static str> {
    match object.split('.').next()? {
        "service" | "system" => Some("procd"),
        "network" => Some("netifd"),
        "uci" | "session" => Some("rpcd"),
        _ => None,
    }
}

/// Asks a process; nothing where it is not there, or ends before it answers.
fn ask(process: &str, request: &Value) -> Option<Value> {
    let mut stream = UnixStream::connect(format!("{FOLDER}/{process}")).ok()?;
    writeln!(stream, "{request}").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// Calls a method. No answer is like an object that is not there.
pub fn call(object: &str, method: &str, arguments: &Value) -> Result<Value, Status> {
    let process = owner(object).ok_or(Status::NotFound)?;
    let request = json!({"object": object, "method": method, "arguments": arguments});
    let mut answer = ask(process, &request).ok_or(Status::NotFound)?;
    let status = answer["status"].as_u64().unwrap_or_default();
    match Status::ALL.into_iter().find(|one| *one as u64 == status) {
        Some(failed) => Err(failed),
        None => Ok(answer["data"].take()),
    }
}

/// All objects that there are.
pub fn objects() -> Vec<String> {
    let mut found = Vec::new();
    for process in ["netifd", "procd", "rpcd"] {
        let answer = ask(process, &json!({"list": true})).unwrap_or_default();
        let names = answer["objects"].as_array().into_iter().flatten();
        found.extend(names.filter_map(|name| name.as_str().map(str::to_owned)));
    }
    found.sort();
    found
}
