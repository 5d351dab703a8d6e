//! The driver: segments and instances on one hypervisor.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rhyzome_component::driver::{Blobs, Driver};
use rhyzome_component::{Console, Differs, DriverError, Progress};
use rhyzome_hostnet::{Holder, Port, Ports, Role, Services, TunnelError, Tunnels, Underlay, nft};
use rhyzome_model::component::HostFacts;
use rhyzome_model::console::ConsoleFrom;
use rhyzome_model::instance::{InstancePlacement, Power};
use rhyzome_model::job::Action;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::{ComponentId, InstanceId, NetworkId};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use crate::cache::Cache;
use crate::cards::Cards;
use crate::disk::Disks;
use crate::host;
use crate::hypervisor::Hypervisor;
use crate::instances::{self, Instances, Slot, from_disk, from_libvirt, ports_of};
use crate::metadata::Metadata;
use crate::record::{Phase, Record, boot_id};
use crate::segments::Segments;
use crate::settings::{Libvirt, Settings};
use crate::step::Step;
use crate::uefi::Ovmf;

/// The most of a console that an action returns.
const MOST_CONSOLE: u32 = 1 << 20;

/// Segments and instances through libvirt and the kernel's bridges.
pub struct LibvirtDriver {
    settings: Settings,
    instances: Arc<Instances>,
    segments: Segments,
    underlay: Underlay,
    changes: tokio::sync::Mutex<UnboundedReceiver<PlacementRef>>,
    supervisor: JoinHandle<()>,
}

impl Drop for LibvirtDriver {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl LibvirtDriver {
    /// Connects to libvirt and takes up what runs.
    ///
    /// # Errors
    /// *transient* where libvirt or the state directory cannot be used now.
    pub async fn open(settings: Settings, blobs: Arc<dyn Blobs>) -> Result<Self, DriverError> {
        let (events, inbox) = unbounded_channel();
        let hypervisor = Hypervisor::open(&settings, events)
            .await
            .map_err(|error| DriverError::transient(host::hint(&error)))?;
        let accelerator = host::choose_accelerator(&settings, &hypervisor)
            .await
            .map_err(from_libvirt)?;
        tracing::info!(
            accelerator = accelerator.accelerator.as_str(),
            why = accelerator.why,
            "guests run on"
        );
        let cache = Cache::open(settings.blobs(), settings.image_cache, blobs)
            .map_err(|error| from_disk("the folder of images could not be opened", error))?;
        let mark = settings.mark();
        let (changes, changed) = unbounded_channel();
        let disks = Disks::new(hypervisor.clone(), mark, settings.pool.clone());
        let instances = Arc::new(Instances {
            hypervisor,
            cache,
            disks,
            ports: Ports::of(mark),
            cards: Cards::new(settings.cards()),
            bridges: settings.bridges.clone(),
            accelerator,
            ovmf: Ovmf::find(),
            component: mark.to_string(),
            folder: settings.instances(),
            logs: (settings.libvirt == Libvirt::Embedded)
                .then(|| settings.embed_root().join("log/qemu")),
            boot: boot_id(),
            changes,
            slots: Mutex::default(),
        });
        instances.load()?;
        let segments = Segments {
            holder: Holder {
                role: Role::Hypervisor,
                mark,
            },
            folder: settings.segments(),
            trunk: settings.carrying.trunk.clone(),
            instances: instances.clone(),
            metadata: Metadata::new(Services::of(mark), instances.clone()),
        };
        segments.take_up().await?;
        let supervisor = tokio::spawn(instances::supervise(instances.clone(), inbox));
        Ok(Self {
            underlay: Underlay::new(settings.tunnel.clone()),
            settings,
            instances,
            segments,
            changes: tokio::sync::Mutex::new(changed),
            supervisor,
        })
    }

    /// Waits until no call of libvirt is under way that an interrupted workflow left behind.
    pub async fn idle(&self) {
        for slot in self.instances.all() {
            drop(slot.work().await);
        }
    }

    /// How disks are kept, or why none can be made, and what is left of instances that are not here: it is
    /// told of and not removed, since it may be the only copy of something.
    async fn disks(&self) -> String {
        let disks = &self.instances.disks;
        let known: Vec<InstanceId> = self.instances.all().iter().map(|slot| slot.id).collect();
        let looked = async {
            let mut said = match disks.look().await? {
                Ok(said) => said,
                Err(why) => return Ok(Err(why)),
            };
            let left = disks.leftovers(&known).await?;
            if !left.is_empty() {
                let names = left.join(", ");
                said = format!("{said}; of instances that are not here: {names}");
            }
            Ok(Ok(said))
        };
        let why = match looked.await {
            Ok(Ok(said)) => return said,
            Ok(Err(why)) => why,
            Err(error) => host::hint(&error),
        };
        tracing::warn!(why, "instances' disks cannot be made");
        format!("none can be made: {why}")
    }

