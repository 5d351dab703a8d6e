//! What a tunnel carries: the member's `rhyzome forward` and a network's endpoint, against wireguard-go and
//! gotatun with the kernel's TCP on top, between the same two namespaces. Needs root.
//!
//! ```text
//!   client's namespace                         host's namespace
//!   streams ── forward, or a TUN device ══ UDP ══ endpoint's TUN device ── server
//!                                          └ a relay that delays and loses, in the lossy cells
//! ```

mod end;
mod flow;
mod relay;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rhyzome_end_to_end::Place;
use serde_json::{Value, json};

use crate::figures::{Figures, rounded};
use end::{Client, Endpoint, Kind};
use flow::{Server, Way};
use relay::Relay;

/// The two ends of the wire.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The two ends of the tunnel.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const MTU: u16 = 1420;

/// Who speaks with whom. The first is what the others are compared to.
const PAIRS: [(Kind, Kind); 5] = [
    (Kind::WireguardGo, Kind::WireguardGo),
    (Kind::Gotatun, Kind::Gotatun),
    (Kind::Rhyzome, Kind::Rhyzome),
    (Kind::Rhyzome, Kind::WireguardGo),
    (Kind::WireguardGo, Kind::Rhyzome),
];

/// How packets travel in the lossy cells: 20 ms there and back, one in a thousand lost.
const DELAY: Duration = Duration::from_millis(10);
const LOSS: f64 = 0.001;

struct Scale {
    streams: &'static [usize],
    rounds: usize,
    clean: Duration,
    lossy: Duration,
}

const WHOLE: Scale = Scale {
    streams: &[1, 8],
    rounds: 2,
    clean: Duration::from_secs(3),
    lossy: Duration::from_secs(6),
};

const QUICK: Scale = Scale {
    streams: &[1],
    rounds: 1,
    clean: Duration::from_secs(1),
    lossy: Duration::from_secs(2),
};

pub async fn measure(quick: bool) -> anyhow::Result<Figures> {
    let scale = if quick { QUICK } else { WHOLE };
    // Threads that block, in namespaces: nothing of it is the runtime's.
    tokio::task::spawn_blocking(move || compare(&scale))
        .await
        .context("the measurement failed, see above")?
}

/// Which streams, over what: one row of the table.
#[derive(Clone, Copy, PartialEq)]
struct Cell {
    way: Way,
    streams: usize,
    lossy: bool,
}

fn cells(scale: &Scale) -> Vec<Cell> {
    let mut cells = Vec::new();
    for lossy in [false, true] {
        for way in [Way::Up, Way::Down] {
            for streams in scale.streams.iter().copied() {
                cells.push(Cell {
                    way,
                    streams,
                    lossy,
                });
            }
        }
    }
    cells
}

fn compare(scale: &Scale) -> anyhow::Result<Figures> {
    let wires = Wires::lay()?;
    let cells = cells(scale);
    let mut carried = vec![[0.0; PAIRS.len()]; cells.len()];
    for round in 0..scale.rounds {
        for (pair, (client, endpoint)) in PAIRS.into_iter().enumerate() {
            let tunnel = Tunnel::begin(&wires, client, endpoint)
                .with_context(|| format!("{client} to {endpoint}"))?;
            for (cell, carried) in cells.iter().zip(&mut carried) {
                let rate = tunnel.carry(*cell, round, scale)?;
                carried[pair] += rate / scale.rounds as f64;
            }
            tunnel.end();
        }
    }
    let mut figures = Figures::default();
    figures.insert("name", "tunnel");
    let rows = cells
        .iter()
        .zip(&carried)
        .map(|(cell, carried)| row(*cell, carried));
    figures.insert("cells", rows.collect::<Vec<_>>());
    Ok(figures)
}

/// Megabits in a second of each pair, and as a part of the first one's.
fn row(cell: Cell, carried: &[f64; PAIRS.len()]) -> Value {
    let mut row = json!({
        "way": cell.way.to_string(),
        "streams": cell.streams,
        "path": if cell.lossy { "20 ms, 0.1% lost" } else { "clean" },
    });
    for ((client, endpoint), rate) in PAIRS.iter().zip(carried) {
        let name = format!("{client} to {endpoint}");
        row[format!("{name}, Mbit/s")] = rounded(*rate, 10.0).into();
        if (*client, *endpoint) != PAIRS[0] {
            row[format!("{name}, ratio")] = rounded(rate / carried[0], 100.0).into();
        }
    }
    row
}

/// Two machines and the wire between them.
struct Wires {
    client: Place,
    host: Place,
    folder: tempfile::TempDir,
}

impl Wires {
    fn lay() -> anyhow::Result<Self> {
        let name = |end: &str| format!("rzb{}{end}", std::process::id());
        let wires = Self {
            client: Place::new(name("c")),
            host: Place::new(name("h")),
            folder: tempfile::tempdir().context("a folder")?,
        };
        let (client, host) = (&wires.client, &wires.host);
        client.ip(&format!(
            "link add wire type veth peer name wire netns {}",
            host.name()
        ));
        for (place, address) in [(client, CLIENT), (host, HOST)] {
            place.ip(&format!("address add {address}/24 dev wire"));
            place.ip("link set wire up");
        }
        Ok(wires)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A tunnel between two programs, with a server behind it.
struct Tunnel<'w> {
    wires: &'w Wires,
    endpoint: Endpoint,
    server: Server,
    kind: Kind,
}

impl<'w> Tunnel<'w> {
    fn begin(wires: &'w Wires, client: Kind, endpoint: Kind) -> anyhow::Result<Self> {
        let endpoint = Endpoint::start(&wires.host, endpoint, wires.path())?;
        Ok(Self {
            wires,
            endpoint,
            server: Server::start(&wires.host, FAR)?,
            kind: client,
        })
    }

    /// Megabits in a second.
    fn carry(&self, cell: Cell, round: usize, scale: &Scale) -> anyhow::Result<f64> {
        let direct = SocketAddr::V4(SocketAddrV4::new(HOST, end::PORT));
        let relay = match cell.lossy {
            true => Some(Relay::start(
                &self.wires.host,
                HOST,
                end::PORT,
                DELAY,
                LOSS,
                round as u64,
            )?),
            false => None,
        };
        let by = relay.as_ref().map_or(direct, Relay::address);
        let server = SocketAddrV4::new(FAR, self.server.port());
        let client = Client::start(
            &self.wires.client,
            self.kind,
            &self.endpoint,
            by,
            server,
            self.wires.path(),
        )?;
        let lasts = if cell.lossy { scale.lossy } else { scale.clean };
        let rate = self.server.measure(
            &self.wires.client,
            client.server(),
            cell.way,
            cell.streams,
            lasts,
        );
        client.end();
        rate
    }

    fn end(self) {
        self.endpoint.end(&self.wires.host);
    }
}
