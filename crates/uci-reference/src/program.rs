//! The real `uci`.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Where the program is. It needs nothing else.
pub fn program() -> &'static Path {
    Path::new(env!("UCI_PROGRAM"))
}

/// The program on a folder of configurations, with a folder of its own for what is not committed.
pub fn command(config: &Path, delta: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("-c").arg(config).arg("-t").arg(delta);
    command
}

/// Runs `uci batch` on a folder of configurations. It ends with 0 also where lines failed.
///
/// # Errors
/// It cannot be run.
pub fn run_batch(config: &Path, delta: &Path, lines: &str) -> io::Result<Output> {
    let mut child = command(config, delta)
        .arg("batch")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    child.wait_with_output()
}
