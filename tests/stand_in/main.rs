//! A program that says that it is a component's, and is none. What it does instead and whose it says it is stand behind
//! its own bytes, as `hang-rhyzome-linux`: see [`rhyzome_end_to_end::programs::stand_in`].

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let own = std::env::current_exe().and_then(std::fs::read);
    let own = own.expect("a program can read itself");
    let programs = ["rhyzome-linux", "rhyzome-libvirt", "rhyzome-openwrt"];
    let ending = |does: &str| {
        let is = |program: &&&str| own.ends_with(format!("{does}-{program}").as_bytes());
        programs.iter().find(is)
    };
    let program = ["hang", "exit"].into_iter().find_map(ending);
    if std::env::args().nth(1).as_deref() == Some("--version")
        && let Some(program) = program
    {
        println!("{program} 99.0.0");
        return ExitCode::SUCCESS;
    }
    if ending("exit").is_some() {
        eprintln!("the stand-in ends");
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
