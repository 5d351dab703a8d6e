//! The two ends of a tunnel, as each of the compared programs makes them.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ipnet::Ipv4Net;
use rhyzome_end_to_end::process::Running;
use rhyzome_end_to_end::{Place, eventually, host};
use rhyzome_wireguard::config::{ClientConfig, HostPort, KEEPALIVE, PeerConfig};
use rhyzome_wireguard::endpoint::{self, Control, EndpointOptions, Program};
use rhyzome_wireguard::key::{PrivateKey, PublicKey};
use rhyzome_wireguard::peers::{Changes, Peer};

use super::{FAR, MTU, NEAR};
use crate::core::program;

/// The endpoint's UDP port.
pub const PORT: u16 = 51820;
/// How long a program may take to be there.
const STARTED: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rhyzome,
    WireguardGo,
    Gotatun,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rhyzome => "rhyzome",
            Self::WireguardGo => "wireguard-go",
            Self::Gotatun => "gotatun",
        })
    }
}

/// The host's end, which knows one client.
pub struct Endpoint {
    key: PublicKey,
    client: PrivateKey,
    run: Run,
}

enum Run {
    /// Its folder.
    Rhyzome(PathBuf),
    Tool(Tool),
}

impl Endpoint {
    pub fn start(place: &Place, kind: Kind, folder: &Path) -> anyhow::Result<Self> {
        let client = PrivateKey::generate(&mut rand::rng());
        if kind == Kind::Rhyzome {
            return rhyzome(place, client, folder.join("endpoint"));
        }
        let own = PrivateKey::generate(&mut rand::rng());
        let peer = format!("peer {} allowed-ips {NEAR}/32", client.public_key());
        let tool = Tool::start(place, kind, ("f", FAR), folder, &own, &peer)?;
        Ok(Self {
            key: own.public_key(),
            client,
            run: Run::Tool(tool),
        })
    }

    pub fn end(self, place: &Place) {
        match self.run {
            Run::Rhyzome(folder) => {
                let ended = place.block_on(async || endpoint::stop(&folder).await);
                if let Err(error) = ended {
                    eprintln!("the endpoint stays: {error}");
                }
                // The next one has another key.
                let _gone = fs::remove_dir_all(folder);
            }
            Run::Tool(tool) => drop(tool),
        }
    }
}

fn rhyzome(place: &Place, client: PrivateKey, folder: PathBuf) -> anyhow::Result<Endpoint> {
    let options = EndpointOptions {
        dir: folder.clone(),
        interface: "far".to_owned(),
        namespace: None,
        listen_port: PORT,
        mtu: MTU,
        addresses: vec![Ipv4Net::new(FAR, 24)?.into()],
        routes: Vec::new(),
        wg_link: None,
    };
    let program = Program {
        path: program("rhyzome-linux")?,
        args: vec!["wireguard-endpoint".to_owned()],
    };
    let changes = Changes {
        add: vec![Peer::new(client.public_key(), [Ipv4Net::from(NEAR).into()])],
        ..Changes::default()
    };
    let key = place.block_on(async || {
        let running = endpoint::spawn(&options, &program).await?;
        let applied = Control::connect(&folder).await?.apply(&changes).await?;
        ensure!(applied.failed.is_empty(), "{applied:?}");
        anyhow::Ok(running.status.public_key)
    })?;
    Ok(Endpoint {
        key,
        client,
        run: Run::Rhyzome(folder),
    })
}

/// The member's end, and where streams go in.
pub struct Client {
    server: SocketAddr,
    run: Through,
}

enum Through {
    Forward(Running),
    Tool(Tool),
}

impl Client {
    /// Speaks to the endpoint at `by`; what goes into it comes out at `to`.
    pub fn start(
        place: &Place,
        kind: Kind,
        endpoint: &Endpoint,
        by: SocketAddr,
        to: SocketAddrV4,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        if kind == Kind::Rhyzome {
            return forward(place, endpoint, by, to, folder);
        }
        let peer = format!("peer {} allowed-ips {FAR}/32 endpoint {by}", endpoint.key);
        let tool = Tool::start(place, kind, ("n", NEAR), folder, &endpoint.client, &peer)?;
        Ok(Self {
            server: to.into(),
            run: Through::Tool(tool),
        })
    }

