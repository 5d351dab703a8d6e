//! The member: nobody in particular, without any right on their machine, with a tunnel in the process.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc;
use rhyzome_wireguard::config::ClientConfig;
use rhyzome_wireguard::tunnel::{ConnectError, RemoteStats, Tunnel, TunnelStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::page::{self, Page};
use crate::{Place, place};

/// The user that has no rights.
pub const NOBODY: u32 = 65534;

/// How long what can be reached may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait for an answer that must not come.
pub const SILENCE: Duration = Duration::from_millis(1500);

type Work = Box<dyn FnOnce(Rc<Tunnel>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A tunnel in a thread of its own, which is in the member's namespace and has no rights.
pub struct Tunnelled {
    work: Option<mpsc::UnboundedSender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnelled {
    /// # Panics
    /// Where there can be no tunnel of this configuration. Nothing is sent yet.
    pub fn start(member: &Place, config: &ClientConfig) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Work>();
        let name = member.name().to_owned();
        let config = config.clone();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            become_nobody(&name);
            on_this_thread(async move {
                let tunnel = Tunnel::start(&config)
                    .await
                    .expect("a configuration of ours");
                let tunnel = Rc::new(tunnel);
                let waits = ready.send(());
                waits.expect("who starts it waits for it");
                while let Some(work) = receiver.recv().await {
                    tokio::task::spawn_local(work(Rc::clone(&tunnel)));
                }
            });
        });
        started.recv().expect("the tunnel starts");
        Self {
            work: Some(sender),
            thread: Some(thread),
        }
    }

    /// Does something with the tunnel, in its thread.
    pub async fn run<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: AsyncFnOnce(Rc<Tunnel>) -> T + Send + 'static,
    {
        let (send, receive) = oneshot::channel();
        let work: Work = Box::new(|tunnel| {
            Box::pin(async move {
                // Who asked may have stopped waiting.
                let _unheard = send.send(work(tunnel).await);
            })
        });
        let sender = self.work.as_ref().expect("it is there until it is dropped");
        assert!(sender.send(work).is_ok(), "the tunnel's thread has ended");
        receive
            .await
            .expect("the tunnel's thread lives as long as this")
    }

    /// What the instance at an address says of itself.
    ///
    /// # Errors
    /// Why it could not be asked, in a sentence.
    pub async fn ask(&self, address: impl Into<IpAddr>) -> Result<Page, String> {
        Page::parse(&self.get(address, Page::PATH).await?)
    }

    /// What the instance at an address serves at a path, on port 80.
    ///
    /// # Errors
    /// Why it could not be asked, in a sentence.
    pub async fn get(
        &self,
        address: impl Into<IpAddr>,
        path: &'static str,
    ) -> Result<String, String> {
        let destination = SocketAddr::new(address.into(), 80);
        self.run(async move |tunnel| {
            let mut stream = connect(&tunnel, destination, PATIENCE).await?;
            let asked = timeout(PATIENCE, page::get(&mut stream, path)).await;
            asked.map_err(|_| format!("{destination} took the request and says nothing"))?
        })
        .await
    }

    /// Tries to connect to what must not be reached; says how that failed.
    ///
    /// # Panics
    /// Where somebody answers.
    pub async fn fails_to_reach(&self, address: impl Into<IpAddr>, port: u16) -> String {
        let destination = SocketAddr::new(address.into(), port);
        let failure =
            self.run(
                async move |tunnel| match tunnel.connect(destination, SILENCE).await {
                    Ok(_) => panic!("{destination} is reached"),
                    Err(ConnectError::Refused(_)) => panic!("{destination} is there: it refuses"),
                    Err(error) => error.to_string(),
                },
            );
        failure.await
    }

    /// What passed, for each network.
    pub async fn stats(&self) -> Vec<RemoteStats> {
        self.run(async |tunnel| tunnel.stats().await.peers).await
    }

    /// When the sessions began that are in use.
    ///
    /// # Panics
    /// Where there is a network without a session.
    pub async fn sessions(&self) -> Vec<Instant> {
        self.run(async |tunnel| {
            let stats = tunnel.stats().await;
            let now = Instant::now();
            let age = |remote: &RemoteStats| remote.last_handshake.expect("a session");
            stats.peers.iter().map(|remote| now - age(remote)).collect()
        })
        .await
    }
}

impl Drop for Tunnelled {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was told when it happened.
            let _panicked = thread.join();
        }
    }
}

/// Connects to what can be reached.
///
/// # Errors
/// Why it could not, with its causes, in a sentence.
pub async fn connect(
    tunnel: &Tunnel,
    destination: SocketAddr,
    bound: Duration,
) -> Result<TunnelStream, String> {
    let connected = tunnel.connect(destination, bound).await;
    connected.map_err(|error| {
        let cause = std::error::Error::source(&error);
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    })
}

/// Runs something as the member, without a tunnel.
pub fn as_nobody<T: Send>(member: &Place, work: impl AsyncFnOnce() -> T + Send) -> T {
    let name = member.name();
    let inside = || {
        become_nobody(name);
        on_this_thread(work())
    };
    match std::thread::scope(|scope| scope.spawn(inside).join()) {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn on_this_thread<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Moves the calling thread into a namespace, and takes all its rights. The C library's functions
/// would do so to all threads of the process.
fn become_nobody(namespace: &str) {
    place::enter(namespace);
    let id = libc::c_long::from(NOBODY);
    // SAFETY: these calls take numbers and no memory.
    let failed = unsafe {
        libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>())
            | libc::syscall(libc::SYS_setresgid, id, id, id)
            | libc::syscall(libc::SYS_setresuid, id, id, id)
    };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    assert_eq!(rights.map(str::trim), Some("0000000000000000"));
}