    async fn tunnels(&self) -> Tunnels {
        Tunnels::of(self.settings.mark(), self.underlay.address().await)
    }

    async fn instance_found(
        &self,
        slot: &Slot,
        record: &Record,
        accepted: Option<&Placement>,
        ports: &[Port],
    ) -> Result<Found, DriverError> {
        let spec = accepted.and_then(|placement| match &placement.spec {
            PlacementSpec::Instance(spec) if placement.id == record.placement => {
                Some((placement, spec))
            }
            _ => None,
        });
        let difference = match spec {
            Some((placement, spec))
                if placement.generation == record.generation && **spec == record.wanted =>
            {
                self.difference(slot, record, ports).await?
            }
            _ => Some(Differs::default()),
        };
        let observed = record.observed(self.instances.accelerator.accelerator, slot.ssh());
        let (observed, Differs(differs)) = match difference {
            None => (Some(Observed::Instance(observed)), Differs::default()),
            Some(differs) => (None, differs),
        };
        Ok(Found {
            placement: record.reference(),
            generation: record.generation,
            observed,
            differs,
        })
    }

    /// What of reality is not as the record says, or not what was asked for.
    async fn difference(
        &self,
        slot: &Slot,
        record: &Record,
        ports: &[Port],
    ) -> Result<Option<Differs>, DriverError> {
        if !slot.is_idle() {
            // A workflow is at it, and reports by itself.
            return Ok(None);
        }
        let runs = self
            .instances
            .hypervisor
            .find(slot.uuid())
            .await
            .map_err(from_libvirt)?
            .is_some();
        let phase = match record.phase {
            Phase::Running => runs && record.wanted.power == Power::Running,
            Phase::Ended { .. } | Phase::Waiting { .. } => {
                !runs && record.wanted.power == Power::Running
            }
            Phase::Stopped => !runs && record.wanted.power == Power::Stopped,
            Phase::Starting | Phase::Stopping | Phase::Rebooting => false,
        };
        if !phase {
            return Ok(Some(Differs::default()));
        }
        let wanted = ports_of(&record.wanted);
        let rules = !runs || wanted.iter().all(|port| ports.contains(port));
        let why = "the rules of its ports in the host's firewall are not as they were set";
        Ok((!rules).then(|| Differs(why.to_owned())))
    }

    /// Accounts for a guest that ended a moment ago, so that a report does not show it running.
    async fn settle(&self, slot: &Slot) -> Option<Record> {
        if let Err(error) = self.instances.settle(slot).await {
            tracing::warn!(instance = %slot.id, error = error.chain(), "an instance could not be looked after");
        }
        slot.record()
    }

    async fn ensure_instance(
        &self,
        placement: &Placement,
        spec: &InstancePlacement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        let observed = self
            .instances
            .ensure(placement.id, placement.generation, spec, progress)
            .await?;
        Ok(Observed::Instance(observed))
    }
}

fn from_tunnel(error: TunnelError) -> DriverError {
    let make = if error.is_permanent() {
        DriverError::permanent
    } else {
        DriverError::transient
    };
    make("the tunnel to another host is not as it should be").with_source(error)
}

fn unsupported(kind: PlacementKind) -> DriverError {
    DriverError::unsupported(format!(
        "a hypervisor makes segments, tunnels and instances, no {kind}"
    ))
}

#[async_trait]
impl Driver for LibvirtDriver {
    fn kinds(&self) -> &'static [PlacementKind] {
        &[
            PlacementKind::Segment,
            PlacementKind::Vtep,
            PlacementKind::Instance,
        ]
    }

    async fn facts(&self) -> Result<HostFacts, DriverError> {
        let instances = &self.instances;
        host::facts(
            &self.settings,
            &instances.hypervisor,
            &instances.accelerator,
            (&self.underlay.look().await, self.disks().await),
        )
        .await
        .map_err(from_libvirt)
    }

    async fn ensure(
        &self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        match &placement.spec {
            PlacementSpec::Segment(spec) => {
                progress.begin(Step::Segment)?;
                self.segments.ensure(placement, spec).await
            }
            PlacementSpec::Vtep(spec) => {
                progress.begin(Step::Connect)?;
                let about = (placement.id, placement.generation);
                let tunnels = self.tunnels().await;
                tunnels.ensure(about, spec).await.map_err(from_tunnel)?;
                Ok(Observed::Vtep)
            }
            PlacementSpec::Instance(spec) => self.ensure_instance(placement, spec, progress).await,
            other => Err(unsupported(other.kind())),
        }
    }

