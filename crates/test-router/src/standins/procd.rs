//! `init` and procd: mounts, the init scripts in their order, services that are started again when they end, and who
//! is told that a configuration has changed.

mod boot;
mod register;
mod services;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::ubus::{Reply, Status, call, serve};
use super::{config, shell};
use services::Services;

pub use boot::release;
pub use register::register;

/// How long after an event its scripts are run.
const DELAY: Duration = Duration::from_millis(100);

/// Where the sums of configurations are, as they were when they were last reloaded.
const SUMS: &str = "/tmp/run/config.md5";

/// Runs until it is killed.
pub fn run() -> ExitCode {
    boot::mount_all();
    let services = Arc::new(Services::default());
    let shared = Arc::clone(&services);
    serve(
        "procd",
        move |object, method, arguments| answer(&shared, object, method, arguments),
        || vec!["service".to_owned(), "system".to_owned()],
    );
    let shared = Arc::clone(&services);
    std::thread::spawn(move || boot::run_scripts(&shared));
    services.reap()
}

fn answer(services: &Arc<Services>, object: &str, method: &str, arguments: &Value) -> Reply {
    let name = arguments["name"].as_str();
    match (object, method) {
        ("system", "board") => Ok(json!({
            "hostname": "OpenWrt", "release": {"distribution": "OpenWrt", "version": boot::release()},
        })),
        ("service", "list") => Ok(services.list(name)),
        ("service", "set" | "add") => services.set(arguments).map(|()| Value::Null),
        ("service", "delete") => {
            services.delete(name.ok_or(Status::InvalidArgument)?)?;
            Ok(Value::Null)
        }
        ("service", "signal") => {
            services.signal(
                name.ok_or(Status::InvalidArgument)?,
                arguments["signal"].as_i64(),
            )?;
            Ok(Value::Null)
        }
        ("service", "event") => {
            let kind = arguments["type"].as_str().ok_or(Status::InvalidArgument)?;
            let package = arguments["data"]["package"].as_str().unwrap_or_default();
            if kind == "config.change" {
                changed(services, package);
            }
            Ok(Value::Null)
        }
        _ => Err(Status::MethodNotFound),
    }
}

/// A configuration was committed: those that asked for it reload, a little later.
fn changed(services: &Arc<Services>, package: &str) {
    let script = match package {
        "network" => Some("network"),
        "firewall" => Some("firewall"),
        "dhcp" => Some("dnsmasq"),
        _ => None,
    };
    let mut commands: Vec<String> = script
        .map(|script| format!("/etc/init.d/{script} reload"))
        .into_iter()
        .collect();
    commands.extend(services.triggered_by(package));
    std::thread::spawn(move || {
        std::thread::sleep(DELAY);
        for command in commands {
            shell::start(&command);
        }
    });
}

/// `reload_config`: an event for each package whose file is not what it was.
pub fn reload_config() -> ExitCode {
    let before = std::fs::read_to_string(SUMS).unwrap_or_default();
    let mut now = String::new();
    let files = std::fs::read_dir("/etc/config").into_iter().flatten();
    let mut names: Vec<String> = files
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    for name in names {
        // What libuci does not read is like a package with nothing in it.
        let text = config::read(&name).map_or(String::new(), |package| package.text);
        let line = format!("{name} {}\n", sum(&text));
        if !before.contains(&line) && Path::new(SUMS).exists() {
            let event = json!({"type": "config.change", "data": {"package": name}});
            let _ = call("service", "event", &event);
        }
        now.push_str(&line);
    }
    match std::fs::write(SUMS, now) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Different for different texts (FNV-1a).
fn sum(text: &str) -> String {
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{sum:016x}")
}
