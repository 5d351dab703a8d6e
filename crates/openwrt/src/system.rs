//! Where a router's files and programs are: a folder, and what is put before a command.
//!
//! On a router that is `/` and nothing. In a test it is the root of a router in namespaces of its own, and what enters
//! them.

mod output;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

pub use output::Failed;
pub(crate) use output::Output;

/// Longer than any of the router's programs takes, also on a slow one: some wait for ever when ubus does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A router's root, and how its programs are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    root: PathBuf,
    launcher: Vec<OsString>,
    network: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("the program {0} cannot be started: is its package installed?")]
    Start(String, #[source] std::io::Error),
    #[error("cannot talk to the program {0}")]
    Pipe(String, #[source] std::io::Error),
    #[error("the program {program} did not end within {} s", PATIENCE.as_secs())]
    Hangs { program: String },
}

impl System {
    /// The system that this process runs on.
    pub fn own() -> Self {
        Self::new("/", Vec::new())
    }

    /// A system whose files are below a folder. The launcher is a program and its first arguments, behind which the
    /// command that is to run there is put; empty where there is none.
    pub fn new(root: impl Into<PathBuf>, launcher: Vec<OsString>) -> Self {
        Self {
            root: root.into(),
            launcher,
            network: None,
        }
    }

    /// The network namespace from which its servers are asked, by its file.
    #[must_use]
    pub fn with_network(self, namespace: impl Into<PathBuf>) -> Self {
        Self {
            network: Some(namespace.into()),
            ..self
        }
    }

    /// Where a file is that the router knows by an absolute path.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The file of a package of the configuration.
    pub(crate) fn config(&self, package: &str) -> PathBuf {
        self.path("/etc/config").join(package)
    }

    pub(crate) fn network(&self) -> Option<&Path> {
        self.network.as_deref()
    }

    /// Runs a program of the router's to its end, whatever it then says.
    pub(crate) async fn run(
        &self,
        program: &str,
        arguments: &[&str],
    ) -> Result<Output, CommandError> {
        self.run_with(program, arguments, b"").await
    }

    /// The same, with what it reads.
    pub(crate) async fn run_with(
        &self,
        program: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Output, CommandError> {
        let name = || program.to_owned();
        let mut command = self.command(program);
        // What it says is read.
        command.args(arguments).env("LC_ALL", "C");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| CommandError::Start(name(), e))?;
        let mut stdin = child
            .stdin
            .take()
            .expect("its standard input was asked to be a pipe");
        let talk = async {
            // One that ends without reading is seen by how it ends.
            let _ = stdin.write_all(input).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(PATIENCE, talk)
            .await
            .map_err(|_| CommandError::Hangs { program: name() })?
            .map_err(|e| CommandError::Pipe(name(), e))?;
        Ok(Output::of(program, arguments, output))
    }

    fn command(&self, program: &str) -> Command {
        let Some((launcher, first)) = self.launcher.split_first() else {
            return Command::new(program);
        };
        let mut command = Command::new(launcher);
        command.args(first).arg(program);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_below_the_root() {
        let system = System::new("/tmp/router", Vec::new());
        assert_eq!(
            system.config("network"),
            Path::new("/tmp/router/etc/config/network")
        );
        assert_eq!(System::own().config("dhcp"), Path::new("/etc/config/dhcp"));
    }

    #[tokio::test]
    async fn a_program_is_run_by_its_launcher_and_given_what_it_reads() {
        let system = System::new("/", vec!["env".into(), "NAME=value".into()]);
        let output = system
            .run_with("sh", &["-c", "cat; echo \"$NAME\"; exit 3"], b"read ")
            .await
            .unwrap();
        assert_eq!((output.code, &*output.said), (Some(3), "read value\n"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = System::own().run("no-such-program", &[]).await.unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
