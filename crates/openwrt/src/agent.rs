//! The program: what `rhyzome-openwrt` is on a router besides its driver.
//!
//! ```text
//!   /etc/config/rhyzome ──wrong──► said, and read again when it changes
//!          │
//!          ├─ a token ──► joined, the token taken out of the file
//!          ▼
//!   an identity in /etc/rhyzome ──► serves its core until SIGTERM
//! ```
//!
//! procd starts it without arguments and again whenever it ends. So what an operator has to mend is waited for here:
//! ending would fill the log with the same words every few seconds. It is one thread, and a small one.

mod arguments;
pub mod configuration;
mod log;
mod memory;
mod names;
mod router;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::join::{self, JoinError};
use rhyzome_component::service::{self, After, Context};
use rhyzome_component::upgrade::{self, Launched};
use rhyzome_component::{Clock, Component, Driver, Setup, Surroundings};
use rhyzome_model::component::ComponentKind;

use arguments::{Arguments, Task};
use configuration::{Configuration, ConfigurationError, Token};
use names::FileNames;

use crate::OpenwrtDriver;

/// As procd's service and the log call it.
pub const PROGRAM: &str = "rhyzome-openwrt";
/// Where a router keeps what lasts; `/var` does not.
const STATE: &str = "/etc/rhyzome";

/// How often a file that has to be mended is looked at, and a clock that is waited for.
const LOOK: Duration = Duration::from_secs(2);
/// The longest pause between two tries to join.
const LONGEST: Duration = Duration::from_secs(60);
/// Of threads that write the ledger, in bytes; and how many there may be.
const STACK: usize = 256 << 10;
const THREADS: usize = 4;
/// How many placements are worked on at once: what waits for the router's turn is made together.
const AT_ONCE: usize = 64;

/// A router's component, and where its files are.
#[derive(Clone, Debug)]
pub struct Agent {
    root: PathBuf,
    surroundings: Surroundings,
}

