//! A program that says that it is a component's, and is none. What it does instead stands behind its own bytes,
//! as [`rhyzome_end_to_end::programs::stand_in`] writes it there.

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let own = std::env::current_exe().and_then(std::fs::read);
    let own = own.expect("a program can read itself");
    let is = |what: &str| own.ends_with(what.as_bytes());
    let asked = std::env::args().nth(1).as_deref() == Some("--version");
    if asked && !is("mute") {
        println!("rhyzome-linux 99.0.0");
        return ExitCode::SUCCESS;
    }
    if is("exit") {
        eprintln!("the stand-in ends");
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
