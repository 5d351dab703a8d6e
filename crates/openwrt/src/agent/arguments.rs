//! The command line: little, as procd gives none.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;

pub(super) const HELP: &str = "\
The component of Rhyzome on an OpenWrt router: makes networks, leases and WireGuard endpoints through UCI, as a core
tells it. Stopping it stops none of them. What it is to do is in /etc/config/rhyzome.

Usage: rhyzome-openwrt [--root DIR] [--check-config | --version | --help]

  --check-config  says all that is wrong with the configuration, and ends
  --root DIR      takes the router's files from below another folder than /";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Run,
    CheckConfig,
    Version,
    Help,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub root: PathBuf,
    pub task: Task,
}

impl Arguments {
    /// # Errors
    /// Where one is not known.
    pub fn read(given: impl IntoIterator<Item = OsString>) -> anyhow::Result<Self> {
        let (mut root, mut task) = (PathBuf::from("/"), Task::Run);
        let mut given = given.into_iter();
        while let Some(argument) = given.next() {
            task = match argument.to_str() {
                Some("--root") => {
                    root = given.next().context("--root needs a folder")?.into();
                    continue;
                }
                Some("--check-config") => Task::CheckConfig,
                Some("--version" | "-V") => Task::Version,
                Some("--help" | "-h") => Task::Help,
                _ => anyhow::bail!("{} is not known; --help says what is", argument.display()),
            };
        }
        Ok(Self { root, task })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Result<(&str, Task), &str>) {
        let given = line.split_whitespace().map(OsString::from);
        let got = Arguments::read(given).map_err(|error| error.to_string());
        let expect = expect.map(|(root, task)| Arguments {
            root: root.into(),
            task,
        });
        assert_eq!(got, expect.map_err(str::to_owned));
    }

    #[test]
    fn without_arguments_it_runs() {
        check("", Ok(("/", Task::Run)));
        check(
            "--root /tmp/x --check-config",
            Ok(("/tmp/x", Task::CheckConfig)),
        );
        check("--version", Ok(("/", Task::Version)));
        check("--root", Err("--root needs a folder"));
        check("run", Err("run is not known; --help says what is"));
    }
}
