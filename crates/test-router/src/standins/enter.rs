//! `enter PID PROGRAM…`: runs a program in all namespaces of a router, whose `init` the process is.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use super::PATH;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

pub fn run(words: &[String]) -> ExitCode {
    let [init, program, words @ ..] = words else {
        eprintln!("enter PID PROGRAM…");
        return ExitCode::FAILURE;
    };
    // The last one changes what /proc is.
    let namespaces = ["pid", "net", "uts", "ipc", "mnt"].map(|kind| {
        let path = format!("/proc/{init}/ns/{kind}");
        File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    });
    for namespace in namespaces {
        setns(namespace, CloneFlags::empty()).expect("tests run as root");
    }
    let mut command = Command::new(program);
    command.args(words).env("PATH", PATH);
    // SAFETY: between fork and exec, one system call is made.
    unsafe {
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
    match command.status() {
        Ok(status) => {
            let killed = status.signal().map(|signal| 128 + signal);
            let code = status.code().or(killed).unwrap_or(1);
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::from(127)
        }
    }
}
