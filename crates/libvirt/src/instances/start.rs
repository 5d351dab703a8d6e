//! Starting a guest: image, console, port rules, and only then the domain.

use std::path::{Path, PathBuf};

use rhyzome_component::{DriverError, Progress};
use rhyzome_hostnet::Port;
use rhyzome_model::instance::InstancePlacement;
use rhyzome_model::network::tap_name;

use super::{Instances, Slot, from_libvirt, lock, now};
use crate::console;
use crate::disk::{Volume, seed};
use crate::domain::{self, Domain, DomainMark, Files, spec_hash};
use crate::ending::Signs;
use crate::hypervisor::HypervisorError;
use crate::record::{Phase, Record, Started};
use crate::step::Step;

/// The ports that an instance's interfaces are.
pub fn ports_of(spec: &InstancePlacement) -> Vec<Port> {
    let port = |(index, interface): (usize, &rhyzome_model::instance::Interface)| Port {
        tap: tap_name(spec.instance.0, index),
        mac: interface.mac,
        ipv4: interface.ipv4,
        ipv6: interface.ipv6,
    };
    spec.interfaces.iter().enumerate().map(port).collect()
}

impl Instances {
    /// Starts the guest that the record wants. `why` is the reason that is reported from then on.
    pub(super) async fn start(
        &self,
        slot: &Slot,
        mut record: Record,
        why: &str,
        progress: &Progress,
    ) -> Result<Record, DriverError> {
        let spec = record.wanted.clone();
        progress.begin(Step::Image)?;
        let image = self.cache.get(spec.image.blob, progress).await?;
        let initrd = match spec.initrd {
            Some(initrd) => Some(self.cache.get(initrd, progress).await?),
            None => None,
        };
        let mark = self.mark(&record);
        let (disk, seed) = self.prepare_disks(slot, &record, &image, progress).await?;
        let files = Files {
            image,
            initrd,
            console: console::pipes(&slot.folder),
            disk,
            seed,
            ovmf: self.ovmf.clone(),
            variables: slot.folder.join("variables.fd"),
        };
        let domain = Domain::new(
            &spec,
            files,
            self.accelerator.accelerator,
            mark,
            &self.bridges,
        )
        .map_err(|error| {
            DriverError::permanent("the instance cannot be made so").with_source(error)
        })?;
        let domain = domain.with_cards(self.cards_to_start_with(slot).await?);

        progress.begin(Step::Ports)?;
        self.ensure_ports(&spec).await?;

        progress.begin(Step::Start)?;
        record.started = Some(Started {
            spec: spec_hash(&spec),
            at: now(),
            boot: self.boot.clone(),
            accelerator: self.accelerator.accelerator,
        });
        record.enter(Phase::Starting, "it is being started", now());
        slot.keep(&record)?;
        let watched = slot.ssh().is_unknown();
        slot.record_console()?.starts(now(), watched).await;
        *lock(&slot.signs) = Signs::default();
        let (hypervisor, xml) = (self.hypervisor.clone(), domain.to_xml());
        let starting = slot.starting.clone().lock_owned().await;
        let start = tokio::spawn(async move {
            let started = hypervisor.start(xml).await;
            drop(starting);
            started
        });
        let started = start.await.unwrap_or(Err(HypervisorError::Ended {
            operation: "starting the domain",
        }));
        if let Err(error) = started
            && self.domain(slot).await?.is_none()
        {
            return Err(DriverError::transient("the guest could not be started").with_source(error));
        }
        self.plug_in_all(slot).await?;
        progress.begin(Step::Started)?;
        record.enter(Phase::Running, why, now());
        slot.keep(&record)?;
        Ok(record)
    }

    /// The instance's disk, and the one that it reads about itself from where it is a whole system.
    async fn prepare_disks(
        &self,
        slot: &Slot,
        record: &Record,
        image: &Path,
        progress: &Progress,
    ) -> Result<(Option<Volume>, Option<PathBuf>), DriverError> {
        let spec = &record.wanted;
        let Some(wanted) = spec.disk else {
            return Ok((None, None));
        };
        progress.begin(Step::Disk)?;
        let base = domain::base(&spec.image.format, image);
        let had = record.started.is_some();
        let disk = self
            .disks
            .ensure(
                (slot.id, &slot.folder),
                (wanted.size, base.as_ref()),
                had,
                progress,
            )
            .await?;
        let seed = match domain::has_seed(spec) {
            true => Some(seed::write(&slot.folder, &rhyzome_guest::seed(spec))?),
            false => None,
        };
        Ok((Some(disk), seed))
    }

    /// Lets the disk of a running guest grow to the size that is wanted.
    async fn grow(&self, slot: &Slot, record: &Record) -> Result<(), DriverError> {
        let Some(wanted) = record.wanted.disk else {
            return Ok(());
        };
        let size = self.hypervisor.disk_size(slot.uuid()).await;
        // It may have ended meanwhile: then its disk grows when it is started.
        let has = size.map_err(from_libvirt)?.unwrap_or(wanted.size);
        if has >= wanted.size {
            return Ok(());
        }
        self.disks
            .make_room(slot.id, &slot.folder, wanted.size)
            .await?;
        self.hypervisor
            .grow(slot.uuid(), wanted.size)
            .await
            .map_err(from_libvirt)
    }

    pub(super) fn mark(&self, record: &Record) -> DomainMark {
        DomainMark {
            component: self.component.clone(),
            placement: record.placement,
            generation: record.generation,
            spec: record
                .started
                .as_ref()
                .map_or_else(|| spec_hash(&record.wanted), |started| started.spec),
        }
    }

    pub(super) async fn ensure_ports(&self, spec: &InstancePlacement) -> Result<(), DriverError> {
        for port in ports_of(spec) {
            self.ports.ensure(&port).await.map_err(|error| {
                DriverError::transient(format!("the port rules of {} could not be set", port.tap))
                    .with_source(error)
            })?;
        }
        Ok(())
    }

    /// Takes up a guest that runs already: its rules, its mark, its console.
    pub(super) async fn take_up(
        &self,
        slot: &Slot,
        mut record: Record,
    ) -> Result<Record, DriverError> {
        self.ensure_ports(&record.wanted).await?;
        self.plug_in_all(slot).await?;
        slot.record_console()?;
        if record.phase != Phase::Running {
            record.enter(Phase::Running, "it was found running", now());
        }
        slot.keep(&record)?;
        if record.wanted.disk.is_some() {
            self.disks.remember(slot.id, &slot.folder).await?;
        }
        self.grow(slot, &record).await?;
        let mark = self.mark(&record);
        self.hypervisor
            .set_mark(slot.uuid(), &mark)
            .await
            .map_err(from_libvirt)?;
        Ok(record)
    }
}
