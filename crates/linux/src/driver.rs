//! The driver: what the job loop calls, with a lock for each network.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rhyzome_component::together::Together;
use rhyzome_component::{Differs, Driver, DriverError, Progress};
use rhyzome_hostnet::forwarding::{self, Before};
use rhyzome_hostnet::{Mark, Tunnels, Underlay, host_warnings, nft, underlay};
use rhyzome_model::component::HostFacts;
use rhyzome_model::job::Action;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::{ComponentId, LeaseId, NetworkId, PeerId};

use crate::error::Error;
use crate::layout::Layout;
use crate::peer::{self, Ask};
use crate::record::Record;
use crate::settings::Settings;
use crate::step::{Interrupt, Step};
use crate::watch::Watch;
use crate::{inventory, lease, network};

const KINDS: [PlacementKind; 4] = [
    PlacementKind::Network,
    PlacementKind::Vtep,
    PlacementKind::Lease,
    PlacementKind::Peer,
];

/// Networks, leases and peers on a Linux host. Acts on the network namespace of its process.
pub struct LinuxDriver {
    settings: Settings,
    mark: Mark,
    turns: Mutex<HashMap<NetworkId, Arc<Turn>>>,
    watch: Watch,
    underlay: Underlay,
    interrupt: Option<Interrupt>,
}

/// Whose turn it is at a network.
#[derive(Default)]
struct Turn {
    lock: Arc<tokio::sync::Mutex<()>>,
    /// What is asked about its peers, until somebody has the lock.
    peers: Together<Ask, Error>,
}

impl LinuxDriver {
    pub fn new(mut settings: Settings) -> Self {
        // Its processes are found by this path.
        if let Ok(absolute) = std::path::absolute(&settings.state_dir) {
            settings.state_dir = absolute.components().collect();
        }
        let mark = settings.mark();
        Self {
            underlay: Underlay::new(settings.tunnel.clone()),
            settings,
            mark,
            turns: Mutex::default(),
            watch: Watch::new(),
            interrupt: None,
        }
    }

