//! Starting an endpoint's process, finding one that runs already, and ending it.
//!
//! The component calls these. A process that does not answer is reported rather than started a
//! second time; one that has to go is asked first, then told, then killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::control::{Control, ControlError, Status};
use super::options::{EndpointOptions, OptionsError};
use super::process::{ProcessError, ProcessName};
use super::state::{StateDir, StateError};

/// How long an endpoint may take to answer for the first time, its peers restored.
const READY: Duration = Duration::from_secs(15);

/// How long an endpoint may take to end, for each way of asking.
const END: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(20);

/// A log of more bytes is put aside at the next start.
const MAX_LOG: u64 = 1 << 20;

/// How much of the log an error carries, in bytes.
const TAIL: u64 = 2000;

/// The program that becomes the endpoint: it is called with the endpoint's folder as its last
/// argument, and has to call [`super::main`] with it.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file to run.
    pub path: PathBuf,
    /// What stands before the folder.
    pub args: Vec<String>,
}

impl Program {
    /// The running program itself, with the subcommand `wireguard-endpoint`.
    ///
    /// # Errors
    /// The running program's own path is not known.
    pub fn current() -> io::Result<Self> {
        Ok(Self {
            path: in_place(std::env::current_exe()?),
            args: vec!["wireguard-endpoint".to_owned()],
        })
    }
}

