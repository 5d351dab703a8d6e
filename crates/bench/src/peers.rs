//! Peers that come and go while others use the network: how long until the endpoint has acknowledged it,
//! and how many packets of another peer are lost meanwhile.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use futures::future::try_join_all;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, socket,
};
use rhyzome_client::{Deleted, Scope};
use rhyzome_end_to_end::frame::checksum;
use rhyzome_end_to_end::operator::name;
use rhyzome_end_to_end::{Place, place, programs};
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::role::Role;
use rhyzome_model::status::Phase;
use rhyzome_model::user::InvitationSpec;
use rhyzome_wireguard::endpoint::{self, Control, EndpointOptions, Program};
use rhyzome_wireguard::key::PrivateKey;
use rhyzome_wireguard::peers::{Changes, Peer};
use serde_json::json;

use crate::figures::{Figures, Times, milliseconds};
use crate::site::{self, PATIENCE, Site};

/// Clients that make the peers that are there beforehand.
const CLIENTS: usize = 8;
/// From one packet to the next.
const PACE: Duration = Duration::from_millis(2);

pub async fn measure(quick: bool) -> anyhow::Result<Figures> {
    let (sizes, times): (&[usize], _) = match quick {
        true => (&[1, 10], 3),
        false => (&[1, 10, 100, 1000], 25),
    };
    site::measured(async move |site| measure_on(&site, sizes, times).await).await
}

async fn measure_on(site: &Site<'_>, sizes: &[usize], times: usize) -> anyhow::Result<Figures> {
    let observer = Observer::begin(site).await?;
    // With the first packets its session begins.
    let flow = Flow::start(&site.world.member, observer.router);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (sent, lost) = flow.stop();
    ensure!(lost < sent as usize, "the observer reaches nothing");
    let mut figures = Figures::default();
    figures.insert("name", "peers");
    let peers = site.scope.peer();
    let mut there = 1;
    let mut rows = Vec::new();
    for size in sizes {
        fill(site, there, *size).await?;
        there = *size;
        let flow = Flow::start(&site.world.member, observer.router);
        let (mut added, mut removed) = (Times::default(), Times::default());
        for _ in 0..times {
            let asked = Instant::now();
            add(site, "passing").await?;
            added.push(asked.elapsed());
            let asked = Instant::now();
            let passing = name("passing");
            let gone = peers.delete(&passing, None, Some(PATIENCE)).await?;
            ensure!(matches!(gone, Deleted::Gone(_)), "a peer stays");
            removed.push(asked.elapsed());
        }
        let (sent, lost) = flow.stop();
        rows.push(json!({
            "peers": size,
            "add_p50_ms": added.percentile(50),
            "add_p99_ms": added.percentile(99),
            "remove_p50_ms": removed.percentile(50),
            "remove_p99_ms": removed.percentile(99),
            "changes": 2 * times,
            "packets_of_another_peer": sent,
            "lost": lost,
        }));
    }
    figures.insert("peers", rows);
    let mut revocations = Vec::new();
    for size in sizes {
        revocations.push(revocation(site, *size).await?);
    }
    figures.insert("revocation", revocations);
    observer.end(&site.world.member);
    Ok(figures)
}

