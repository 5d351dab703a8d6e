//! A host that is not there: drivers for both sets of kinds that keep what they made in memory, or in
//! a folder that outlives them. For tests, and for trying Rhyzome out without a hypervisor.
//!
//! They behave as real ones do where the job loop can see it: an instance needs its segments, a lease
//! and a peer their network; what is made stays as it is when it is ensured again; a crash is told, and
//! undone where the restart policy says so. Latency and failures are put in by [`Faults`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::console::ConsoleFrom;
use rhyzome_model::instance::{Firmware, InstancePlacement, InstanceState, Power};
use rhyzome_model::job::Action;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::{Digest, NetworkId, PlacementId, Size, Timestamp};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::driver::{Blobs, Console, Driver, DriverError, Progress};

mod echo;
mod faults;
mod host;

pub use faults::{Fault, Faults};
use host::{Host, Made};

/// What a fake host is like.
#[derive(Clone)]
pub struct Options {
    /// Where what was made is kept; in memory alone by default.
    pub folder: Option<PathBuf>,
    pub facts: HostFacts,
    /// Where the bytes of images come from; they are not fetched by default.
    pub blobs: Option<Arc<dyn Blobs>>,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        let facts = HostFacts {
            hostname: "simulated".to_owned(),
            host: "simulated".to_owned(),
            cpus: 16,
            memory: Size::mib(64 << 10),
            public_address: Some("127.0.0.1".to_owned()),
            endpoint_ports: Some((51_820, 52_819)),
            mtu: Some(1500),
            firmware: vec![Firmware::Bios, Firmware::Uefi],
            bridges: Vec::new(),
            details: BTreeMap::from([("driver".to_owned(), "simulated".to_owned())]),
            ..HostFacts::default()
        };
        Self {
            folder: None,
            facts,
            blobs: None,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A driver for a host that is not there.
pub struct FakeDriver {
    kind: ComponentKind,
    options: Options,
    host: Mutex<Host>,
    faults: Faults,
    tell: mpsc::UnboundedSender<PlacementRef>,
    told: tokio::sync::Mutex<mpsc::UnboundedReceiver<PlacementRef>>,
    disturbance: tokio::sync::Notify,
}

impl FakeDriver {
    /// A hypervisor: instances and segments.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn libvirt(options: Options) -> std::io::Result<Arc<Self>> {
        Self::new(ComponentKind::Libvirt, options)
    }

    /// A router: networks, leases and peers. It gives no resources to instances.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn linux(mut options: Options) -> std::io::Result<Arc<Self>> {
        options.facts.cpus = 0;
        options.facts.memory = Size::bytes(0);
        Self::new(ComponentKind::Linux, options)
    }