    pub fn server(&self) -> SocketAddr {
        self.server
    }

    pub fn end(self) {
        match self.run {
            Through::Forward(running) => drop(running),
            Through::Tool(tool) => drop(tool),
        }
    }
}

fn forward(
    place: &Place,
    endpoint: &Endpoint,
    by: SocketAddr,
    to: SocketAddrV4,
    folder: &Path,
) -> anyhow::Result<Client> {
    let config = ClientConfig {
        private_key: endpoint.client.clone(),
        addresses: vec![Ipv4Net::from(NEAR).into()],
        dns: Vec::new(),
        search: Vec::new(),
        mtu: Some(MTU),
        peers: vec![PeerConfig {
            public_key: endpoint.key,
            preshared_key: None,
            endpoint: HostPort::new(&by.ip().to_string(), by.port())?,
            allowed_ips: vec![Ipv4Net::from(FAR).into()],
            keepalive: Some(KEEPALIVE),
        }],
    };
    let (file, log) = (folder.join("client.conf"), folder.join("forward.log"));
    fs::write(&file, config.to_text().as_bytes())?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    // What an earlier one said is not this one's port.
    let _gone = fs::remove_file(&log);
    let mut command = Command::new(program("rhyzome")?);
    command.args([
        "--quiet",
        "forward",
        "--to",
        &to.to_string(),
        "0",
        "--config",
    ]);
    command.arg(file).env("HOME", folder);
    let mut running = Running::start(place, command, &log);
    let mut local = None;
    eventually(STARTED, || {
        local = running.output().lines().find_map(|line| line.parse().ok());
        local.is_some() || running.ended().is_some()
    });
    let server = local.with_context(|| format!("rhyzome forward: {}", running.output()))?;
    Ok(Client {
        server,
        run: Through::Forward(running),
    })
}

/// A program that makes a WireGuard device and is set up by `wg`.
struct Tool {
    _running: Running,
    socket: PathBuf,
}

impl Tool {
    fn start(
        place: &Place,
        kind: Kind,
        (end, address): (&str, Ipv4Addr),
        folder: &Path,
        key: &PrivateKey,
        peer: &str,
    ) -> anyhow::Result<Self> {
        let device = format!("rzb{}{end}", std::process::id());
        let socket = Path::new("/run/wireguard").join(format!("{device}.sock"));
        let mut command = Command::new(Self::program(kind)?);
        if kind == Kind::Gotatun {
            // It asks who is logged in, and nobody may be.
            command.arg("--disable-drop-privileges");
        }
        command.args(["-f", &device]);
        let log = folder.join(format!("{end}.log"));
        let _gone = fs::remove_file(&log);
        let mut running = Running::start(place, command, &log);
        eventually(STARTED, || socket.exists() || running.ended().is_some());
        ensure!(
            socket.exists(),
            "{kind} did not start: {}",
            running.output()
        );
        let tool = Self {
            _running: running,
            socket,
        };
        let file = folder.join(format!("{end}.key"));
        fs::write(&file, key.to_base64().as_bytes())?;
        let port = if end == "f" { PORT } else { 0 };
        let line = format!(
            "set {device} private-key {} listen-port {port} {peer}",
            file.display()
        );
        let words: Vec<&str> = line.split_whitespace().collect();
        place.run(|| host::command("wg", &words, None));
        place.ip(&format!("address add {address}/24 dev {device}"));
        place.ip(&format!("link set {device} mtu {MTU} up"));
        Ok(tool)
    }

    fn program(kind: Kind) -> anyhow::Result<PathBuf> {
        if kind == Kind::Gotatun {
            // Beside what is built here: see `cargo xtask bench`.
            let path = program("../tools/bin/gotatun")?;
            return Ok(path);
        }
        let path = PathBuf::from("/usr/bin/wireguard-go");
        if !path.exists() {
            bail!(
                "{} is not there: apt-get install wireguard-go",
                path.display()
            );
        }
        Ok(path)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Some leave it behind.
        let _gone = fs::remove_file(&self.socket);
    }
}
