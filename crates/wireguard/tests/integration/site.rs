//! A site in miniature: a host, a client with a cable to it, and networks behind the host.
//!
//! Everything is in network namespaces named after the test's process, which go with the [`Site`],
//! also when a test fails.

use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rhyzome_wireguard::config::{ClientConfig, HostPort, KEEPALIVE, PeerConfig};
use rhyzome_wireguard::endpoint::{self, Control, EndpointOptions, Program, Running, Status};
use rhyzome_wireguard::key::{PrivateKey, PublicKey};
use rhyzome_wireguard::peers::{Changes, Peer};
use rhyzome_wireguard::tunnel::kernel::Holder;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);

static SITES: AtomicU32 = AtomicU32::new(0);

pub struct Site {
    name: String,
    temp: tempfile::TempDir,
    namespaces: Vec<String>,
}

/// One network: its namespace, and its endpoint's options.
pub struct Network {
    pub options: EndpointOptions,
    pub namespace: String,
    index: u8,
}

/// One device of a member.
pub struct Device {
    pub key: PrivateKey,
    pub addresses: Vec<IpNet>,
}

impl Site {
    /// A host at 192.0.2.1 and 2001:db8::1, and a client at 192.0.2.2 and 2001:db8::2.
    pub fn new() -> Self {
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let name = format!("rw{}x{number}", std::process::id());
        let mut site = Self {
            name,
            temp: tempfile::tempdir().unwrap(),
            namespaces: Vec::new(),
        };
        let host = site.namespace("h");
        let client = site.namespace("c");
        run(&format!(
            "ip -n {host} link add wire type veth peer name wire netns {client}"
        ));
        for (namespace, last) in [(&host, 1), (&client, 2)] {
            run(&format!(
                "ip -n {namespace} addr add 192.0.2.{last}/24 dev wire"
            ));
            run(&format!(
                "ip -n {namespace} addr add 2001:db8::{last}/64 dev wire nodad"
            ));
            run(&format!("ip -n {namespace} link set wire up"));
        }
        site
    }

    /// A network 10.INDEX.0.0/24 and fd00:INDEX::/64 with servers' addresses ending in 10, whose
    /// endpoint is to listen on port 51820 + INDEX.
    pub fn network(&mut self, index: u8) -> Network {
        let namespace = self.namespace(&format!("n{index}"));
        for address in [
            format!("10.{index}.0.10/32"),
            format!("fd00:{index}::10/128"),
        ] {
            run(&format!("ip -n {namespace} addr add {address} dev lo"));
        }
        let options = EndpointOptions {
            dir: self.temp.path().join(format!("endpoint{index}")),
            interface: format!("wg{index}"),
            namespace: Some(path_of(&namespace)),
            listen_port: 51820 + u16::from(index),
            mtu: 1420,
            addresses: vec![
                format!("10.{index}.0.1/32").parse().unwrap(),
                format!("fd00:{index}::1/128").parse().unwrap(),
            ],
            routes: vec![
                "10.200.0.0/16".parse().unwrap(),
                "fd00:200::/48".parse().unwrap(),
            ],
            wg_link: None,
        };
        Network {
            options,
            namespace,
            index,
        }
    }

    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    pub fn client_namespace(&self) -> String {
        format!("{}c", self.name)
    }

    pub fn host_namespace(&self) -> String {
        format!("{}h", self.name)
    }

    /// Runs something in the host's namespace, with a runtime.
    pub fn on_host<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        inside(&self.host_namespace(), work)
    }

    /// Runs something in the client's namespace, with a runtime.
    pub fn on_client<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        inside(&self.client_namespace(), work)
    }

    /// Starts the network's endpoint on the host.
    pub fn start(&self, network: &Network) -> Running {
        let options = &network.options;
        self.on_host(async || endpoint::spawn(options, &program()).await.unwrap())
    }

    /// The names that programs run by `ip netns exec` in the client's namespace find.
    pub fn client_hosts(&self, text: &str) {
        let folder = names_of(&self.client_namespace());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("hosts"), text).unwrap();
    }

    fn namespace(&mut self, suffix: &str) -> String {
        let name = format!("{}{suffix}", self.name);
        run(&format!("ip netns add {name}"));
        self.namespaces.push(name.clone());
        run(&format!("ip -n {name} link set lo up"));
        name
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let dirs = std::fs::read_dir(self.temp.path()).into_iter().flatten();
        let dirs: Vec<PathBuf> = dirs.flatten().map(|entry| entry.path()).collect();
        let stopper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            for dir in dirs {
                let stopped = runtime.as_ref().map(|rt| rt.block_on(endpoint::stop(&dir)));
                if !matches!(stopped, Ok(Ok(_))) {
                    eprintln!("an endpoint was left behind: {stopped:?}");
                }
            }
        });
        let _ = stopper.join();
        for name in &self.namespaces {
            let removed = Command::new("ip").args(["netns", "del", name]).status();
            if !removed.is_ok_and(|status| status.success()) {
                eprintln!("the namespace {name} was left behind");
            }
            let _ = std::fs::remove_dir_all(names_of(name));
        }
    }
}

