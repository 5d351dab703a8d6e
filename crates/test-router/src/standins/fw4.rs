//! `fw4`: the package `firewall` as a table of nftables, in the shape that the real one gives it.
//!
//! What it does not understand it leaves out, with a line `[!] Section …`, and ends well. A package that libuci does not
//! read is like one with nothing in it: everything is dropped.

mod addresses;
mod ruleset;
mod section;
mod text;
mod zone;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::fcntl::{Flock, FlockArg};

use super::has;
use rhyzome_test_router::Fault;
use ruleset::Ruleset;

const LOCK: &str = "/var/run/fw4.lock";
const STATE: &str = "/var/run/fw4.state";

pub fn run(words: &[String]) -> ExitCode {
    let quiet = words.iter().any(|word| word == "-q");
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect();
    match words.as_slice() {
        ["start"] if Path::new(STATE).exists() => {
            die(quiet, "The fw4 firewall appears to be already loaded.")
        }
        ["reload"] if !Path::new(STATE).exists() => {
            die(quiet, "The fw4 firewall does not appear to be loaded.")
        }
        ["start" | "reload" | "restart"] => load(quiet),
        ["stop" | "flush"] => stop(quiet),
        ["check"] => check(quiet),
        ["print"] => {
            print!("{}", Ruleset::read(quiet).text());
            ExitCode::SUCCESS
        }
        ["network", network] => zone_of(|zone| zone.has_network(network)),
        ["device", device] => zone_of(|zone| zone.devices.iter().any(|one| one == device)),
        ["zone", name] => {
            let ruleset = Ruleset::read(true);
            let zone = ruleset.zones.iter().find(|zone| zone.name == *name);
            let Some(zone) = zone else {
                return ExitCode::FAILURE;
            };
            for device in &zone.devices {
                println!("{device}");
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("Usage: fw4 [-q] start|stop|flush|restart|reload|check|print");
            ExitCode::SUCCESS
        }
    }
}

fn die(quiet: bool, text: &str) -> ExitCode {
    if !quiet {
        eprintln!("{text}");
    }
    ExitCode::FAILURE
}

/// One at a time, however many there are.
fn lock() -> Option<Flock<File>> {
    Flock::lock(File::create(LOCK).ok()?, FlockArg::LockExclusive).ok()
}

/// Ends well also where the kernel refuses it.
fn load(quiet: bool) -> ExitCode {
    let _lock = lock();
    let ruleset = Ruleset::read(quiet);
    if !has(Fault::FirewallIgnored) {
        nft(&["-f", "-"], &ruleset.text(), quiet);
    }
    let _ = fs::write(STATE, "");
    ExitCode::SUCCESS
}

fn stop(quiet: bool) -> ExitCode {
    let _lock = lock();
    let _ = fs::remove_file(STATE);
    match nft(&["delete", "table", "inet", "fw4"], "", true) {
        true => ExitCode::SUCCESS,
        false => die(
            quiet,
            "The fw4 firewall does not appear to be loaded, try fw4 flush to delete all rules.",
        ),
    }
}

fn check(quiet: bool) -> ExitCode {
    let text = Ruleset::read(quiet).text();
    if !nft(&["-c", "-f", "-"], &text, quiet) {
        return ExitCode::FAILURE;
    }
    if !quiet {
        println!("Ruleset passes nftables check.");
    }
    ExitCode::SUCCESS
}

fn zone_of(is_it: impl Fn(&zone::Zone) -> bool) -> ExitCode {
    match Ruleset::read(true).zones.iter().find(|zone| is_it(zone)) {
        Some(zone) => {
            println!("{}", zone.name);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

/// Whether nft took a text.
fn nft(words: &[&str], text: &str, quiet: bool) -> bool {
    let errors = if quiet {
        Stdio::null()
    } else {
        Stdio::inherit()
    };
    let child = Command::new("nft")
        .args(words)
        .stdin(Stdio::piped())
        .stderr(errors)
        .spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().is_ok_and(|status| status.success())
}
