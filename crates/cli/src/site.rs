//! A whole site on one machine: `rhyzome up`, `rhyzome down`, `rhyzome doctor`.
//!
//! ```text
//!   rhyzome up ──supervises──┬─ rhyzome-api                     the core
//!                            ├─ rhyzome-libvirt, rhyzome-linux  joined by token, mTLS on loopback
//!                            └─ rhyzome simulate                instead of both, with --simulate
//! ```
//!
//! All state is in one folder (see [`layout`]). What runs is found again by looking at the processes and
//! not by records, so that a kill at any moment leaves nothing that [`down`] does not find. Instances,
//! networks and tunnels are no children of these processes: they go on when these stop.
//!
//! Left out on purpose: several machines. There, each program is started by the machine's own means
//! (`rhyzome-libvirt join --install`).

pub mod choices;
pub mod configuration;
pub mod detach;
pub mod doctor;
pub mod down;
pub mod join;
pub mod layout;
pub mod lock;
pub mod port;
pub mod process;
pub mod program;
pub mod report;
pub mod restored;
pub mod simulate;
pub mod start;
pub mod steps;
pub mod supervise;
pub mod up;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The name of the context for a site of this machine.
const CONTEXT: &str = "local";

/// Why a site does not start, or does not stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program} is not in {}", .folder.display())]
    NoProgram {
        program: &'static str,
        folder: PathBuf,
    },
    #[error("where this program itself is cannot be found out")]
    OwnPath { source: io::Error },
    #[error("a site with real instances and networks needs root")]
    NotRoot,
    #[error("{0} is missing on this machine")]
    NoTool(&'static str),
    #[error("{} is no state folder of a site", .path.display())]
    NotOurs { path: PathBuf },
    #[error("this site is running already: process {pid}, since {since}, in {}", .folder.display())]
    Running {
        pid: i32,
        since: String,
        folder: PathBuf,
    },
    #[error("{} is locked by a program that is no site", .path.display())]
    Locked { path: PathBuf },
    #[error("{} has a character in it that the programs of a site cannot be given in a path", .path.display())]
    OddPath { path: PathBuf },
    #[error("this site is being stopped: process {pid}")]
    Stopping { pid: i32 },
    #[error("port {address} is taken{}", by(.holder))]
    PortTaken {
        address: SocketAddr,
        holder: Option<String>,
    },
    #[error("no free port was found from {first} on")]
    NoPort { first: SocketAddr },
    #[error("this site was set up {was}, and cannot become one {wanted}")]
    OtherKind {
        was: &'static str,
        wanted: &'static str,
    },
    #[error("{} cannot be used", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not readable: {reason}", .path.display())]
    Syntax { path: PathBuf, reason: String },
    #[error("{program} cannot be started")]
    Spawn { program: String, source: io::Error },
    #[error("{program} ended before it was ready ({how}){}", last_lines(.log))]
    Ended {
        program: String,
        how: String,
        log: String,
    },
    #[error("{what} was not ready within {seconds} s{}", last_lines(.log))]
    NotReady {
        what: String,
        seconds: u64,
        log: String,
    },
    #[error("{component} could not join the core{}", last_lines(.output))]
    Join { component: String, output: String },
    #[error("{component} could not join the core")]
    JoinSimulated {
        component: String,
        source: Box<rhyzome_component::join::JoinError>,
    },
    #[error("the core does not know {component}, which has joined it before")]
    Unknown { component: String, core: PathBuf },
    #[error("the identity of {component} is lost, and the core has something on it")]
    IdentityLost {
        component: String,
        folder: PathBuf,
        source: Box<rhyzome_client::Error>,
    },
    #[error("{program} could not take down what is on this host ({how}){}", last_lines(.output))]
    Down {
        program: &'static str,
        how: String,
        output: String,
    },
    #[error("{} of the site's processes could not be ended: {}", .pids.len(), list(.pids))]
    Survived { pids: Vec<i32> },
    #[error("interrupted before the site was up")]
    Interrupted,
    #[error("the detached process ended before the site was up; {} says more", .log.display())]
    Detached { log: PathBuf },
    #[error("signals cannot be waited for")]
    Signals { source: io::Error },
    #[error("the simulated hosts cannot be run: {reason}")]
    Simulate { reason: String },
    #[error("this machine is not fit for a site: {0} found")]
    Unfit(String),
}

impl Error {
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::NoProgram { .. } => {
                "build it with `cargo build --release`, or say where it is with `--bin-dir`".to_owned()
            }
            Self::NotRoot => {
                "run it with sudo; or `rhyzome up --simulate 2`, which touches nothing of this machine"
                    .to_owned()
            }
            Self::NoTool(_) => "`scripts/install-packages` installs what is needed; `rhyzome doctor` \
                                looks at the whole machine"
                .to_owned(),
            Self::NotOurs { .. } => {
                "choose a folder that is empty or not there yet with `--state`".to_owned()
            }
            Self::OddPath { .. } => "choose a folder without spaces, commas, `?` and `%` in its path with \
                                     `--state`; `rhyzome down --purge` removes a site from any folder"
                .to_owned(),
            Self::Locked { path } => format!("`fuser {}` says which one", path.display()),
            Self::Syntax { .. } => "put it back from a copy; or `rhyzome down --purge` and begin anew".to_owned(),
            Self::Running { .. } => "`rhyzome down` stops it".to_owned(),
            Self::PortTaken { .. } => {
                "choose another one with `--listen` or `--listen-components`".to_owned()
            }
            Self::OtherKind { .. } => {
                "use another folder with `--state`, or `rhyzome down --purge` first".to_owned()
            }
            Self::Unknown { core, .. } => format!(
                "was the core's database in {} lost or replaced? Put it back from a copy; or \
                 `rhyzome down --purge` and begin anew",
                core.display()
            ),
            Self::IdentityLost { folder, .. } => format!(
                "put {} back from a copy; or `rhyzome down --purge` and begin anew",
                folder.display()
            ),
            Self::Detached { .. } | Self::Ended { .. } | Self::NotReady { .. } => {
                "`rhyzome doctor` looks at this machine and says what to do".to_owned()
            }
            Self::Down { .. } | Self::Survived { .. } => {
                "`rhyzome down` may be repeated".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Running { .. } | Self::OtherKind { .. } => 4,
            Self::Interrupted => 130,
            _ => 1,
        }
    }

    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

fn by(holder: &Option<String>) -> String {
    holder
        .as_ref()
        .map(|holder| format!(" by {holder}"))
        .unwrap_or_default()
}

fn last_lines(log: &str) -> String {
    if log.trim().is_empty() {
        return String::new();
    }
    let lines: Vec<String> = log
        .trim_end()
        .lines()
        .map(|line| format!("\n    {line}"))
        .collect();
    format!(":{}", lines[lines.len().saturating_sub(8)..].concat())
}

fn list(pids: &[i32]) -> String {
    pids.iter()
        .map(i32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
