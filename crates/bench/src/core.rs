//! A core as a process of its own, and who uses it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rhyzome_client::{Client, ClientOptions, Scope};
use rhyzome_model::Digest;
use rhyzome_model::Name;
use rhyzome_model::image::ImageSpec;

/// How long a core may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The core's program, its state and its two ports. Dropped, it ends at once.
pub struct Core {
    process: Child,
    folder: PathBuf,
    http: u16,
    grpc: u16,
    /// From the start of the program until it answered.
    pub ready_after: Duration,
}

/// A program beside this one.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    let path = own.with_file_name(name);
    ensure!(
        path.exists(),
        "{} is not there: build the workspace's programs first",
        path.display()
    );
    Ok(path)
}

impl Core {
    /// Starts one with its state in a folder.
    pub async fn start(folder: &Path, database: Option<&str>) -> anyhow::Result<Self> {
        let (http, grpc) = (free_port()?, free_port()?);
        let state = folder.join("core");
        let database = database
            .map(|url| format!("db = {url:?}\n"))
            .unwrap_or_default();
        let text = format!(
            "http_bind = \"127.0.0.1:{http}\"\ngrpc_bind = \"127.0.0.1:{grpc}\"\nstate_dir = {state:?}\n\
             log.level = \"warn\"\n{database}[site]\nseed = \"bench\"\n"
        );
        std::fs::write(folder.join("api.toml"), text).context("the core's configuration")?;
        let mut core = Self {
            process: spawn(folder)?,
            folder: folder.to_owned(),
            http,
            grpc,
            ready_after: Duration::ZERO,
        };
        core.wait_ready().await?;
        Ok(core)
    }

    /// Stops it as SIGTERM does, and starts it again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.process = spawn(&self.folder)?;
        self.wait_ready().await
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process.id().cast_signed());
        kill(pid, Signal::SIGTERM).context("the core cannot be stopped")?;
        let asked = Instant::now();
        while self.process.try_wait()?.is_none() {
            ensure!(asked.elapsed() < PATIENCE, "the core does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                let log = std::fs::read_to_string(self.folder.join("core.log")).unwrap_or_default();
                bail!("the core ended: {status}: {log}");
            }
            if let Ok(client) = self.client()
                && client.site().get().await.is_ok()
            {
                self.ready_after = started.elapsed();
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "the core does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Somebody with the administrator's token and connections of their own.
    /// The administrator's.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.client_with(self.read("admin.token")?.trim())
    }

    /// Of whom shows this.
    pub fn client_with(&self, secret: &str) -> anyhow::Result<Client> {
        let options = ClientOptions {
            url: format!("https://127.0.0.1:{}", self.http),
            token: Some(secret.to_owned()),
            authority_pem: Some(self.read("authority.cert")?),
        };
        Client::new(options).context("a client")
    }

    fn read(&self, name: &str) -> std::io::Result<String> {
        std::fs::read_to_string(self.folder.join("core").join(name))
    }

    pub fn scope(&self) -> anyhow::Result<Scope> {
        Ok(self.client()?.within(&Name::default_project()))
    }

    /// Where components connect to.
    pub fn grpc(&self) -> String {
        format!("https://127.0.0.1:{}", self.grpc)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// An image of these bytes.
    pub async fn import(&self, name: &Name, bytes: Vec<u8>) -> anyhow::Result<()> {
        let scope = self.scope()?;
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        let bytes = std::io::Cursor::new(bytes);
        scope.blob().upload(&digest, size, bytes, |_| {}).await?;
        let spec = ImageSpec {
            digest,
            initrd: None,
            command_line: String::new(),
        };
        scope.image().create(name, spec, None).await?;
        Ok(())
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(folder.join("core.log")).context("the core's log")?;
    Command::new(program("rhyzome-api")?)
        .arg("--config")
        .arg(folder.join("api.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("the core cannot be started")
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a port")?;
    Ok(listener.local_addr()?.port())
}

/// The processor time that a process has used.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // Fields 14 and 15, counted behind the name (proc_pid_stat(5)); in hundredths of a second.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// What a process has in RAM (its resident set), in bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = kibibytes.and_then(|text| text.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes
        .with_context(|| format!("{path} has no VmRSS"))?
        .parse()?;
    Ok(kibibytes * 1024)
}
