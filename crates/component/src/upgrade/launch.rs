//! Which program runs: what is found out, and done, at every start.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::alarm;
use rhyzome_model::Digest;
use rhyzome_model::upgrade::Machine;

use super::candidate::{self, Unfit};
use super::folder::{Folder, FolderError};
use super::record::{Base, Choice, Moment, Record, Trial, Which};
use crate::component::{StartError, lock};
use crate::jobs::chain;
use crate::step::UpgradeStep;

/// How much later than its time is over the alarm ends a program that does not see to that itself.
const ALARM_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("the component's state cannot be used")]
    State(#[from] StartError),
    #[error("this program's own file cannot be read")]
    Own(#[source] io::Error),
    #[error("this program's own file makes no sense")]
    Unfit(#[from] Unfit),
    #[error("the time since this machine's start is not known: {path}")]
    Moment {
        path: &'static str,
        source: io::Error,
    },
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{path} is a program that was sent as an upgrade, which the installed one starts")]
    Unasked { path: PathBuf },
    #[error("the installed program {path} cannot be started")]
    Start { path: PathBuf, source: io::Error },
    /// In a test.
    #[error("{0}")]
    Injected(#[from] rhyzome_fault::Injected),
}

/// The program that runs, and what it knows of itself.
#[derive(Clone, Debug)]
pub struct Launched {
    pub(super) folder: Folder,
    pub(super) record: Record,
    /// What it is called, as in `rhyzome-linux`.
    pub(super) name: &'static str,
    pub(super) machine: Machine,
    /// Which one it is.
    pub(super) running: Which,
    /// Whether it has to show that it gets a session.
    pub(super) trial: Option<Trial>,
}

/// Finds out which program is to run with this state, and becomes it: returns where that is the one that
/// runs already. Nothing else may run with this state meanwhile.
///
/// # Errors
/// [`LaunchError`].
pub fn launch(state_dir: &Path, name: &'static str) -> Result<Launched, LaunchError> {
    let _lock = lock(state_dir)?;
    let executable = std::env::current_exe().map_err(LaunchError::Own)?;
    let start = Start {
        folder: Folder::of(state_dir),
        name,
        machine: candidate::machine(&executable)?,
    };
    match start.folder.recognise(&executable) {
        Some(digest) => start.of_sent(digest, executable),
        None => start.of_installed(executable),
    }
}

/// Becomes the current program, where that is another one, for anything but running: what it has made, it
/// knows best how to remove.
///
/// # Errors
/// [`LaunchError::Own`], [`LaunchError::Unfit`].
pub fn go_over(state_dir: &Path, name: &'static str) -> Result<(), LaunchError> {
    let executable = std::env::current_exe().map_err(LaunchError::Own)?;
    let folder = Folder::of(state_dir);
    let Ok(Some(record)) = folder.load() else {
        return Ok(());
    };
    let Which::Sent(digest) = record.current else {
        return Ok(());
    };
    if folder.recognise(&executable).is_some() {
        return Ok(());
    }
    let own = candidate::digest(&executable).map_err(LaunchError::Own)?;
    let machine = candidate::machine(&executable)?;
    let path = folder.program(digest);
    if own == record.base.digest && candidate::verify(&path, digest, machine, name).is_ok() {
        let Err(error) = become_program(&path);
        tracing::warn!(path = %path.display(), %error, "the current program cannot be started");
    }
    Ok(())
}

struct Start {
    folder: Folder,
    name: &'static str,
    machine: Machine,
}

impl Start {
    /// A program that was sent: it has been started by the installed one, or somebody has tried it.
    fn of_sent(self, digest: Digest, executable: PathBuf) -> Result<Launched, LaunchError> {
        let Some(record) = self.folder.load()? else {
            return Err(LaunchError::Unasked { path: executable });
        };
        let running = Which::Sent(digest);
        let trial = record
            .trial
            .clone()
            .filter(|trial| trial.program == running);
        if trial.is_none() {
            alarm::cancel();
        }
        if trial.is_none() && record.current != running {
            return Err(start_installed(&record.base.path));
        }
        Ok(self.launched(record, running, trial))
    }

    fn of_installed(self, executable: PathBuf) -> Result<Launched, LaunchError> {
        let digest = candidate::digest(&executable).map_err(LaunchError::Own)?;
        let base = Base {
            path: executable,
            digest,
        };
        let Some(before) = self.folder.load()? else {
            return Ok(self.launched(Record::new(base), Which::Installed, None));
        };
        let mut record = before.clone();
        let usable = |digest| {
            let path = self.folder.program(digest);
            candidate::verify(&path, digest, self.machine, self.name)
                .map_err(|unfit| unfit.to_string())
        };
        let choice = record.choose(base, moment()?, usable);
        if record != before {
            rhyzome_fault::reach(UpgradeStep::Count)?;
            self.folder.save(&record)?;
        }
        self.sweep(&record);
        match choice {
            Choice::Trial(trial) => self.try_out(record, trial),
            Choice::Current(which) => {
                alarm::cancel();
                if let Which::Sent(digest) = which {
                    let path = self.folder.program(digest);
                    let Err(error) = become_program(&path);
                    tracing::error!(path = %path.display(), %error, "the current program cannot be started");
                }
                Ok(self.launched(record, Which::Installed, None))
            }
        }
    }

    /// Becomes the program on trial, with an alarm set that outlives that.
    fn try_out(self, mut record: Record, trial: Trial) -> Result<Launched, LaunchError> {
        rhyzome_fault::reach(UpgradeStep::Start)?;
        let within = trial.left(&moment()?) + ALARM_AFTER;
        alarm::set(u32::try_from(within.as_secs()).unwrap_or(u32::MAX));
        let Which::Sent(digest) = trial.program else {
            return Ok(self.launched(record, Which::Installed, Some(trial)));
        };
        let path = self.folder.program(digest);
        tracing::info!(path = %path.display(), start = trial.starts, "a program is tried");
        let Err(error) = become_program(&path);
        alarm::cancel();
        record.fail(&Unfit::Run(error).to_string());
        self.folder.save(&record)?;
        Ok(self.launched(record, Which::Installed, None))
    }

    /// What is left over is no reason not to start.
    fn sweep(&self, record: &Record) {
        if let Err(error) = self.folder.sweep(record) {
            tracing::warn!(error = chain(&error), "a program is left over");
        }
    }

    fn launched(self, record: Record, running: Which, trial: Option<Trial>) -> Launched {
        Launched {
            folder: self.folder,
            record,
            name: self.name,
            machine: self.machine,
            running,
            trial,
        }
    }
}

impl Launched {
    /// What the program is called, as in `rhyzome-linux`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where the installed program is.
    pub fn installed(&self) -> &Path {
        &self.record.base.path
    }
}

/// Gives this program up, if it is on trial, because it cannot go on: becomes the installed one, which decides.
/// Returns where this one is not on trial, or what keeps the installed one from being started.
///
/// # Errors
/// [`LaunchError`].
pub fn give_up(why: &str) -> Result<(), LaunchError> {
    let executable = std::env::current_exe().map_err(LaunchError::Own)?;
    let Some((folder, digest)) = Folder::around(&executable) else {
        return Ok(());
    };
    let Some(mut record) = folder.load()? else {
        return Ok(());
    };
    if record.trial.as_ref().map(|trial| trial.program) != Some(Which::Sent(digest)) {
        return Ok(());
    }
    record.fail(&format!("it ended by itself: {why}"));
    folder.save(&record)?;
    Err(start_installed(&record.base.path))
}

/// Becomes the installed program; returns only where that fails.
pub fn start_installed(path: &Path) -> LaunchError {
    let Err(source) = become_program(path);
    LaunchError::Start {
        path: path.to_owned(),
        source,
    }
}

/// Becomes another program, with the same arguments: whoever supervises this process goes on doing so.
fn become_program(path: &Path) -> Result<Infallible, io::Error> {
    Err(Command::new(path).args(std::env::args_os().skip(1)).exec())
}

/// Now.
pub(super) fn moment() -> Result<Moment, LaunchError> {
    let read =
        |path| fs::read_to_string(path).map_err(|source| LaunchError::Moment { path, source });
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let uptime = read("/proc/uptime")?;
    let seconds = uptime.split(['.', ' ']).next();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    Ok(Moment {
        boot: boot.trim().to_owned(),
        seconds: seconds.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_of_this_start_of_the_machine() {
        let moment = moment().unwrap();
        assert!(moment.seconds > 0);
        assert_eq!(moment.boot.len(), 36, "{moment:?}");
    }

    #[test]
    fn where_nothing_was_ever_sent_the_installed_program_runs_and_nothing_is_written() {
        let state_dir = tempfile::tempdir().unwrap();
        let launched = launch(state_dir.path(), "rhyzome-test").unwrap();
        assert_eq!(launched.running, Which::Installed);
        assert!(launched.trial.is_none());
        assert!(!Folder::of(state_dir.path()).path().exists());
    }
}
