//! Why the driver could not do what it was asked.

use rhyzome_component::DriverError;
use rhyzome_model::job::FailureKind;
use rhyzome_uci::{ChangeError, ReadError};

use crate::disk::DiskError;
use crate::goal::Blocked;
use crate::journal::JournalError;
use crate::live::LiveError;
use crate::lock::LockError;
use crate::plan::PlanError;
use crate::present::Obstacle;
use crate::record::RecordError;
use crate::running::LookError;
use crate::store::StoreError;
use crate::ubus::UbusError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Record(RecordError),
    #[error("the router's lock")]
    Lock(#[source] LockError),
    #[error("the component's records on the router")]
    Records(#[source] DiskError),
    #[error("the router's configuration")]
    Configuration(#[source] DiskError),
    #[error("the router's configuration is left alone: {}", lines(.0))]
    Unusable(Vec<Obstacle>),
    #[error("the network {title} is left as it is")]
    Blocked {
        title: String,
        #[source]
        why: Blocked,
    },
    #[error("the router's configuration")]
    Plan(#[source] PlanError),
    #[error("/etc/config/{0} cannot be changed as planned")]
    Change(&'static str, #[source] ChangeError),
    #[error("the journal of changes")]
    Journal(#[source] JournalError),
    #[error("the snapshot of the router's configuration")]
    Snapshot(#[source] DiskError),
    #[error("the router's configuration")]
    Store(#[source] StoreError),
    #[error("/etc/config/{0}, which somebody else has changed since, cannot be read")]
    Foreign(&'static str, #[source] ReadError),
    #[error("somebody else changes the router's configuration all the time")]
    Restless,
    #[error("somebody else's change took ours away again")]
    Overwritten,
    #[error("the router cannot be made to reload")]
    Reload(#[source] UbusError),
    #[error("the router's WireGuard devices")]
    Live(#[source] LiveError),
    #[error("cannot look at the router")]
    Look(#[source] LookError),
    #[error("cannot ask the router's DNS")]
    Ask(#[source] std::io::Error),
    #[error("the router does not run as meant: {0}")]
    NotAsMeant(String),
    #[error("the core cannot be reached any more")]
    Unreachable {
        /// Whether it could again when the change was put back.
        guilty: bool,
    },
    #[error("the change was put back")]
    PutBack(#[source] Box<Self>),
    #[error(
        "the change could not be put back yet, which is tried again: {back}; it was to be put back because"
    )]
    NotPutBack {
        back: Box<Self>,
        #[source]
        why: Box<Self>,
    },
    #[error("the workflow was ended before {0}")]
    Interrupted(&'static str),
    /// By a test.
    #[error(transparent)]
    Injected(DriverError),
}

pub(crate) fn lines(all: &[impl ToString]) -> String {
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

impl Error {
    /// Whether it was somebody else's change that came between, so that the next try may succeed at once.
    pub(crate) fn is_race(&self) -> bool {
        match self {
            Self::Store(StoreError::Changed(_)) | Self::Overwritten => true,
            Self::PutBack(why) => why.is_race(),
            _ => false,
        }
    }

    /// Whether one of several changes may have been the reason, so that each is to be tried for itself.
    pub(crate) fn is_of_one(&self) -> bool {
        match self {
            Self::Blocked { .. } | Self::NotAsMeant(_) => true,
            Self::PutBack(why) => why.is_of_one(),
            _ => false,
        }
    }

    /// Whether the process is to do nothing more, as if it had been killed.
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Self::Interrupted(_) => true,
            Self::PutBack(why) => why.is_interruption(),
            Self::NotPutBack { back, .. } => back.is_interruption(),
            _ => false,
        }
    }

    fn is_permanent(&self) -> bool {
        match self {
            Self::Blocked {
                why: Blocked::Problems(_),
                ..
            } => true,
            Self::Unreachable { guilty } => *guilty,
            Self::Injected(e) => e.kind == FailureKind::Permanent,
            Self::PutBack(why) => why.is_permanent(),
            _ => false,
        }
    }

    /// As the job loop needs it.
    pub(crate) fn into_driver(self, what: &str) -> DriverError {
        if let Self::Record(RecordError::Kind(_)) = &self {
            return DriverError::unsupported(self.to_string());
        }
        if self.is_permanent() {
            return DriverError::permanent(what).with_source(self);
        }
        DriverError::transient(what).with_source(self)
    }
}