    fn new(kind: ComponentKind, options: Options) -> std::io::Result<Arc<Self>> {
        let host = Mutex::new(Host::open(options.folder.clone())?);
        let (tell, told) = mpsc::unbounded_channel();
        let told = tokio::sync::Mutex::new(told);
        Ok(Arc::new(Self {
            kind,
            options,
            host,
            faults: Faults::default(),
            tell,
            told,
            disturbance: tokio::sync::Notify::new(),
        }))
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How many things there are on the host.
    pub fn count(&self) -> usize {
        self.host().all().count()
    }

    /// Whether a placement is there, and in which generation.
    pub fn generation(&self, id: PlacementId) -> Option<u64> {
        self.host().get(id).map(|made| made.placement.generation)
    }

    /// All that is on the host, as it is.
    pub fn contents(&self) -> Vec<(Placement, Observed)> {
        let host = self.host();
        let all = host.all();
        all.map(|made| (made.placement.clone(), made.observed.clone()))
            .collect()
    }

    /// Ends an instance as a broken guest would.
    pub fn crash(&self, id: PlacementId) {
        let mut host = self.host();
        let Some(mut made) = host.get(id).cloned() else {
            return;
        };
        if let Observed::Instance(instance) = &mut made.observed {
            instance.state = InstanceState::Crashed;
            "the guest panicked".clone_into(&mut instance.reason);
            instance.since = self.options.clock.now();
        }
        let target = made.placement.reference();
        if host.put(made).is_ok() {
            // Fails only when nobody waits any more.
            let _ = self.tell.send(target);
        }
    }

    /// Removes something behind everybody's back, and tells of it.
    pub fn vanish(&self, id: PlacementId) {
        let target = self.host().get(id).map(|made| made.placement.reference());
        if let Some(target) = target
            && self.host().remove(id).is_ok()
        {
            let _ = self.tell.send(target);
        }
    }

    /// Removes everything behind everybody's back, and lets it be noticed that something happened.
    pub fn flush(&self) {
        let mut host = self.host();
        let all: Vec<PlacementId> = host.all().map(|made| made.placement.id).collect();
        for id in all {
            // What cannot be removed stays.
            let _ = host.remove(id);
        }
        self.disturbance.notify_one();
    }

    fn host(&self) -> MutexGuard<'_, Host> {
        // What is half-changed is in no file yet.
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has to be there before.
    fn missing(&self, placement: &Placement) -> Option<String> {
        let host = self.host();
        let has = |kind: PlacementKind, network: NetworkId| {
            host.all().any(|made| {
                let target = made.placement.reference();
                target.kind == kind && target.network == Some(network)
            })
        };
        match &placement.spec {
            PlacementSpec::Network(_) | PlacementSpec::Segment(_) => None,
            PlacementSpec::Vtep(vtep) => (!has(PlacementKind::Network, vtep.network)
                && !has(PlacementKind::Segment, vtep.network))
            .then(|| format!("the segment {} is not here yet", vtep.network)),
            PlacementSpec::Lease(lease) => (!has(PlacementKind::Network, lease.network))
                .then(|| format!("the network {} is not here yet", lease.network)),
            PlacementSpec::Peer(peer) => (!has(PlacementKind::Network, peer.network))
                .then(|| format!("the network {} is not here yet", peer.network)),
            PlacementSpec::Instance(instance) => instance
                .interfaces
                .iter()
                .find(|interface| !has(PlacementKind::Segment, interface.network))
                .map(|interface| format!("the segment {} is not here yet", interface.network)),
        }
    }

    async fn fetch_image(
        &self,
        instance: &InstancePlacement,
        progress: &Progress,
    ) -> Result<(), DriverError> {
        let (Some(blobs), Some(folder)) = (&self.options.blobs, &self.options.folder) else {
            return Ok(());
        };
        for blob in std::iter::once(instance.image.blob).chain(instance.initrd) {
            let to = folder.join("blobs").join(blob.digest.to_string());
            if !to.exists() {
                progress.step("fetching the image");
                blobs.fetch(blob, to, progress).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn kinds(&self) -> &'static [PlacementKind] {
        match self.kind {
            ComponentKind::Libvirt => &[
                PlacementKind::Segment,
                PlacementKind::Vtep,
                PlacementKind::Instance,
            ],
            ComponentKind::Linux | ComponentKind::Openwrt => &[
                PlacementKind::Network,
                PlacementKind::Vtep,
                PlacementKind::Lease,
                PlacementKind::Peer,
            ],
        }
    }

    async fn facts(&self) -> Result<HostFacts, DriverError> {
        Ok(self.options.facts.clone())
    }

    async fn ensure(
        &self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        let kind = placement.spec.kind();
        if !self.kinds().contains(&kind) {
            return Err(DriverError::unsupported(format!(
                "a {kind} cannot be made here"
            )));
        }
        progress.step("preparing");
        self.faults.strike().await?;
        if let Some(missing) = self.missing(placement) {
            return Err(DriverError::transient(missing));
        }
        if let PlacementSpec::Instance(instance) = &placement.spec {
            self.fetch_image(instance, progress).await?;
        }
        progress.step("making");
        let mut host = self.host();
        let made = Made::of(placement, host.get(placement.id), self.options.clock.now());
        let observed = made.observed.clone();
        host.put(made).map_err(kept)?;
        Ok(observed)
    }

    async fn remove(&self, target: &PlacementRef, progress: &Progress) -> Result<(), DriverError> {
        progress.step("removing");
        self.faults.strike().await?;
        self.host().remove(target.id).map_err(kept)
    }

    async fn console(
        &self,
        target: &PlacementRef,
        from: ConsoleFrom,
    ) -> Result<Console, DriverError> {
        let text = {
            let host = self.host();
            let made = host.get(target.id);
            match made.map(|made| &made.observed) {
                Some(Observed::Instance(instance)) => format!("simulated: {}\n", instance.reason),
                _ => return Err(DriverError::permanent("it is not here")),
            }
        };
        Ok(echo::console(text, from))
    }

    async fn act(&self, target: &PlacementRef, action: &Action) -> Result<Vec<u8>, DriverError> {
        self.faults.strike().await?;
        let mut host = self.host();
        let Some(mut made) = host.get(target.id).cloned() else {
            return Err(DriverError::permanent("it is not here"));
        };
        let Observed::Instance(instance) = &mut made.observed else {
            return Err(DriverError::unsupported("only an instance can do that"));
        };
        match action {
            Action::Reboot => {
                if instance.state != InstanceState::Running {
                    return Err(DriverError::permanent("it does not run"));
                }
                instance.since = self.options.clock.now();
                "rebooted".clone_into(&mut instance.reason);
                host.put(made).map_err(kept)?;
                Ok(Vec::new())
            }
            Action::ConsoleLog { bytes } => {
                let mut text = format!("simulated: {}\n", instance.reason).into_bytes();
                let most = usize::try_from(*bytes).unwrap_or(usize::MAX);
                Ok(text.split_off(text.len().saturating_sub(most)))
            }
        }
    }

    async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError> {
        let accepted: BTreeMap<_, _> = accepted.iter().map(|known| (known.id, known)).collect();
        let host = self.host();
        let found = host.all().map(|made| {
            let placement = &made.placement;
            let as_it_should = accepted
                .get(&placement.id)
                .is_some_and(|known| made.is_as_it_should(known));
            Found {
                placement: placement.reference(),
                generation: placement.generation,
                observed: as_it_should.then(|| made.observed.clone()),
                differs: String::new(),
            }
        });
        Ok(found.collect())
    }

    async fn changed(&self) -> PlacementRef {
        match self.told.lock().await.recv().await {
            Some(target) => target,
            // The other end lives as long as this one.
            None => std::future::pending().await,
        }
    }

    async fn disturbed(&self) {
        self.disturbance.notified().await;
    }
}

fn kept(error: std::io::Error) -> DriverError {
    DriverError::transient("the simulated host could not be written").with_source(error)
}

/// Something that looks like a WireGuard public key, other for each network and each time it is made.
fn endpoint_key(network: NetworkId, now: Timestamp) -> String {
    let seed = format!("{network} {}", now.as_millis());
    host::base64(Digest::of(seed.as_bytes()).as_bytes())
}

fn state_of(power: Power) -> (InstanceState, &'static str) {
    match power {
        Power::Running => (InstanceState::Running, "started"),
        Power::Stopped => (InstanceState::Stopped, "stopped as asked"),
    }
}

#[cfg(test)]
mod tests;
