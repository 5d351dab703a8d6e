//! A PostgreSQL of a test's own, which can be stopped and started again, and asked for TLS.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use rhyzome_store::Store;
use rhyzome_testkit::wait_for;
use tempfile::TempDir;

/// A server with nothing in it. It ends with the test, also when that is killed.
pub struct Postgres {
    child: Option<Child>,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl Postgres {
    /// A server on loopback. `files` are put beside its data, where its options find them by their names.
    pub async fn start(files: &[(&str, &str)], options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("rz-pg").tempdir_in("/tmp");
        let folder = folder.expect("a folder");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mut this = Self {
            child: None,
            port,
            options: options.iter().map(ToString::to_string).collect(),
            folder,
        };
        this.own(this.folder.path());
        let made = this
            .command("initdb")
            .args(["-U", "rhyzome", "-A", "trust", "-E", "UTF8", "--locale=C"])
            .args(["--no-sync", "-D"])
            .arg(this.data())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{made:?}");
        for (name, text) in files {
            let path = this.data().join(name);
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
            this.own(&path);
        }
        drop(listener);
        this.start_again().await;
        this
    }

    /// Starts it, and waits until it answers.
    pub async fn start_again(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        // What is thrown away need not be on a disk; it has to survive the server's end, not the machine's.
        let folder = self.folder.path().display().to_string();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        for option in [
            "listen_addresses=127.0.0.1",
            &format!("port={}", self.port),
            &format!("unix_socket_directories={folder}"),
            "fsync=off",
            "autovacuum=off",
        ] {
            command.args(["-c", option]);
        }
        for option in &self.options {
            command.args(["-c", option]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("postgres runs"));
        let url = self.socket_url();
        wait_for("PostgreSQL answers", async || {
            let store = Store::open_as_it_is(&url).await.ok()?;
            store.close().await;
            Some(())
        })
        .await;
    }

    /// As `pg_ctl stop -m immediate` does: sessions are cut off, and nothing is written down any more.
    pub fn stop_at_once(&mut self) {
        let stopped = self
            .command("pg_ctl")
            .args(["stop", "-m", "immediate", "-w", "-D"])
            .arg(self.data())
            .output()
            .expect("pg_ctl runs");
        assert!(stopped.status.success(), "{stopped:?}");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("its end");
        }
    }

    /// Over TCP; the query stands behind a `?`.
    pub fn url(&self, host: &str, query: &str) -> String {
        format!("postgres://rhyzome@{host}:{}/postgres?{query}", self.port)
    }

    /// Over its Unix socket.
    pub fn socket_url(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "postgres:///postgres?host={folder}&port={}&user=rhyzome",
            self.port
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// PostgreSQL does not run as root.
    fn command(&self, program: &str) -> Command {
        let program = programs().join(program);
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
            command.args(["--pdeathsig=QUIT", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    fn own(&self, path: &Path) {
        if geteuid().is_root() {
            let user = User::from_name("postgres").expect("the users");
            let user = user.expect("the user postgres");
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("its owner");
            assert_eq!(fs::metadata(path).expect("it").uid(), user.uid.as_raw());
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // It may have ended.
        let pid = i32::try_from(child.id()).expect("a pid");
        let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        let _ = child.wait();
    }
}

/// The newest version that is installed; Debian keeps them beside each other.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut versions: Vec<PathBuf> = versions
        .map(|entry| entry.expect("an entry").path().join("bin"))
        .filter(|path| path.join("initdb").exists())
        .collect();
    let number = |path: &PathBuf| {
        let version = path.parent().and_then(Path::file_name);
        version.and_then(|name| name.to_str()?.parse::<u32>().ok())
    };
    versions.sort_by_key(number);
    versions.pop().expect("PostgreSQL is installed")
}