/// An endpoint that answered.
#[derive(Debug)]
pub struct Running {
    /// A connection to it.
    pub control: Control,
    /// What it said, without its peers.
    pub status: Status,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The options are wrong or cannot be written.
    #[error("the endpoint's options cannot be used")]
    Options(#[source] OptionsError),
    /// The log cannot be opened.
    #[error("the endpoint's log {path} cannot be opened")]
    Log {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program cannot be run.
    #[error("{path} cannot be started")]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The process ended before it answered.
    #[error("the endpoint ended with {status} before it was up; its log ends: {log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The process runs and did not answer in time. It is left running.
    #[error("the endpoint (process {pid}) was not up within {}s; its log ends: {log}", READY.as_secs())]
    NotReady {
        /// The process.
        pid: u32,
        /// The last lines of its log.
        log: String,
    },
    /// A process that was started earlier runs and does not answer.
    #[error("the endpoint in {dir} (process {pid}) runs and does not answer")]
    Unresponsive {
        /// The folder.
        dir: PathBuf,
        /// The process.
        pid: u32,
        /// What happened when it was asked.
        #[source]
        source: ControlError,
    },
    /// The folder cannot be read.
    #[error("the endpoint's folder cannot be read")]
    State(#[source] StateError),
    /// The process cannot be looked at.
    #[error("the endpoint's process cannot be looked at")]
    Process(#[source] ProcessError),
    /// The endpoint that ran with other options could not be ended.
    #[error("the endpoint with the earlier options is still there")]
    Replace(#[source] StopError),
}

/// Why an endpoint did not end.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The folder cannot be read.
    #[error("the endpoint's folder cannot be read")]
    State(#[source] StateError),
    /// The process cannot be looked at or signalled.
    #[error("the endpoint's process cannot be ended")]
    Process(#[source] ProcessError),
    /// Not even SIGKILL ended it: it hangs in the kernel.
    #[error("the endpoint (process {pid}) was killed and is still there")]
    Immortal {
        /// The process.
        pid: u32,
    },
}

/// The endpoint that runs in the folder `dir`, if one does.
///
/// # Errors
/// One runs and does not answer.
pub async fn find(dir: &Path) -> Result<Option<Running>, SpawnError> {
    let source = match ask(dir).await {
        Ok(running) => return Ok(Some(running)),
        Err(error) => error,
    };
    match process(dir).map_err(SpawnError::State)? {
        Some(process) if process.runs().map_err(SpawnError::Process)? => {
            Err(SpawnError::Unresponsive {
                dir: dir.to_owned(),
                pid: process.pid,
                source,
            })
        }
        _ => Ok(None),
    }
}

/// Starts an endpoint, and returns when it answers, its peers restored.
///
/// It gets a session of its own, no environment but `PATH` and `RUST_LOG`, and writes to
/// `endpoint.log` in its folder. Its UDP socket is in the namespace of the calling thread.
///
/// # Errors
/// It did not come up; the error carries the end of its log.
pub async fn spawn(options: &EndpointOptions, program: &Program) -> Result<Running, SpawnError> {
    options.save().map_err(SpawnError::Options)?;
    let (log, start) = open_log(&options.dir)?;
    let child = command(options, program, &log).spawn();
    let mut child = child.map_err(|source| SpawnError::Start {
        path: program.path.clone(),
        source,
    })?;
    let bound = Instant::now() + READY;
    let running = loop {
        if let Ok(Some(status)) = child.try_wait() {
            let log = tail(log, start);
            return Err(SpawnError::Ended { status, log });
        }
        match ask(&options.dir).await {
            Ok(running) if Some(running.status.pid) == child.id() => break running,
            _ if Instant::now() > bound => {
                let pid = child.id().unwrap_or_default();
                let log = tail(log, start);
                return Err(SpawnError::NotReady { pid, log });
            }
            _ => sleep(POLL).await,
        }
    };
    reap(child);
    Ok(running)
}

/// The endpoint of these options: the one that runs with them, or a new one in place of one that
/// has others or does not answer.
///
/// # Errors
/// It did not come up, or the earlier one could not be ended.
pub async fn ensure(options: &EndpointOptions, program: &Program) -> Result<Running, SpawnError> {
    match find(&options.dir).await {
        Ok(Some(running)) if same(&running.status.options, options) => return Ok(running),
        Ok(Some(_)) | Err(SpawnError::Unresponsive { .. }) => {
            stop(&options.dir).await.map_err(SpawnError::Replace)?;
        }
        Ok(None) => {}
        Err(error) => return Err(error),
    }
    spawn(options, program).await
}

/// Ends the endpoint of the folder `dir`, and says whether one ran. Its key, peers and log stay.
///
/// # Errors
/// It could not be ended.
pub async fn stop(dir: &Path) -> Result<bool, StopError> {
    let Some(process) = process(dir).map_err(StopError::State)? else {
        return Ok(false);
    };
    if !process.runs().map_err(StopError::Process)? {
        return Ok(false);
    }
    if let Ok(mut control) = Control::connect(dir).await
        && control.stop().await.is_ok()
        && gone(&process).await?
    {
        return Ok(true);
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let sent = process.signal(signal).map_err(StopError::Process)?;
        if !sent || gone(&process).await? {
            return Ok(true);
        }
    }
    Err(StopError::Immortal { pid: process.pid })
}

async fn ask(dir: &Path) -> Result<Running, ControlError> {
    let mut control = Control::connect(dir).await?;
    let status = control.status_of(&[]).await?;
    Ok(Running { control, status })
}

fn process(dir: &Path) -> Result<Option<ProcessName>, StateError> {
    ProcessName::read(&StateDir::at(dir))
}

/// The folder is not told over the socket: it is where the socket is.
fn same(told: &EndpointOptions, wanted: &EndpointOptions) -> bool {
    let told = EndpointOptions {
        dir: wanted.dir.clone(),
        ..told.clone()
    };
    told == *wanted
}

async fn gone(process: &ProcessName) -> Result<bool, StopError> {
    let bound = Instant::now() + END;
    while process.runs().map_err(StopError::Process)? {
        if Instant::now() > bound {
            return Ok(false);
        }
        sleep(POLL).await;
    }
    Ok(true)
}

fn command(options: &EndpointOptions, program: &Program, log: &File) -> Command {
    let copy = |file: &File| file.try_clone().map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = Command::new(&program.path);
    command
        .args(&program.args)
        .arg(&options.dir)
        .current_dir("/")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(copy(log))
        .stderr(copy(log));
    for name in ["PATH", "RUST_LOG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn open_log(dir: &Path) -> Result<(File, u64), SpawnError> {
    let state = StateDir::at(dir);
    let path = state.path("endpoint.log");
    if std::fs::metadata(&path).is_ok_and(|log| log.len() > MAX_LOG) {
        // If the old one stays in the way, it grows: better than no endpoint.
        let _ = std::fs::rename(&path, state.path("endpoint.log.old"));
    }
    let mut open = OpenOptions::new();
    open.create(true).append(true).read(true).mode(0o600);
    open.open(&path)
        .and_then(|file| file.metadata().map(|meta| (file, meta.len())))
        .map_err(|source| SpawnError::Log { path, source })
}

/// Where the program is that was started from `path`. An upgrade puts another file there, and then
/// the kernel says of the one that runs that it is deleted (proc_pid_exe(5)).
fn in_place(path: PathBuf) -> PathBuf {
    let text = path.to_str().unwrap_or_default();
    match text.strip_suffix(" (deleted)") {
        Some(new) if !path.exists() => PathBuf::from(new),
        _ => path,
    }
}

/// The last lines of what was written to the log since `start`.
fn tail(mut log: File, start: u64) -> String {
    let mut text = Vec::new();
    let length = log.metadata().map_or(start, |meta| meta.len());
    let from = start.max(length.saturating_sub(TAIL));
    // An unreadable log is no reason to hide the error it belongs to.
    let _ = log.seek(SeekFrom::Start(from));
    let _ = log.read_to_end(&mut text);
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Waits for the process's end, however far off, so that no dead one is left lying around.
fn reap(mut child: Child) {
    tokio::spawn(async move {
        let pid = child.id();
        if let Ok(status) = child.wait().await {
            tracing::info!(pid, %status, "an endpoint ended");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_upgraded_while_it_ran_is_started_in_its_new_version() {
        let check = |path: &str, expected: &str| {
            assert_eq!(in_place(PathBuf::from(path)), Path::new(expected));
        };
        check("/no/such/program (deleted)", "/no/such/program");
        check("/no/such/program", "/no/such/program");
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("odd (deleted)");
        File::create(&odd).unwrap();
        assert_eq!(in_place(odd.clone()), odd);
    }

    #[test]
    fn only_the_end_of_what_was_logged_since_the_start_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("endpoint.log");
        std::fs::write(&path, "earlier\nlater\n").unwrap();
        let log = || File::open(&path).unwrap();
        assert_eq!(tail(log(), 8), "later");
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert_eq!(tail(log(), 8).len(), 2000);
    }
}