    async fn remove(&self, target: &PlacementRef, progress: &Progress) -> Result<(), DriverError> {
        match target.kind {
            PlacementKind::Segment => {
                progress.begin(Step::DropSegment)?;
                self.segments.remove(NetworkId(target.resource)).await
            }
            PlacementKind::Vtep => {
                let Some(network) = target.network else {
                    return Ok(());
                };
                progress.begin(Step::Disconnect)?;
                let host = ComponentId(target.resource);
                let tunnels = self.tunnels().await;
                tunnels.remove(network, host).await.map_err(from_tunnel)
            }
            PlacementKind::Instance => {
                self.instances
                    .remove(InstanceId(target.resource), progress)
                    .await
            }
            // Never made here, so there is nothing.
            PlacementKind::Network | PlacementKind::Lease | PlacementKind::Peer => Ok(()),
        }
    }

    async fn act(&self, target: &PlacementRef, action: &Action) -> Result<Vec<u8>, DriverError> {
        if target.kind != PlacementKind::Instance {
            return Err(unsupported(target.kind));
        }
        let slot = self.instances.known(InstanceId(target.resource))?;
        match action {
            Action::Reboot => self.instances.reboot(&slot).await.map(|()| Vec::new()),
            Action::ConsoleLog { bytes } => {
                self.instances
                    .console(&slot, (*bytes).min(MOST_CONSOLE) as usize)
                    .await
            }
        }
    }

    async fn console(
        &self,
        target: &PlacementRef,
        from: ConsoleFrom,
    ) -> Result<Console, DriverError> {
        if target.kind != PlacementKind::Instance {
            return Err(unsupported(target.kind));
        }
        let slot = self.instances.known(InstanceId(target.resource))?;
        let attached = slot.record_console()?.attach(from).await;
        attached.map_err(|error| from_disk("the instance's console could not be opened", error))
    }

    async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError> {
        let mut found = self.segments.inventory(accepted).await?;
        let tunnels = self.tunnels().await.inventory(accepted).await;
        found.extend(tunnels.map_err(from_tunnel)?);
        let ports = self.instances.rules().await?;
        for slot in self.instances.all() {
            if let Some(record) = self.settle(&slot).await {
                let accepted = accepted
                    .iter()
                    .find(|placement| placement.id == record.placement);
                found.push(
                    self.instance_found(&slot, &record, accepted, &ports)
                        .await?,
                );
            }
        }
        let component = self.instances.component.clone();
        for seen in self
            .instances
            .hypervisor
            .list(component)
            .await
            .map_err(from_libvirt)?
        {
            if found
                .iter()
                .all(|found| found.placement.resource != seen.uuid)
            {
                found.push(Found {
                    placement: PlacementRef {
                        id: seen.mark.placement,
                        kind: PlacementKind::Instance,
                        resource: seen.uuid,
                        network: None,
                    },
                    generation: seen.mark.generation,
                    observed: None,
                    differs: String::new(),
                });
            }
        }
        Ok(found)
    }

    async fn look(&self, placement: &Placement) -> Result<Result<Observed, Differs>, DriverError> {
        match &placement.spec {
            PlacementSpec::Segment(spec) => self.segments.look(placement, spec).await,
            PlacementSpec::Vtep(spec) => {
                let about = (placement.id, placement.generation);
                let difference = self.tunnels().await.check(about, spec).await;
                let difference = difference.map_err(from_tunnel)?;
                Ok(difference.map_or(Ok(Observed::Vtep), |why| Err(Differs(why))))
            }
            PlacementSpec::Instance(spec) => {
                let Ok(slot) = self.instances.known(spec.instance) else {
                    return Ok(Err(Differs::default()));
                };
                let Some(record) = self.settle(&slot).await else {
                    return Ok(Err(Differs::default()));
                };
                let ports = self.instances.rules().await?;
                let found = self
                    .instance_found(&slot, &record, Some(placement), &ports)
                    .await?;
                Ok(found.observed.ok_or(Differs(found.differs)))
            }
            other => Err(unsupported(other.kind())),
        }
    }

    async fn disturbed(&self) {
        nft::until_flushed().await;
    }

    async fn changed(&self) -> PlacementRef {
        let next = self.changes.lock().await.recv().await;
        match next {
            Some(changed) => changed,
            // Whoever sends is held by this driver.
            None => std::future::pending().await,
        }
    }
}