/// The whole of `main`.
pub fn main() -> ExitCode {
    memory::be_frugal();
    let done = Arguments::read(std::env::args_os().skip(1)).and_then(|arguments| {
        let agent = Agent::new(arguments.root);
        match arguments.task {
            Task::Help => print(arguments::HELP),
            Task::Version => print(&format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"))),
            Task::CheckConfig => {
                Configuration::read(&agent.configuration())?;
                print("configuration in order")
            }
            Task::Run => run(&agent).or_else(|error| {
                upgrade::give_up(&format!("{error:#}"))?;
                Err(error)
            }),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{PROGRAM}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").context("the output cannot be written")
}

fn run(agent: &Agent) -> anyhow::Result<()> {
    log::start(PROGRAM)?;
    let launched = upgrade::launch(&agent.state_dir(), PROGRAM)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .max_blocking_threads(THREADS)
        .build()
        .context("the runtime could not be started")?;
    let ended = runtime.block_on(async {
        let (configuration, component) = agent.joined().await;
        agent.serve(configuration, component, launched).await
    });
    // A thread that waits for one of the router's programs is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let after = ended.inspect_err(|error| tracing::error!("{error:#}"))?;
    Ok(after.follow()?)
}

impl Agent {
    /// One whose files are below a folder, which is `/` on a router.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let surroundings = Surroundings {
            clock: Clock::default(),
            names: Arc::new(FileNames::below(&root)),
        };
        Self { root, surroundings }
    }

    /// The same, by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.surroundings.clock = clock;
        self
    }

    fn configuration(&self) -> PathBuf {
        below(&self.root, configuration::PATH)
    }

    fn state_dir(&self) -> PathBuf {
        below(&self.root, STATE)
    }

    /// Waits until there is a component that has joined its core: until the configuration is in order, the core is
    /// reached and the clock is right.
    pub async fn joined(&self) -> (Configuration, Component) {
        let mut pause = LOOK;
        loop {
            let before = self.written();
            match self.try_join().await {
                Ok(joined) => return joined,
                Err(error) if error.lasts() => {
                    tracing::error!("{}", error.words());
                    while self.written() == before {
                        tokio::time::sleep(LOOK).await;
                    }
                    pause = LOOK;
                }
                Err(NotJoined::Join(error @ JoinError::Clock(_))) => {
                    tracing::warn!("{}: waiting for NTP", NotJoined::Join(error).words());
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => {
                    tracing::warn!("{}; trying again", error.words());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }

    async fn try_join(&self) -> Result<(Configuration, Component), NotJoined> {
        let configuration = Configuration::read(&self.configuration())?;
        if let Some(token) = &configuration.token {
            self.spend(token, &configuration).await?;
        }
        let setup = Setup {
            state_dir: self.state_dir(),
            core: configuration.core.clone(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            jobs: JobsConfig {
                at_once: AT_ONCE,
                ..JobsConfig::default()
            },
        };
        match Component::open_from(setup, self.surroundings.clone()) {
            Ok(component) => Ok((configuration, component)),
            Err(error) if error.not_joined() => Err(NotJoined::NoToken(self.configuration())),
            Err(error) => Err(NotJoined::Start(error)),
        }
    }

    /// Joins with a token, unless that has been done, and takes it out of the file.
    async fn spend(&self, token: &Token, configuration: &Configuration) -> Result<(), NotJoined> {
        let core = configuration.core.as_ref().map(ToString::to_string);
        let state_dir = self.state_dir();
        let request = join::Request {
            core: core.as_deref().unwrap_or_default(),
            token: token.reveal(),
            state_dir: &state_dir,
            kind: ComponentKind::Openwrt,
            name: configuration.name.as_ref(),
        };
        match join::join_from(request, &self.surroundings).await {
            Ok(joining) => tracing::info!(?joining, "joined the core"),
            // It goes on with what it has; what its core is called now may be another thing.
            Err(error @ JoinError::Other { .. }) => {
                tracing::warn!("the token is not used: {}", words(&error));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = configuration::forget(&self.configuration()) {
            tracing::warn!("the token cannot be used again, but: {}", words(&error));
        }
        Ok(())
    }

    /// Keeps the networks, and serves the core, until SIGTERM or until another program is to run.
    async fn serve(
        &self,
        configuration: Configuration,
        component: Component,
        launched: Launched,
    ) -> anyhow::Result<After> {
        let link = component.link();
        let driver = async |context: Context| {
            let names = self.surroundings.names.as_ref();
            let (root, state_dir) = (&self.root, &context.state_dir);
            let settings = router::settings(configuration, root, state_dir, link, names).await;
            let driver: Arc<dyn Driver> = Arc::new(OpenwrtDriver::new(settings));
            Ok(driver)
        };
        service::run(launched, component, driver).await
    }

    /// When the configuration was written last.
    fn written(&self) -> Option<SystemTime> {
        std::fs::metadata(self.configuration())
            .and_then(|file| file.modified())
            .ok()
    }
}

/// Why there is no component yet.
#[derive(Debug, thiserror::Error)]
enum NotJoined {
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    #[error("this router has not joined a core: {0} needs option core and option token")]
    NoToken(PathBuf),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Start(rhyzome_component::StartError),
}

impl NotJoined {
    /// Whether nothing but another configuration helps.
    fn lasts(&self) -> bool {
        match self {
            Self::Configuration(_) | Self::NoToken(_) => true,
            Self::Join(error) => matches!(
                error,
                JoinError::Address(_)
                    | JoinError::Token(_)
                    | JoinError::Broken { .. }
                    | JoinError::Refused(_)
                    | JoinError::NameTaken
                    | JoinError::OtherAuthority
            ),
            Self::Start(_) => false,
        }
    }

    fn words(&self) -> String {
        words(self)
    }
}

/// An error with what is behind it.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(&format!(": {error}"));
        source = error.source();
    }
    words
}

fn below(root: &Path, absolute: &str) -> PathBuf {
    root.join(absolute.trim_start_matches('/'))
}