    /// For tests: asks before each step whether to end the workflow there.
    #[must_use]
    pub fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self {
            interrupt: Some(interrupt),
            ..self
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    pub(crate) async fn tunnels(&self) -> Tunnels {
        Tunnels::of(self.mark, self.underlay.address().await)
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(crate) fn layout(&self, network: NetworkId) -> Layout {
        Layout::new(&self.settings.state_dir, self.mark, network)
    }

    pub(crate) fn reach(&self, step: Step, progress: &Progress) -> Result<(), Error> {
        progress.begin(step).map_err(Error::Injected)?;
        match &self.interrupt {
            Some(interrupt) if interrupt(step) => Err(Error::Interrupted(step.as_str())),
            _ => Ok(()),
        }
    }

    fn turn(&self, network: NetworkId) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(network).or_default().clone()
    }

    /// One workflow at a time for each network.
    pub(crate) async fn lock(&self, network: NetworkId) -> tokio::sync::OwnedMutexGuard<()> {
        self.turn(network).lock.clone().lock_owned().await
    }

    /// Does something about a peer, together with all that waits to be done about the network's peers.
    async fn settle(&self, network: NetworkId, ask: &Ask) -> Result<(), Error> {
        let turn = self.turn(network);
        loop {
            let mut answered = turn.peers.put(ask.clone());
            let lock = tokio::select! {
                biased;
                answer = &mut answered => match answer {
                    Ok(answer) => return answer,
                    // Who was at it was ended.
                    Err(_) => continue,
                },
                lock = turn.lock.lock() => lock,
            };
            peer::settle(self, network, turn.peers.take()).await;
            drop(lock);
            if let Ok(answer) = answered.try_recv() {
                return answer;
            }
        }
    }

    async fn bring(&self, placement: &Placement, progress: &Progress) -> Result<Observed, Error> {
        let (id, generation) = (placement.id, placement.generation);
        match &placement.spec {
            PlacementSpec::Network(spec) => {
                let _lock = self.lock(spec.network).await;
                let record = Record {
                    placement: id,
                    generation,
                    spec: spec.clone(),
                };
                network::ensure(self, &record, progress)
                    .await
                    .map(Observed::Network)
            }
            PlacementSpec::Lease(spec) => {
                let _lock = self.lock(spec.network).await;
                self.reach(Step::Leases, progress)?;
                let record = Record {
                    placement: id,
                    generation,
                    spec: spec.clone(),
                };
                lease::ensure(self, &record).await.map(|()| Observed::Lease)
            }
            PlacementSpec::Peer(spec) => {
                self.reach(Step::Peers, progress)?;
                let record = Record {
                    placement: id,
                    generation,
                    spec: spec.clone(),
                };
                let ask = Ask::Ensure(Box::new(record));
                let done = self.settle(spec.network, &ask).await;
                done.map(|()| Observed::Peer)
            }
            PlacementSpec::Vtep(spec) => {
                self.reach(Step::Tunnel, progress)?;
                let tunnels = self.tunnels().await;
                let ensured = tunnels.ensure((id, generation), spec).await;
                ensured.map(|()| Observed::Vtep).map_err(Error::Tunnel)
            }
            other => Err(Error::Kind(other.kind())),
        }
    }

    async fn take_away(&self, target: &PlacementRef, progress: &Progress) -> Result<(), Error> {
        // A lease or peer without its network names nothing that could be found.
        let Some(network) = target.network else {
            return Ok(());
        };
        if target.kind == PlacementKind::Peer {
            self.reach(Step::Peers, progress)?;
            let ask = Ask::Remove(PeerId(target.resource));
            return self.settle(network, &ask).await;
        }
        let _lock = self.lock(network).await;
        match target.kind {
            PlacementKind::Network => network::remove(self, network, progress).await,
            PlacementKind::Vtep => {
                self.reach(Step::Tunnel, progress)?;
                let (tunnels, host) = (self.tunnels().await, ComponentId(target.resource));
                tunnels.remove(network, host).await.map_err(Error::Tunnel)
            }
            PlacementKind::Lease => {
                self.reach(Step::Leases, progress)?;
                lease::remove(self, network, LeaseId(target.resource)).await
            }
            // Never made here.
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Driver for LinuxDriver {
    fn kinds(&self) -> &'static [PlacementKind] {
        &KINDS
    }

    async fn facts(&self) -> Result<HostFacts, DriverError> {
        let tunnel = self.underlay.look().await;
        let mut details = BTreeMap::from([
            ("tunnel".to_owned(), tunnel.said.clone()),
            ("endpoint".to_owned(), "userspace".to_owned()),
            ("mark".to_owned(), self.mark.to_string()),
            (
                "ipv6_egress".to_owned(),
                "none: a unique local prefix has no way out here".to_owned(),
            ),
        ]);
        if self.settings.upstream().is_empty() {
            let why = "none: networks with egress do not resolve names outside; set upstream_dns";
            details.insert("upstream_dns".to_owned(), why.to_owned());
        }
        if matches!(forwarding::before().await, Ok(Before::Off)) {
            let what = "off: while a network has egress, this host forwards IPv4 for nobody else; if it is to, \
                        run down, set net.ipv4.ip_forward to 1, and start again";
            details.insert("forwarding_of_others".to_owned(), what.to_owned());
        }
        for (number, warning) in host_warnings().await.into_iter().enumerate() {
            details.insert(format!("warning_{}", number + 1), warning);
        }
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        let mut facts = HostFacts {
            hostname: hostname.to_string_lossy().into_owned(),
            public_address: self.settings.public_address.clone(),
            endpoint_ports: Some(self.settings.endpoint_ports),
            mtu: Some(tunnel.mtu.unwrap_or(u16::MAX).min(self.settings.mtu)),
            host: underlay::host_id(),
            tunnel_address: tunnel.address,
            tunnel_address_guessed: tunnel.guessed,
            details,
            ..HostFacts::default()
        };
        let settings = &self.settings;
        settings.carrying.tell(&mut facts, settings.mtu).await;
        Ok(facts)
    }

    async fn ensure(
        &self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        let what = format!("cannot keep the {}", placement.spec.kind());
        self.bring(placement, progress)
            .await
            .map_err(|e| e.into_driver(&what))
    }

    async fn remove(&self, target: &PlacementRef, progress: &Progress) -> Result<(), DriverError> {
        let what = format!("cannot remove the {}", target.kind);
        self.take_away(target, progress)
            .await
            .map_err(|e| e.into_driver(&what))
    }

    async fn act(&self, target: &PlacementRef, action: &Action) -> Result<Vec<u8>, DriverError> {
        Err(DriverError::unsupported(format!(
            "nothing can be done to a {} like {action:?}",
            target.kind
        )))
    }

    async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError> {
        inventory::all(self, accepted)
            .await
            .map_err(|e| e.into_driver("cannot look at the networks here"))
    }

    async fn look(&self, placement: &Placement) -> Result<Result<Observed, Differs>, DriverError> {
        let what = format!("cannot look at the {}", placement.spec.kind());
        inventory::one(self, placement)
            .await
            .map_err(|e| e.into_driver(&what))
    }

    async fn disturbed(&self) {
        nft::until_flushed().await;
    }

    async fn changed(&self) -> PlacementRef {
        self.watch.next().await
    }
}
