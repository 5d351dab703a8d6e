//! Which stand-in is meant.

mod cage;
mod config;
mod enter;
mod fw4;
mod hotplug;
mod init_script;
mod log;
mod netifd;
mod procd;
mod rpcd;
mod shell;
mod ubus;

use std::path::Path;
use std::process::ExitCode;

use rhyzome_test_router::{FAULTS, Fault};

/// Where programs are.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs what the first word, the name of the program, says.
pub fn run(mut words: Vec<String>) -> ExitCode {
    if words.is_empty() {
        return ExitCode::FAILURE;
    }
    let path = words.remove(0);
    let name = path.rsplit('/').next().unwrap_or_default();
    if path.contains("/init.d/") || path.contains("/rc.d/") {
        return init_script::run(name, &words);
    }
    match name {
        "init" | "procd" => procd::run(),
        "netifd" => netifd::run(),
        "rpcd" => rpcd::run(),
        "logd" => log::run_daemon(),
        "logread" => log::read(),
        "logger" => log::write(&words),
        "ubus" => ubus::run(&words),
        "fw4" => fw4::run(&words),
        "ifup" => netifd::ifup(&words),
        "ifdown" => netifd::ifdown(&words),
        "ifstatus" => netifd::ifstatus(&words),
        "dhcp-script" => netifd::write_lease(),
        "procd-service" => procd::register(&words),
        "reload_config" => procd::reload_config(),
        _ => match words.split_first() {
            Some((first, folder)) if first == "cage" => cage::run(folder),
            Some((first, command)) if first == "enter" => enter::run(command),
            _ => {
                eprintln!("{name}: no stand-in has this name");
                ExitCode::from(127)
            }
        },
    }
}

/// Whether a fault is asked for.
fn has(fault: Fault) -> bool {
    Path::new(FAULTS).join(fault.file()).exists()
}
