//! A host with one network behind it and a member with a cable to the host, in namespaces named after
//! the test's process. They go with the [`Site`], also when a test fails.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rhyzome_wireguard::config::{ClientConfig, HostPort, PeerConfig};
use rhyzome_wireguard::endpoint::{self, Control, EndpointOptions};
use rhyzome_wireguard::key::PrivateKey;
use rhyzome_wireguard::peers::{Changes, Peer};

/// A user who owns nothing.
const NOBODY: u32 = 65534;

static SITES: AtomicU32 = AtomicU32::new(0);

pub struct Site {
    name: String,
    folder: tempfile::TempDir,
    endpoint: Option<JoinHandle<()>>,
    config: PathBuf,
    /// Answers with the first line of the request.
    pub web: SocketAddr,
    pub echo: SocketAddr,
}

impl Site {
    pub fn new() -> Self {
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let name = format!("rc{}x{number}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let nowhere: SocketAddr = "10.7.0.10:0".parse().unwrap();
        let config = folder.path().join("lab.conf");
        let mut site = Self {
            name,
            folder,
            endpoint: None,
            config,
            web: nowhere,
            echo: nowhere,
        };
        site.wire();
        let key = PrivateKey::generate(&mut StdRng::seed_from_u64(1));
        let public_key = site.start_endpoint(&key);
        site.write_config(&site.config, &key, public_key);
        site.web = site.serve(nowhere);
        site.echo = site.listen(nowhere, |mut stream| {
            let mut all = Vec::new();
            stream
                .read_to_end(&mut all)
                .and_then(|_| stream.write_all(&all))
        });
        let program = site.folder.path().join("rhyzome");
        fs::copy(env!("CARGO_BIN_EXE_rhyzome"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        site
    }

    /// The member's configuration.
    pub fn config(&self) -> &str {
        self.config.to_str().unwrap()
    }

    /// A configuration with a key that the endpoint was never told.
    pub fn stranger(&self) -> PathBuf {
        let path = self.folder.path().join("stranger.conf");
        let key = PrivateKey::generate(&mut StdRng::seed_from_u64(2));
        let known = ClientConfig::parse(&fs::read_to_string(&self.config).unwrap()).unwrap();
        self.write_config(&path, &key, known.peers[0].public_key);
        path
    }

    /// `rhyzome …` on the member's machine, as a user without any capability, without any core.
    pub fn member(&self, args: &[&str]) -> Command {
        let user = NOBODY.to_string();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}c", self.name), "setpriv"]);
        command.args([
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--no-new-privs",
        ]);
        command.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
        command.arg(self.folder.path().join("rhyzome")).args(args);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command
    }

    /// Runs something on the member's machine.
    pub fn on_member<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = format!("{}c", self.name);
        let within = move || {
            enter(&namespace);
            work()
        };
        match std::thread::spawn(within).join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// An address of the network that nothing listens at.
    pub fn later(&self) -> SocketAddr {
        SocketAddr::new(self.web.ip(), 7777)
    }

    /// Starts a server that answers each request with its first line; 404 for `/missing`.
    pub fn serve(&self, address: SocketAddr) -> SocketAddr {
        self.listen(address, |mut stream| {
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let count = stream.read(&mut piece)?;
                if count == 0 {
                    return Ok(());
                }
                request.extend_from_slice(&piece[..count]);
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let line = text.lines().next().unwrap_or_default();
            let status = if line.contains("/missing") {
                "404 Not Found"
            } else {
                "200 OK"
            };
            let length = line.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{line}"
            )?;
            stream.shutdown(Shutdown::Write)
        })
    }

    /// Answers connections inside the network, for as long as the test's process lives.
    fn listen(
        &self,
        address: SocketAddr,
        answer: impl Fn(TcpStream) -> std::io::Result<()> + Copy + Send + 'static,
    ) -> SocketAddr {
        let namespace = format!("{}n", self.name);
        let (tell, told) = channel();
        std::thread::spawn(move || {
            enter(&namespace);
            let listener = TcpListener::bind(address).unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        told.recv().unwrap()
    }

    /// Namespaces of the host, the member (c) and the network (n).
    fn wire(&self) {
        let name = &self.name;
        for suffix in ["h", "c", "n"] {
            run(&format!("ip netns add {name}{suffix}"));
            run(&format!("ip -n {name}{suffix} link set lo up"));
        }
        run(&format!(
            "ip -n {name}h link add wire type veth peer name wire netns {name}c"
        ));
        for (suffix, last) in [("h", 1), ("c", 2)] {
            run(&format!(
                "ip -n {name}{suffix} addr add 192.0.2.{last}/24 dev wire"
            ));
            run(&format!("ip -n {name}{suffix} link set wire up"));
        }
        run(&format!("ip -n {name}n addr add 10.7.0.10/32 dev lo"));
    }

    /// Starts the endpoint on a thread in the host's namespace, and lets the member in.
    fn start_endpoint(&mut self, member: &PrivateKey) -> rhyzome_wireguard::key::PublicKey {
        let dir = self.folder.path().join("endpoint");
        let options = EndpointOptions {
            dir: dir.clone(),
            interface: "wg0".to_owned(),
            namespace: Some(Path::new("/run/netns").join(format!("{}n", self.name))),
            listen_port: 51820,
            mtu: 1420,
            addresses: vec!["10.7.0.1/32".parse().unwrap()],
            routes: vec!["10.200.0.0/16".parse().unwrap()],
            wg_link: None,
        };
        let host = format!("{}h", self.name);
        self.endpoint = Some(std::thread::spawn(move || {
            enter(&host);
            runtime().block_on(endpoint::run(options)).unwrap();
        }));
        let peer = Peer::new(member.public_key(), ["10.200.0.2/32".parse().unwrap()]);
        runtime().block_on(async {
            let bound = Instant::now() + Duration::from_secs(20);
            let mut control = loop {
                match Control::connect(&dir).await {
                    Ok(control) => break control,
                    Err(e) => assert!(Instant::now() < bound, "no endpoint: {e}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            let changes = Changes {
                add: vec![peer],
                ..Changes::default()
            };
            assert_eq!(control.apply(&changes).await.unwrap().failed, []);
            control.status().await.unwrap().public_key
        })
    }

    fn write_config(
        &self,
        path: &Path,
        key: &PrivateKey,
        endpoint: rhyzome_wireguard::key::PublicKey,
    ) {
        let config = ClientConfig {
            private_key: key.clone(),
            addresses: vec!["10.200.0.2/32".parse().unwrap()],
            dns: Vec::new(),
            search: Vec::new(),
            mtu: Some(1420),
            peers: vec![PeerConfig {
                public_key: endpoint,
                preshared_key: None,
                endpoint: HostPort::new("192.0.2.1", 51820).unwrap(),
                allowed_ips: vec!["10.7.0.0/24".parse().unwrap()],
                keepalive: Some(25),
            }],
        };
        fs::write(path, config.to_text().as_bytes()).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let dir = self.folder.path().join("endpoint");
        let stopped = runtime().block_on(async {
            match Control::connect(&dir).await {
                Ok(mut control) => control.stop().await,
                Err(e) => Err(e),
            }
        });
        match (stopped, self.endpoint.take()) {
            (Ok(()), Some(endpoint)) => drop(endpoint.join()),
            (stopped, _) => eprintln!("the endpoint was not stopped: {stopped:?}"),
        }
        for suffix in ["h", "c", "n"] {
            let name = format!("{}{suffix}", self.name);
            let removed = Command::new("ip").args(["netns", "del", &name]).status();
            if !removed.is_ok_and(|status| status.success()) {
                eprintln!("the namespace {name} was left behind");
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Moves the calling thread into the namespace.
fn enter(namespace: &str) {
    let file = File::open(Path::new("/run/netns").join(namespace)).unwrap();
    setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
}

/// Runs a command that has to succeed.
fn run(line: &str) {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
