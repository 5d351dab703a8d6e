//! From a configuration to a serving core, and to its end.
//!
//! In this order: the state folder is locked, the database is opened and migrated, the authority and the
//! certificates are loaded or made, the administrator's token is there; only then both ports are bound,
//! and then it is ready. SIGTERM or SIGINT: nothing new is accepted, streams and waits end, requests
//! under way finish within a bound. Instances, networks and tunnels do not notice.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rhyzome_app as app;
use rhyzome_pki::acceptor::{Limits, TlsIncoming};
use rhyzome_pki::credential::Credential;
use rhyzome_pki::file::{self, FileError};
use rhyzome_pki::issue::COMPONENT_VALIDITY;
use rhyzome_pki::server::{self, ServerCertificate, TlsError};
use rhyzome_store::Store;
use rhyzome_store::wake::Place;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme;
use crate::certificate::{self, CertificateError, Origin};
use crate::clock::Clock;
use crate::configuration::{Configuration, Switch, TlsMode};
use crate::context::{self, Api};
use crate::gateway::Gateway;
use crate::grpc;
use crate::metrics::Metrics;
use crate::problem::chain;
use crate::serve::{self, Listener};
use crate::throttle::Throttle;

/// How long all that runs has to end: the requests under way, and a little more.
const GRACE: Duration = serve::GRACE.saturating_add(Duration::from_secs(2));

/// How long a core waits for the one before it to leave the database: PostgreSQL takes half a minute
/// to notice that a machine is gone.
const PLACE_WITHIN: Duration = Duration::from_secs(35);

/// The same for a command that fills or empties a database: one that was killed just before may hold its
/// place for a moment.
pub(crate) const COMMANDS_PLACE_WITHIN: Duration = Duration::from_secs(5);

/// Why the core did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot use the state folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("another core is running on the state folder {}", path.display())]
    Locked { path: PathBuf },
    #[error("cannot use the storage for images")]
    Blobs(#[from] crate::configuration::BlobsError),
    #[error("cannot use the OpenID Connect issuer")]
    Oidc(#[from] crate::configuration::OidcError),
    #[error("cannot keep images where blobs.url says, or in the state folder")]
    Images { source: rhyzome_blob::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("cannot make a TLS configuration")]
    Tls { source: TlsError },
    #[error("cannot read the password in db_password_file")]
    Password { source: FileError },
    #[error("cannot use the database")]
    Store { source: rhyzome_store::Error },
    #[error("cannot take the site into use")]
    Core { source: app::Error },
    #[error("cannot write the administrator's token")]
    Token { source: FileError },
    #[error("cannot serve on a bound port")]
    Serve { source: io::Error },
    #[error("cannot listen on {bind} ({key})")]
    Bind {
        key: &'static str,
        bind: SocketAddr,
        source: io::Error,
    },
}

/// A core that listens.
pub struct Started {
    /// The file with the administrator's token, if a new one was written.
    pub new_token: Option<PathBuf>,
    /// Where people and programs connect to.
    pub http: SocketAddr,
    /// Where components connect to.
    pub grpc: SocketAddr,
    tasks: Tasks,
    _lock: Flock<File>,
}

/// Starts a core.
///
/// # Errors
/// [`StartError`]; nothing listens then.
pub async fn start(settings: &Configuration) -> Result<Started, StartError> {
    start_by(settings, &Clock::machine()).await
}

/// The same, with limits that go by another clock.
///
/// # Errors
/// As for [`start`].
pub async fn start_by(settings: &Configuration, clock: &Clock) -> Result<Started, StartError> {
    let lock = take_folder(&settings.state_dir)?;
    // Before an authority is made: beside a database that was not filled to the end there must be none
    // but the one that it is filled with.
    let (store, place) = database(settings).await?;
    let authority = certificate::authority(settings, SystemTime::now())?;
    let shown = Shown::obtain(settings, &authority)?;
    let core = open(settings, store, authority).await?;
    let new_token = ensure_admin_token(&core, &settings.state_dir).await?;
    let http = bind("http_bind", settings.http_bind).await?;
    let grpc = bind("grpc_bind", settings.grpc_bind).await?;
    let mut tasks = Tasks {
        core,
        set: JoinSet::new(),
        stopping: CancellationToken::new(),
        detached: TaskTracker::new(),
        metrics: Metrics::new(),
    };
    tasks
        .set
        .spawn(housekeeping(tasks.core.clone(), tasks.stopping.clone()));
    tasks.set.spawn(keep_place(
        tasks.core.clone(),
        place,
        tasks.stopping.clone(),
    ));
    let http = tasks.serve_http(http, shown.http, settings, clock)?;
    let joins = Throttle::new(settings.limits.failures_per_address, clock.clone());
    let grpc = tasks.serve_grpc(grpc, shown.grpc, joins)?;
    tracing::info!(%http, %grpc, version = env!("CARGO_PKG_VERSION"), "ready");
    Ok(Started {
        new_token,
        http,
        grpc,
        tasks,
        _lock: lock,
    })
}

impl Started {
    /// The core that is served.
    pub fn core(&self) -> &app::Core {
        &self.tasks.core
    }

    /// Returns when all that was under way has ended, or its time is over.
    pub async fn stop(self) {
        tracing::info!("stopping");
        let Tasks {
            core,
            mut set,
            stopping,
            detached,
            ..
        } = self.tasks;
        stopping.cancel();
        let ended = async {
            while set.join_next().await.is_some() {}
            detached.close();
            detached.wait().await;
        };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("not everything ended in time; it is cut off");
            set.shutdown().await;
        }
        if let Err(error) = app::audit::sealing::last(&core).await {
            // The next core seals what is left.
            tracing::warn!(
                error = chain(&error),
                "the audit log is not sealed to its end"
            );
        }
        core.store.close().await;
        tracing::info!("stopped");
    }
}

