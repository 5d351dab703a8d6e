//! The systemd unit of a component.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where units of the operator's go.
const FOLDER: &str = "/etc/systemd/system";

#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    #[error("systemd does not run this machine; start `{program} run` with what does")]
    NoSystemd { program: String },
    #[error("{path} could not be written")]
    Write { path: PathBuf, source: io::Error },
    #[error("systemctl {args} could not be run")]
    Run { args: String, source: io::Error },
    #[error("systemctl {args} failed: {output}")]
    Failed { args: String, output: String },
}

/// Writes the unit, and starts it now and at each boot.
///
/// # Errors
/// [`UnitError::NoSystemd`] where there is none, before anything is done.
pub fn install(program: &str, executable: &Path, config: Option<&Path>) -> Result<(), UnitError> {
    // sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(UnitError::NoSystemd {
            program: program.to_owned(),
        });
    }
    let path = Path::new(FOLDER).join(format!("{program}.service"));
    std::fs::write(&path, text(program, executable, config))
        .map_err(|source| UnitError::Write { path, source })?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", program])
}

fn systemctl(args: &[&str]) -> Result<(), UnitError> {
    let joined = args.join(" ");
    match Command::new("systemctl").args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(UnitError::Failed {
            args: joined,
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(source) => Err(UnitError::Run {
            args: joined,
            source,
        }),
    }
}

/// `KillMode=process`: what a component has started (an endpoint, a DHCP server) outlives it.
fn text(program: &str, executable: &Path, config: Option<&Path>) -> String {
    let config = config
        .map(|path| format!(" --config {}", quoted(path)))
        .unwrap_or_default();
    format!(
        "[Unit]\n\
         Description=Rhyzome component ({program})\n\
         Wants=network-online.target\n\
         After=network-online.target libvirtd.service virtqemud.service\n\
         \n\
         [Service]\n\
         ExecStart={}{config} run\n\
         Restart=always\n\
         RestartSec=2\n\
         KillMode=process\n\
         TimeoutStopSec=60\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        quoted(executable)
    )
}

/// As systemd.service(5) wants arguments: in quotes, with `\`, `"`, `%` and `$` escaped.
fn quoted(path: &Path) -> String {
    let mut text = String::from("\"");
    for character in path.to_string_lossy().chars() {
        match character {
            '\\' | '"' => text.extend(['\\', character]),
            '%' | '$' => text.extend([character, character]),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_starts_the_program_with_its_configuration_and_leaves_its_children_alone() {
        let executable = Path::new("/opt/my \"100%\" tools/rhyzome-linux");
        let text = text(
            "rhyzome-linux",
            executable,
            Some(Path::new("/etc/rhyzome/linux.toml")),
        );
        let start = text
            .lines()
            .find(|line| line.starts_with("ExecStart="))
            .expect("a start");
        assert_eq!(
            start,
            "ExecStart=\"/opt/my \\\"100%%\\\" tools/rhyzome-linux\" --config \
             \"/etc/rhyzome/linux.toml\" run"
        );
        assert!(text.contains("\nKillMode=process\n"));
    }
}
