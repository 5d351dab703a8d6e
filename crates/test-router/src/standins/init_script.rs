//! The scripts of `/etc/init.d`. Nearly all of them end with 0, whatever came of it.

mod dnsmasq;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::ubus::call;
use super::{fw4, has};
use rhyzome_test_router::Fault;

/// Runs the script of a name, which may have its place in the order of a start before it.
pub fn run(name: &str, words: &[String]) -> ExitCode {
    let name = name.trim_start_matches(|c: char| c == 'S' || c.is_ascii_digit());
    let action = words.first().map_or("", String::as_str);
    match (name, action) {
        (_, "enabled") => done(link(name).is_some()),
        (_, "enable") => done(enable(name)),
        (_, "disable") => done(link(name).is_some_and(|path| fs::remove_file(path).is_ok())),
        (_, "running") => done(is_running(name)),
        ("log", "boot" | "start") => start("log", "/sbin/logd", &[]),
        ("rpcd", "boot" | "start") => start("rpcd", "/sbin/rpcd", &[]),
        ("rpcd", "reload") => send("signal", &json!({"name": "rpcd", "signal": libc::SIGHUP})),
        ("log" | "rpcd", "restart") => {
            stop(name);
            run(name, &["start".to_owned()])
        }
        ("log" | "rpcd" | "dnsmasq", "stop") => stop(name),
        ("dnsmasq", "boot" | "start" | "reload" | "restart") => {
            if has(Fault::DnsmasqIgnored) {
                return ExitCode::SUCCESS;
            }
            if action == "restart" {
                stop(name);
            }
            dnsmasq::start()
        }
        ("firewall", "boot" | "start" | "reload" | "restart" | "stop") => {
            let action = if action == "boot" { "start" } else { action };
            fw4::run(&["-q".to_owned(), action.to_owned()])
        }
        ("network", "boot" | "start") => {
            start("network", "/sbin/netifd", &[]);
            let words = ["-t", "30", "wait_for", "network.interface"].map(str::to_owned);
            let there = super::ubus::run(&words);
            // What hotplug does for each interface that comes up, once for all of them.
            fw4::run(&["-q", "reload"].map(str::to_owned));
            dnsmasq::start();
            there
        }
        ("network", "reload" | "restart" | "stop") => {
            let method = if action == "stop" { "down" } else { action };
            let _ = call("network", method, &json!({}));
            ExitCode::SUCCESS
        }
        ("boot" | "done", _) => ExitCode::SUCCESS,
        _ => {
            eprintln!("{name}: {action:?} is not imitated");
            ExitCode::FAILURE
        }
    }
}

fn done(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn start(name: &str, program: &str, files: &[&str]) -> ExitCode {
    let instance = json!({"command": [program], "respawn": [], "file": files});
    send(
        "set",
        &json!({"name": name, "instances": {"instance1": instance}}),
    )
}

fn stop(name: &str) -> ExitCode {
    send("delete", &json!({"name": name}))
}

fn send(method: &str, arguments: &Value) -> ExitCode {
    let _ = call("service", method, arguments);
    ExitCode::SUCCESS
}

fn is_running(name: &str) -> bool {
    let list = call("service", "list", &json!({"name": name})).unwrap_or_default();
    let instances = list[name]["instances"].as_object().into_iter().flatten();
    let mut running = instances.map(|(_, instance)| instance["running"] == json!(true));
    running.any(|running| running)
}

/// The script's place in the order of a start.
fn link(name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir("/etc/rc.d").ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.get(..3).is_some_and(|start| start.starts_with('S')) && file.get(3..) == Some(name)
    })
}

fn enable(name: &str) -> bool {
    let number = match name {
        "network" => 20,
        "dnsmasq" | "firewall" => 19,
        _ => 12,
    };
    let path = format!("/etc/rc.d/S{number}{name}");
    link(name).is_some() || std::os::unix::fs::symlink(format!("../init.d/{name}"), path).is_ok()
}