/// A member with so many devices is taken out of the project: how long from the core's answer until the endpoint has
/// confirmed the last of them.
async fn revocation(site: &Site<'_>, size: usize) -> anyhow::Result<serde_json::Value> {
    let spec = InvitationSpec {
        role: Role::Member,
        expires_in: None,
    };
    let code = site.scope.invitation().mint(spec).await?.code;
    let member = name(&format!("member-{size}"));
    let stranger = site.operator.client().without_token();
    let redeemed = stranger.redeem(&code, Some(&member)).await?;
    let session = redeemed.session.context("a session")?;
    let own = stranger
        .with_token(&session.secret)?
        .within(&redeemed.project);
    let clients = (0..CLIENTS).map(async |client| {
        for number in (0..size).skip(client).step_by(CLIENTS) {
            add_to(&own, &format!("{member}-{number}")).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await?;
    let members = site.scope.member();
    let asked = Instant::now();
    let mut lost = members.remove(&member, None).await?;
    let answered = Instant::now();
    while !lost.is_confirmed() {
        ensure!(answered.elapsed() < PATIENCE, "not confirmed: {lost:#?}");
        tokio::time::sleep(PACE).await;
        lost = members.revocation(&member).await?;
    }
    Ok(json!({
        "peers": size,
        "answer_ms": milliseconds(answered - asked),
        "confirmed_after_answer_ms": milliseconds(answered.elapsed()),
    }))
}

/// Makes a peer of a key that nobody uses, and waits until the endpoint has it.
async fn add(site: &Site<'_>, peer: &str) -> anyhow::Result<()> {
    add_to(&site.scope, peer).await
}

async fn add_to(scope: &Scope, peer: &str) -> anyhow::Result<()> {
    let public_key = PrivateKey::generate(&mut rand::rng())
        .public_key()
        .to_string();
    let spec = PeerSpec {
        public_key,
        networks: vec![name("lab")],
    };
    let (peers, peer) = (scope.peer(), name(peer));
    let made = peers.create(&peer, spec, Some(PATIENCE)).await?;
    ensure!(made.status.phase == Phase::Ready, "{made:#?}");
    Ok(())
}

/// Makes peers until there are so many.
async fn fill(site: &Site<'_>, there: usize, wanted: usize) -> anyhow::Result<()> {
    let clients = (0..CLIENTS).map(async |client| {
        for number in (there..wanted).skip(client).step_by(CLIENTS) {
            add(site, &format!("peer-{number}")).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await?;
    Ok(())
}

/// A member's machine with a WireGuard interface, which is a peer like the others.
struct Observer {
    folder: std::path::PathBuf,
    /// The network's router, which answers pings.
    router: Ipv4Addr,
}

impl Observer {
    async fn begin(site: &Site<'_>) -> anyhow::Result<Self> {
        let member = &site.world.member;
        let folder = site.world.path("member").join("observer");
        let mut options = EndpointOptions {
            dir: folder.clone(),
            interface: "observer".to_owned(),
            namespace: None,
            listen_port: 51000,
            mtu: 1340,
            addresses: Vec::new(),
            routes: vec![site.network.status.ipv4.into()],
            wg_link: None,
        };
        let program = Program {
            path: programs::binary("rhyzome-linux"),
            args: vec!["wireguard-endpoint".to_owned()],
        };
        let key = member
            .block_on(async || {
                let running = endpoint::spawn(&options, &program).await;
                running.map(|running| running.status.public_key)
            })
            .context("the observer's WireGuard")?;
        let spec = PeerSpec {
            public_key: key.to_string(),
            networks: vec![name("lab")],
        };
        let (peers, observer) = (site.scope.peer(), name("observer"));
        let me = peers.create(&observer, spec, Some(PATIENCE)).await?;
        ensure!(me.status.phase == Phase::Ready, "{me:#?}");
        // The address is known only now.
        options.addresses = vec![IpAddr::from(me.status.ipv4).into()];
        let network = me.status.networks.first().context("its network")?;
        let address = network.endpoint.address.as_deref().context("an endpoint")?;
        let address: SocketAddr = address.parse().context("an address")?;
        let far = network.endpoint.public_key.as_deref().context("its key")?;
        let mut far = Peer::new(far.parse()?, [network.ipv4.into()]);
        far.endpoint = Some(address);
        far.keepalive = Some(25);
        let changes = Changes {
            add: vec![far],
            ..Changes::default()
        };
        let applied = member
            .block_on(async || {
                endpoint::ensure(&options, &program)
                    .await
                    .map_err(|error| anyhow!(error))?;
                let mut control = Control::connect(&folder).await?;
                anyhow::Ok(control.apply(&changes).await?)
            })
            .context("the observer's peer")?;
        ensure!(applied.failed.is_empty(), "{applied:?}");
        Ok(Self {
            folder,
            router: site.network.status.router_ipv4,
        })
    }

    fn end(&self, member: &Place) {
        let ended = member.block_on(async || endpoint::stop(&self.folder).await);
        if let Err(error) = ended {
            eprintln!("the observer's WireGuard stays: {error}");
        }
    }
}

/// Pings at a steady pace.
struct Flow {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, HashSet<u32>)>,
}

impl Flow {
    fn start(from: &Place, to: Ipv4Addr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (namespace, stopped) = (from.name().to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            place::enter(&namespace);
            ping(to, &stopped)
        });
        Self { stop, thread }
    }

    /// How many were sent, and how many were not answered.
    fn stop(self) -> (u32, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, answered) = self.thread.join().expect("it panics for nothing");
        (sent, sent as usize - answered.len())
    }
}

/// Echo requests (RFC 792) with a number each, until it is stopped and a second longer for answers.
fn ping(to: Ipv4Addr, stop: &AtomicBool) -> (u32, HashSet<u32>) {
    const REQUEST: u8 = 8;
    const LATE: Duration = Duration::from_secs(1);
    let flags = SockFlag::SOCK_NONBLOCK;
    let socket = socket(
        AddressFamily::Inet,
        SockType::Raw,
        flags,
        SockProtocol::Icmp,
    );
    let socket = socket.expect("needs root");
    let address = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
    let (mut sent, mut answered) = (0_u32, HashSet::new());
    let mut buffer = [0; 2048];
    let mut until = None;
    while until.is_none_or(|until| Instant::now() < until) {
        if until.is_none() {
            let mut packet = [REQUEST, 0, 0, 0, b'r', b'z', 0, 0, 0, 0, 0, 0];
            packet[8..].copy_from_slice(&sent.to_be_bytes());
            let sum = checksum(&packet).to_be_bytes();
            packet[2..4].copy_from_slice(&sum);
            // One that the kernel does not take is lost, as the others are.
            let _lost = sendto(socket.as_raw_fd(), &packet, &address, MsgFlags::empty());
            sent += 1;
            if stop.load(Ordering::Relaxed) {
                until = Some(Instant::now() + LATE);
            }
        }
        std::thread::sleep(PACE);
        while let Ok(size) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            // Behind an IPv4 header without options: an answer of kind 0 to one of ours.
            if let Some([0, 0, _, _, b'r', b'z', _, _, number @ ..]) = buffer.get(20..size)
                && let Ok(number) = number.try_into()
            {
                answered.insert(u32::from_be_bytes(number));
            }
        }
    }
    (sent, answered)
}
