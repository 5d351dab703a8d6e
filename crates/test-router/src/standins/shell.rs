//! Running other programs.

use std::process::{Command, Output, Stdio};

use super::PATH;

/// Runs a program with words that a space parts.
pub fn words(line: &str) -> Output {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    output(&mut command)
}

/// Whether it ended well.
pub fn succeeds(line: &str) -> bool {
    words(line).status.success()
}

/// Runs it without input.
pub fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Starts it and does not wait for it.
pub fn start(line: &str) {
    let mut words = line.split_whitespace();
    let started = Command::new(words.next().unwrap_or_default())
        .args(words)
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut child) = started {
        std::thread::spawn(move || child.wait());
    }
}