/// Makes the folder if need be, and sees to it that no other core uses it.
pub fn take_folder(path: &Path) -> Result<Flock<File>, StartError> {
    let failed = |source| StartError::Folder {
        path: path.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))
        .map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => StartError::Locked {
            path: path.to_owned(),
        },
        errno => failed(errno.into()),
    })
}

async fn database(settings: &Configuration) -> Result<(Store, Place), StartError> {
    let url = settings
        .db_url()
        .map_err(|source| StartError::Password { source })?;
    let unusable = |source| StartError::Store { source };
    let store = Store::open(&url).await.map_err(unusable)?;
    let place = store.take_place(PLACE_WITHIN).await.map_err(unusable)?;
    Ok((store, place))
}

async fn open(
    settings: &Configuration,
    store: Store,
    authority: rhyzome_pki::Authority,
) -> Result<app::Core, StartError> {
    let folder = app::blob::Blobs::folder(settings.state_dir.join("blobs"));
    let blobs = match settings.blobs.open()? {
        Some(location) => folder.before(Arc::new(location)),
        None => folder,
    };
    let options = app::CoreOptions {
        store,
        authority,
        site: app::SiteSettings {
            audit_days: settings.audit.keep,
            ..settings.site.settings()
        },
        environment: Arc::new(app::SystemEnvironment),
        blobs,
        grpc_url: settings.grpc_url(),
        certificate_validity: COMPONENT_VALIDITY,
        authorization: settings.authorization == Switch::On,
        links: app::Links {
            public_url: settings.public_url.clone(),
            // A proxy in front has TLS.
            scheme: match settings.tls.mode {
                TlsMode::On | TlsMode::BehindProxy => "https",
                TlsMode::Off => "http",
            },
            own_authority: settings.tls.mode == TlsMode::On && settings.tls.cert.is_none(),
        },
        oidc: settings.oidc.open()?,
    };
    let failed = |source| StartError::Core { source };
    let core = app::Core::open(options).await.map_err(failed)?;
    let unusable = |source| StartError::Images { source };
    core.blobs.prepare().await.map_err(unusable)?;
    Ok(core)
}

/// Sees to it that the file with the administrator's token is there and good. A new one is made where
/// it is missing or of another database; the one before is good no longer then.
async fn ensure_admin_token(
    core: &app::Core,
    folder: &Path,
) -> Result<Option<PathBuf>, StartError> {
    let path = folder.join("admin.token");
    if let Ok(text) = fs::read_to_string(&path)
        && app::authenticate(core, Some(text.trim())).await.is_ok()
    {
        return Ok(None);
    }
    let made = app::authorize::reset_admin_token(core).await;
    let made = made.map_err(|source| StartError::Core { source })?;
    let text = format!("{}\n", made.reveal());
    file::write_atomic(&path, text.as_bytes(), 0o600)
        .map_err(|source| StartError::Token { source })?;
    Ok(Some(path))
}