impl Network {
    /// The address of its servers.
    pub fn server(&self, v6: bool) -> IpAddr {
        match v6 {
            true => format!("fd00:{}::10", self.index).parse().unwrap(),
            false => format!("10.{}.0.10", self.index).parse().unwrap(),
        }
    }

    /// The configuration of a device that reaches these networks, each through its endpoint.
    pub fn config(device: &Device, networks: &[(&Network, PublicKey)], host: &str) -> ClientConfig {
        let peers = networks.iter().map(|(network, key)| PeerConfig {
            public_key: *key,
            preshared_key: None,
            endpoint: HostPort::new(host, network.options.listen_port).unwrap(),
            allowed_ips: vec![
                format!("10.{}.0.0/24", network.index).parse().unwrap(),
                format!("fd00:{}::/64", network.index).parse().unwrap(),
            ],
            keepalive: Some(KEEPALIVE),
        });
        ClientConfig {
            private_key: device.key.clone(),
            addresses: device.addresses.clone(),
            dns: Vec::new(),
            search: Vec::new(),
            mtu: Some(1420),
            peers: peers.collect(),
        }
    }
}

impl Device {
    /// The device with the addresses 10.200.0.NUMBER and fd00:200::NUMBER.
    pub fn new(number: u8) -> Self {
        Self {
            key: PrivateKey::generate(&mut StdRng::seed_from_u64(number.into())),
            addresses: vec![
                format!("10.200.0.{number}/32").parse().unwrap(),
                format!("fd00:200::{number}/128").parse().unwrap(),
            ],
        }
    }

    pub fn peer(&self) -> Peer {
        Peer::new(self.key.public_key(), self.addresses.clone())
    }
}

/// Makes these peers known to an endpoint.
pub async fn admit(network: &Network, devices: &[&Device]) {
    let changes = Changes {
        add: devices.iter().map(|device| device.peer()).collect(),
        ..Changes::default()
    };
    let applied = control(network).await.apply(&changes).await.unwrap();
    assert_eq!(applied.failed, []);
}

/// Makes an endpoint forget a peer.
pub async fn expel(network: &Network, device: &Device) {
    let changes = Changes {
        remove: vec![device.key.public_key()],
        ..Changes::default()
    };
    control(network).await.apply(&changes).await.unwrap();
}

pub async fn control(network: &Network) -> Control {
    Control::connect(&network.options.dir).await.unwrap()
}

pub async fn status(network: &Network) -> Status {
    control(network).await.status().await.unwrap()
}

/// The example of this crate, which stands beside the tests.
pub fn program() -> Program {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let path = target.join("examples/wireguard");
    assert!(path.exists(), "build the example first: {}", path.display());
    Program {
        path,
        args: vec!["wireguard-endpoint".to_owned()],
    }
}

/// The same as a tunnel's holder.
pub fn holder() -> Holder {
    Holder {
        path: program().path,
        args: vec!["tunnel-holder".to_owned()],
    }
}

/// Runs something on a thread in the namespace, with a runtime.
pub fn inside<T: Send>(namespace: &str, work: impl AsyncFnOnce() -> T + Send) -> T {
    let within = || {
        enter(namespace);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(work())
    };
    std::thread::scope(|scope| match scope.spawn(within).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Moves the calling thread into the namespace.
pub fn enter(namespace: &str) {
    let file = File::open(path_of(namespace)).unwrap();
    setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
}

/// See ip-netns(8).
fn names_of(namespace: &str) -> PathBuf {
    Path::new("/etc/netns").join(namespace)
}

pub fn path_of(namespace: &str) -> PathBuf {
    Path::new("/run/netns").join(namespace)
}

/// Runs a command that has to succeed, and gives back what it wrote.
pub fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the condition holds; a test that waits in vain says for what.
pub async fn wait_for(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let bound = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < bound, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
