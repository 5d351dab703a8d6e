//! A core in a process of its own that can be killed, behind a proxy, and `rhyzome` for it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rhyzome_testkit::{Disk, Proxy};
use tempfile::TempDir;

use crate::{own_port, wait_for};

pub struct Core {
    pub folder: TempDir,
    pub proxy: Proxy,
    http: SocketAddr,
    /// Where components connect to.
    pub grpc: SocketAddr,
    child: Child,
    settings: Vec<String>,
}

impl Core {
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// A core that is set up otherwise in something.
    pub fn start_with(settings: Vec<String>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    fn start_in(folder: TempDir, settings: Vec<String>) -> Self {
        let [http, grpc] =
            [own_port(), own_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let child = spawn(folder.path(), http, grpc, &settings);
        let this = Self {
            proxy: Proxy::to(http),
            folder,
            http,
            grpc,
            child,
            settings,
        };
        this.wait();
        this
    }

    /// A core on a disk, and whoever uses it too.
    pub fn start_on(disk: &Disk) -> Self {
        Self::start_in(tempfile::tempdir_in(disk.path()).unwrap(), Vec::new())
    }

    fn wait(&self) {
        let token = self.state().join("admin.token");
        wait_for("the core listens", || {
            token.exists() && std::net::TcpStream::connect(self.http).is_ok()
        });
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("core")
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn again(&mut self) {
        self.child = spawn(self.folder.path(), self.http, self.grpc, &self.settings);
        self.wait();
    }

    /// `rhyzome` with arguments, by way of the proxy.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhyzome"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("RHYZOME_URL", format!("http://{}", self.proxy.address))
            .env("RHYZOME_TOKEN_FILE", self.state().join("admin.token"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Where it listens itself.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    pub fn run(&self, arguments: &[&str]) -> Told {
        Told::of(&self.command(arguments).output().unwrap())
    }

    /// The files that its image host has.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.state().join("blobs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push(entry.path()),
                }
            }
        }
        found
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another program of the workspace, built before: `cargo build --workspace --bins`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_rhyzome")).with_file_name(name)
}

/// What came of a command.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Told {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    pub fn of_child(child: Child) -> Self {
        Self::of(&child.wait_with_output().unwrap())
    }

    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Ended with a code, and said something.
    #[track_caller]
    pub fn refused(self, code: i32, part: &str) -> Self {
        assert!(
            self.code == Some(code) && self.stderr.contains(part),
            "{self:?}"
        );
        self
    }
}

fn spawn(folder: &Path, http: SocketAddr, grpc: SocketAddr, more: &[String]) -> Child {
    let settings = [
        format!("state_dir={}", folder.join("core").display()),
        format!("http_bind={http}"),
        format!("grpc_bind={grpc}"),
        "tls.mode=off".to_owned(),
    ];
    let mut options = fs::File::options();
    let options = options.create(true).append(true);
    let log = options.open(folder.join("core.log")).unwrap();
    Command::new(program("rhyzome-api"))
        .args(
            settings
                .iter()
                .chain(more)
                .flat_map(|setting| ["--set", setting]),
        )
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("the core's program is there: cargo build --workspace --bins")
}
