//! `rhyzome up --detach`: the same in a process of its own, which outlives this one and its terminal.
//!
//! What that process says goes to its log, and from there to whoever waits here.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

use super::choices::Choices;
use super::layout::Layout;
use super::lock::{self, Phase};
use super::process::Process;
use super::program::Programs;
use super::supervise::appending;
use super::up::Up;
use super::{Error, join, report};
use crate::failure::Failure;
use crate::output::Mode;
use crate::session::Cx;

const LOOK: Duration = Duration::from_millis(50);

/// Starts the process and waits until the site is up.
pub async fn run(cx: &Cx, up: &Up, layout: &Layout, programs: &Programs) -> Result<(), Failure> {
    // Said here rather than in a log.
    join::check(programs, false)?;
    layout.check_path()?;
    layout.prepare()?;
    if let Some(holder) = lock::holder(layout)? {
        let pid = holder.process.pid;
        return Err(match holder.phase {
            Phase::Stopping | Phase::Down => Error::Stopping { pid },
            Phase::Starting | Phase::Up => Error::Running {
                pid,
                since: holder.since.to_string(),
                folder: layout.root().to_owned(),
            },
        }
        .into());
    }
    let path = layout.log("up");
    let log = appending(&path).map_err(Error::file(&path))?;
    let mut said = Said::after(&path).map_err(Error::file(&path))?;
    let mut child = spawn(arguments(cx, up, layout), programs, log)?;
    let process = Process::of(child.id().cast_signed()).map_err(Error::file("/proc"))?;
    loop {
        let ended = child.try_wait().map_err(Error::file(&path))?.is_some();
        show(cx, &said.next());
        if ended {
            return Err(Error::Detached { log: path }.into());
        }
        let holder = lock::holder(layout)?;
        if holder.is_some_and(|holder| holder.process == process && holder.phase == Phase::Up) {
            show(cx, &said.next());
            let choices = Choices::load(layout)?;
            return choices.map_or(Ok(()), |choices| {
                report::print(&cx.output, layout, &choices)
            });
        }
        sleep(LOOK).await;
    }
}

/// What the process says is for people.
fn show(cx: &Cx, text: &str) {
    if cx.output.mode == Mode::People {
        eprint!("{text}");
    }
}

fn spawn(arguments: Vec<OsString>, programs: &Programs, log: File) -> Result<Child, Error> {
    let failed = |source| Error::Spawn {
        program: programs.own().display().to_string(),
        source,
    };
    let errors = log.try_clone().map_err(failed)?;
    let mut command = Command::new(programs.own());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    // SAFETY: between fork and exec, one system call is made, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(())
        });
    }
    command.spawn().map_err(failed)
}

/// The same command line, without `--detach`. It names the folder, so that the process is found by it.
fn arguments(cx: &Cx, up: &Up, layout: &Layout) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["up".into()];
    if up.state.is_none() || up.usual {
        arguments.push("--usual".into());
    }
    let mut option = |name: &str, value: Option<OsString>| {
        if let Some(value) = value {
            arguments.extend([name.into(), value]);
        }
    };
    option("--state", Some(layout.root().into()));
    option("--simulate", up.simulate.map(|n| n.to_string().into()));
    option("--listen", up.listen.map(|a| a.to_string().into()));
    option(
        "--listen-components",
        up.listen_components.map(|a| a.to_string().into()),
    );
    option(
        "--public-address",
        up.public_address.clone().map(Into::into),
    );
    option("--accelerator", up.accelerator.clone().map(Into::into));
    option("--libvirt", up.libvirt.clone().map(Into::into));
    option("--bin-dir", up.bin_dir.clone().map(PathBuf::into_os_string));
    option("--context", cx.global.context.clone().map(Into::into));
    arguments
}

/// What is appended to a log.
struct Said {
    file: File,
}

impl Said {
    fn after(path: &std::path::Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file })
    }

    fn next(&mut self) -> String {
        let mut bytes = Vec::new();
        // What cannot be read is in the log all the same.
        let _ = self.file.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
