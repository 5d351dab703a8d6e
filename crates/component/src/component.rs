//! A whole component: its ledger, its job loop and its session, around a driver.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rhyzome_pki::IdentityFolder;
use rhyzome_pki::identity::IdentityError;
use tokio_util::sync::CancellationToken;

use crate::blobs::CoreBlobs;
use crate::driver::{Blobs, Driver};
use crate::jobs::{Jobs, JobsConfig};
use crate::join::identity_folder;
use crate::ledger::{Ledger, LedgerError};
use crate::link::{CoreUrl, Link, LinkError};
use crate::reports::Reports;
use crate::session;
use crate::surroundings::Surroundings;
use crate::upgrade::Upgrader;

/// How long running jobs may go on after the component was told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How long the core may take to record the last outcomes.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// How long a state that another one has is waited for, and how often it is looked.
const LOCKED_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// What a component is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Identity, ledger and lock are in here.
    pub state_dir: PathBuf,
    /// The core instead of the one that was joined, where it has moved.
    pub core: Option<CoreUrl>,
    /// The version of the component's program.
    pub software_version: String,
    pub jobs: JobsConfig,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{path} could not be opened")]
    Lock { path: PathBuf, source: io::Error },
    #[error("another component runs with the state in {0}")]
    Running(PathBuf),
    #[error("the ledger could not be opened")]
    Ledger(#[from] LedgerError),
    #[error("there is no way to a core")]
    Link(#[from] LinkError),
}

impl StartError {
    /// Whether the component is nobody's yet.
    pub fn not_joined(&self) -> bool {
        let not_joined = |error: &LinkError| {
            matches!(error, LinkError::Identity(IdentityError::NotJoined { .. }))
        };
        matches!(self, Self::Link(error) if not_joined(error))
    }
}

/// A component that has joined and is about to run.
#[derive(Debug)]
pub struct Component {
    link: Arc<Link>,
    ledger: Arc<Ledger>,
    setup: Setup,
    upgrader: Option<Arc<Upgrader>>,
    /// Held as long as it lives: one component a state.
    _lock: File,
}

impl Component {
    /// Opens a component's state. What of its ledger cannot be read is said in the log.
    ///
    /// # Errors
    /// [`StartError`]: not joined, running already, a folder that cannot be used.
    pub fn open(setup: Setup) -> Result<Self, StartError> {
        Self::open_from(setup, Surroundings::default())
    }

    /// The same, by another clock and another way of finding hosts.
    ///
    /// # Errors
    /// As for [`Component::open`].
    pub fn open_from(setup: Setup, surroundings: Surroundings) -> Result<Self, StartError> {
        let lock = lock(&setup.state_dir)?;
        let folder = IdentityFolder::new(identity_folder(&setup.state_dir));
        let link = Arc::new(Link::open_from(folder, setup.core.clone(), surroundings)?);
        let (ledger, corrupt) = Ledger::open(&setup.state_dir.join("ledger"))?;
        for one in corrupt {
            tracing::error!(
                path = %one.path.display(), moved_to = %one.moved_to.display(),
                reason = one.reason, "an entry of the ledger cannot be read and was set aside"
            );
        }
        Ok(Self {
            link,
            ledger: Arc::new(ledger),
            setup,
            upgrader: None,
            _lock: lock,
        })
    }

    /// Lets the core put another program in this one's place.
    #[must_use]
    pub fn upgraded_by(self, upgrader: Arc<Upgrader>) -> Self {
        Self {
            upgrader: Some(upgrader),
            ..self
        }
    }

    /// Where a driver gets the bytes of images from.
    pub fn blobs(&self) -> Arc<dyn Blobs> {
        self.fetching("image")
    }

    fn fetching(&self, what: &'static str) -> Arc<dyn Blobs> {
        Arc::new(CoreBlobs::new(Arc::clone(&self.link), what))
    }

    /// What the component has accepted, to be read by a driver's services.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Its state; `identity`, `ledger`, `program` and `lock` in it are not the driver's.
    pub fn state_dir(&self) -> &Path {
        &self.setup.state_dir
    }

    /// The version of its program.
    pub fn software_version(&self) -> &str {
        &self.setup.software_version
    }

    pub fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    /// Brings everything up and serves the core until `stop`. Then running jobs may end, within 20 s,
    /// and their outcomes are told; what is on the host stays as it is. Cancels `stop` itself where another
    /// program is to run instead ([`Upgrader::leaves`]).
    pub async fn run(self, driver: Arc<dyn Driver>, stop: CancellationToken) {
        let reports = Arc::new(Reports::default());
        let jobs = Arc::new(Jobs::start(
            Arc::clone(&driver),
            Arc::clone(&self.ledger),
            Arc::clone(&reports),
            self.setup.jobs,
        ));
        let upgrading = upgrading(
            self.upgrader.clone(),
            self.fetching("program"),
            Arc::clone(&reports),
            stop.clone(),
        );
        let context = session::Context {
            link: self.link,
            driver,
            ledger: self.ledger,
            reports: Arc::clone(&reports),
            jobs: Arc::clone(&jobs),
            software_version: self.setup.software_version,
            upgrader: self.upgrader,
        };
        let silence = CancellationToken::new();
        let stopping = async {
            stop.cancelled().await;
            jobs.stop(STOP_WITHIN).await;
            // Where there is no core to record them, they are made again at the next start.
            let _ = tokio::time::timeout(TELL_WITHIN, reports.recorded_all()).await;
            silence.cancel();
        };
        let upgrading = async {
            tokio::select! {
                () = upgrading => {}
                () = stop.cancelled() => {}
            }
        };
        tokio::join!(session::run(context, silence.clone()), stopping, upgrading);
    }
}

async fn upgrading(
    upgrader: Option<Arc<Upgrader>>,
    blobs: Arc<dyn Blobs>,
    reports: Arc<Reports>,
    leave: CancellationToken,
) {
    if let Some(upgrader) = upgrader {
        upgrader.run(blobs, reports, leave).await;
    }
}

/// Takes a state for oneself, as long as the file is open. One who was killed may hold it a moment longer,
/// by a child that was only just forked.
pub(crate) fn lock(state_dir: &Path) -> Result<File, StartError> {
    let path = state_dir.join("lock");
    let failed = |source| StartError::Lock {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(state_dir).map_err(failed)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    let until = Instant::now() + LOCKED_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOOK),
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::Running(state_dir.to_owned()));
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}
