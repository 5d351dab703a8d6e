//! Keeping a program running: started again when it ends, after pauses that grow.
//!
//! ```text
//!   running ──ends──► pausing (0.5 s, 1 s, … 30 s) ──► running
//!      └─stop()─► asked (SIGTERM) ─25 s─► forced (SIGKILL)
//! ```
//!
//! One task a program. A program that ran for a minute was a good one: its next pause is a short one.
//! Each is in a process group of its own, so that a terminal's interrupt reaches the supervisor alone,
//! and each is asked to end by the kernel if the supervisor is killed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::Error;
use super::process::Process;
use super::program::Service;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Who ran so long is not in a loop of failures.
const GOOD: Duration = Duration::from_secs(60);
/// How long a program may take to end by itself: a component lets running jobs end.
const GRACE: Duration = Duration::from_secs(25);
/// How much of a log is looked at when something failed.
const TAIL: u64 = 4096;

/// How a supervised program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Running {
        pid: i32,
    },
    /// It ended, and is started again in a while.
    Pausing {
        how: String,
    },
    Stopped,
}

/// A program that is kept running until it is stopped.
pub struct Supervised {
    service: Service,
    stop: watch::Sender<bool>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Supervised {
    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Spawn`] where it cannot even be started for the first time.
    pub fn start(service: Service) -> Result<Self, Error> {
        let child = spawn(&service)?;
        let (stop, stopping) = watch::channel(false);
        let (tell, state) = watch::channel(running(&child));
        let task = tokio::spawn(keep(service.clone(), child, tell, stopping));
        Ok(Self {
            service,
            stop,
            state,
            task,
        })
    }

    pub fn name(&self) -> &'static str {
        self.service.name
    }

    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Returns when it has ended without being told to; says how.
    pub async fn fell(&self) -> String {
        let mut state = self.state.clone();
        loop {
            if let State::Pausing { how } = &*state.borrow_and_update() {
                return how.clone();
            }
            if state.changed().await.is_err() {
                return "no longer supervised".to_owned();
            }
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        tail(&self.service.log)
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        // Fails only where the task has ended by itself.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn keep(
    service: Service,
    mut child: Child,
    tell: watch::Sender<State>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            ended = child.wait() => Some(describe(ended)),
            () = told(&mut stopping) => None,
        };
        let Some(how) = ended else {
            end(&mut child).await;
            break;
        };
        pause = if began.elapsed() >= GOOD {
            FIRST_PAUSE
        } else {
            pause
        };
        eprintln!(
            "{} ended ({how}); it starts again in {} s",
            service.name,
            pause.as_secs_f32()
        );
        tell.send_replace(State::Pausing { how });
        let Some(next) = again(&service, &mut pause, &mut stopping).await else {
            break;
        };
        child = next;
        eprintln!(
            "{} runs again, as process {}",
            service.name,
            child.id().unwrap_or_default()
        );
        tell.send_replace(running(&child));
    }
    tell.send_replace(State::Stopped);
}

/// Starts it again after a pause, until that succeeds; none where it is to stop.
async fn again(
    service: &Service,
    pause: &mut Duration,
    stopping: &mut watch::Receiver<bool>,
) -> Option<Child> {
    loop {
        tokio::select! {
            () = sleep(*pause) => {}
            () = told(stopping) => return None,
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        match spawn(service) {
            Ok(child) => return Some(child),
            Err(error) => eprintln!("{}: {error}", service.name),
        }
    }
}

/// Returns when it is to stop, also where nobody is left who could say so.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn end(child: &mut Child) {
    let process = child
        .id()
        .and_then(|pid| Process::of(pid.cast_signed()).ok());
    if let Some(process) = process {
        process.signal(Signal::SIGTERM);
    }
    if timeout(GRACE, child.wait()).await.is_err() {
        // It is waited for in any case, so this fails only where it has ended.
        let _ = child.kill().await;
    }
}

fn running(child: &Child) -> State {
    State::Running {
        pid: child.id().unwrap_or_default().cast_signed(),
    }
}

fn describe(ended: std::io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => status.to_string(),
        Err(error) => format!("it cannot be waited for: {error}"),
    }
}

fn spawn(service: &Service) -> Result<Child, Error> {
    let failed = |source| Error::Spawn {
        program: service.program.display().to_string(),
        source,
    };
    let log = appending(&service.log).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let supervisor = nix::unistd::getpid();
    let mut command = Command::new(&service.program);
    command
        .args(&service.arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0);
    // SAFETY: between fork and exec, only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Some(Signal::SIGTERM))?;
            // It may have been killed before the line above.
            match nix::unistd::getppid() == supervisor {
                true => Ok(()),
                false => Err(std::io::ErrorKind::BrokenPipe.into()),
            }
        });
    }
    command.spawn().map_err(failed)
}

/// A log that only its owner may read.
pub fn appending(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// The end of a log, from the beginning of a line.
pub fn tail(path: &Path) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let skipped = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(skipped))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        std::io::Result::Ok(match (skipped > 0, text.split_once('\n')) {
            (true, Some((_, whole))) => whole.to_owned(),
            _ => text,
        })
    };
    // A log that cannot be read has nothing to say.
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(folder: &Path, script: &str) -> Service {
        Service {
            name: "test",
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            log: folder.join("test.log"),
        }
    }

    async fn wait_for(supervised: &Supervised, what: impl Fn(&State) -> bool) -> State {
        let mut state = supervised.state.clone();
        let found = timeout(Duration::from_secs(20), state.wait_for(what)).await;
        found.expect("in time").expect("it is supervised").clone()
    }

    async fn until(condition: impl Fn() -> bool) {
        let met = async {
            while !condition() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), met)
            .await
            .expect("in time");
    }

    #[tokio::test]
    async fn a_program_that_is_killed_runs_again() {
        let folder = tempfile::tempdir().unwrap();
        let supervised =
            Supervised::start(service(folder.path(), "echo here; exec sleep 600")).unwrap();
        let State::Running { pid } = supervised.state() else {
            panic!("it does not run")
        };
        let log = folder.path().join("test.log");
        until(|| tail(&log) == "here\n").await;
        Process::of(pid).unwrap().signal(Signal::SIGKILL);
        let how = timeout(Duration::from_secs(20), supervised.fell())
            .await
            .unwrap();
        assert!(how.contains("SIGKILL"), "{how}");
        let again = wait_for(&supervised, |state| matches!(state, State::Running { .. })).await;
        assert_ne!(again, State::Running { pid });
        let State::Running { pid } = again else {
            unreachable!()
        };
        let process = Process::of(pid).unwrap();
        until(|| tail(&log) == "here\nhere\n").await;
        supervised.stop().await;
        assert!(!process.is_alive());
    }

    #[tokio::test]
    async fn what_is_not_there_cannot_be_started() {
        let folder = tempfile::tempdir().unwrap();
        let mut service = service(folder.path(), "");
        service.program = folder.path().join("nothing");
        assert!(matches!(
            Supervised::start(service),
            Err(Error::Spawn { .. })
        ));
    }
}