async fn housekeeping(core: app::Core, stopping: CancellationToken) {
    stopping
        .run_until_cancelled(async {
            tokio::join!(
                app::housekeeping::run(core.clone()),
                app::audit::sealing::run(core.clone()),
                app::gone::run(core)
            )
        })
        .await;
}

async fn keep_place(core: app::Core, place: Place, stopping: CancellationToken) {
    stopping
        .run_until_cancelled(app::wake::run(core, place))
        .await;
}

/// A bound port.
struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

async fn bind(key: &'static str, bind: SocketAddr) -> Result<Port, StartError> {
    let failed = |source| StartError::Bind { key, bind, source };
    let listener = TcpListener::bind(bind).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Port { listener, address })
}

/// What the core shows at its two ports.
struct Shown {
    /// None where the operator switched TLS off.
    http: Option<(Origin, Credential)>,
    grpc: (Origin, Credential),
}

impl Shown {
    fn obtain(
        settings: &Configuration,
        authority: &rhyzome_pki::Authority,
    ) -> Result<Self, CertificateError> {
        let with = |origin: Origin| {
            origin
                .obtain(authority)
                .map(|credential| (origin, credential))
        };
        let http = match settings.tls.mode {
            TlsMode::On => Some(with(Origin::of_http(settings))?),
            TlsMode::Off | TlsMode::BehindProxy => None,
        };
        Ok(Self {
            http,
            grpc: with(Origin::Grpc)?,
        })
    }
}

/// What runs until the core stops.
struct Tasks {
    core: app::Core,
    set: JoinSet<()>,
    stopping: CancellationToken,
    /// Requests that go on without their callers.
    detached: TaskTracker,
    metrics: Metrics,
}

impl Tasks {
    fn serve_http(
        &mut self,
        port: Port,
        shown: Option<(Origin, Credential)>,
        settings: &Configuration,
        clock: &Clock,
    ) -> Result<SocketAddr, StartError> {
        let Port { listener, address } = port;
        let listener = match shown {
            None => Listener::Plain(listener),
            Some(shown) => {
                let acme = matches!(shown.0, Origin::Acme(_));
                let config = server::http_config(self.keep(shown), acme);
                let config = config.map_err(|source| StartError::Tls { source })?;
                Listener::tls(listener, config).map_err(|source| StartError::Serve { source })?
            }
        };
        let router = crate::router(Api::new(context::Shared {
            core: self.core.clone(),
            metrics: self.metrics.clone(),
            limits: crate::limits::Limits::new(&settings.limits, clock),
            proxy: settings.proxy.clone(),
            stopping: self.stopping.clone(),
            detached: self.detached.clone(),
        }));
        let manner = serve::Manner::of(settings, self.metrics.clone());
        self.set
            .spawn(serve::run(listener, router, manner, self.stopping.clone()));
        Ok(address)
    }

    fn serve_grpc(
        &mut self,
        port: Port,
        shown: (Origin, Credential),
        joins: Throttle,
    ) -> Result<SocketAddr, StartError> {
        let anchors = [self.core.authority.certificate().clone()];
        let config = server::grpc_config(&anchors, self.keep(shown));
        let config = Arc::new(config.map_err(|source| StartError::Tls { source })?);
        let incoming = TlsIncoming::new(port.listener, config, Limits::default());
        let incoming = incoming.map_err(|source| StartError::Serve { source })?;
        let gateway = Arc::new(Gateway::new(self.core.clone()));
        let joins = grpc::Joins {
            throttle: joins,
            metrics: self.metrics.clone(),
        };
        let serving = grpc::serve(gateway, incoming, joins, self.stopping.clone());
        self.set.spawn(async {
            if let Err(error) = serving.await {
                tracing::error!(error = chain(&error), "components are not served any more");
            }
        });
        Ok(port.address)
    }

    /// Serves a certificate and keeps it fresh.
    fn keep(&mut self, (origin, credential): (Origin, Credential)) -> Arc<ServerCertificate> {
        let served = ServerCertificate::new(&credential);
        let with = (self.core.clone(), self.metrics.clone());
        let (shows, stopping) = (served.clone(), self.stopping.clone());
        match origin {
            Origin::Acme(wanted) => {
                let keeping = acme::keep(wanted, credential, shows, with, stopping);
                self.set.spawn(keeping);
            }
            origin => {
                let keeping = certificate::keep(origin, credential, shows, with, stopping);
                self.set.spawn(keeping);
            }
        }
        served
    }
}
