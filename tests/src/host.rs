//! What is on this machine: processes, and what programs say of links and rules.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// A process, as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    /// When it started, in ticks since the machine did: a pid alone may be used again.
    pub started: u64,
    pub arguments: Vec<String>,
    /// The number of its network namespace; none where it is not to be seen.
    pub namespace: Option<u64>,
}

impl Process {
    /// The last part of its program's path.
    pub fn program(&self) -> &str {
        let path = self.arguments.first().map_or("", String::as_str);
        path.rsplit('/').next().unwrap_or(path)
    }

    /// None where there is none, or one that is ending: its arguments go first, and with them which it was.
    fn read(pid: i32) -> Option<Self> {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = line
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty());
        let arguments: Vec<String> = words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything; field 22 counts from behind its last bracket (proc_pid_stat(5)).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ends = *fields.first()? == "Z" || arguments.is_empty();
        let started = fields.get(19)?.parse().ok()?;
        let namespace = std::fs::metadata(format!("/proc/{pid}/ns/net"));
        let process = Self {
            pid,
            started,
            arguments,
            namespace: namespace.ok().map(|meta| meta.ino()),
        };
        (!ends).then_some(process)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.arguments.join(" ");
        let short: String = line.chars().take(160).collect();
        write!(f, "{} {short}", self.pid)
    }
}

/// The processes of this machine that are wanted, apart from this one.
pub fn processes(mut wanted: impl FnMut(&Process) -> bool) -> Vec<Process> {
    let own = std::process::id().cast_signed();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<Process> = pids
        .filter(|pid| *pid != own)
        .filter_map(Process::read)
        .filter(|process| wanted(process))
        .collect();
    found.sort();
    found
}

/// Runs a program that has to succeed; returns what it wrote.
///
/// # Panics
/// With what it complained about.
pub fn command(program: &str, arguments: &[&str], input: Option<&str>) -> String {
    match attempt(program, arguments, input) {
        Ok(output) => output,
        Err(complaint) => panic!("{complaint}"),
    }
}

/// Runs a program; returns what it wrote, or what it complained about.
pub fn attempt(program: &str, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
    let line = format!("{program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments);
    finish(command, input).map_err(|complaint| format!("{line} {complaint}"))
}

/// Runs a command to its end; returns what it wrote, or what it complained about.
pub fn finish(mut command: Command, input: Option<&str>) -> Result<String, String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end without reading all.
    let _read = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    let output = child
        .wait_with_output()
        .map_err(|error| format!("has no end: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "ended with {}: {}",
        output.status,
        complaint.trim()
    ))
}
