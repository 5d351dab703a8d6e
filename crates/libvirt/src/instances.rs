//! The instances of this host: what is remembered of each, what runs, and who works on it.
//!
//! One workflow at a time works on an instance, under its lock ([`Slot::busy`]); what it knows is
//! published for readers, so that a report never waits for a guest that takes its time to stop. Events
//! only leave signs and wake whoever waits: they decide nothing by themselves.

mod end;
mod ensure;
mod plug;
mod remove;
mod start;
mod stop;
mod supervise;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhyzome_component::DriverError;
use rhyzome_component::room::unwritten;
use rhyzome_hostnet::{Port, Ports};
use rhyzome_model::instance::{InstancePlacement, SshIdentity};
use rhyzome_model::placement::PlacementRef;
use rhyzome_model::{Digest, InstanceId, Name, NetworkId, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{MutexGuard as BusyGuard, Notify};
use uuid::Uuid;

use crate::accelerator::Choice;
use crate::cache::Cache;
use crate::cards::Cards;
use crate::console::{Recorder, Watch, identity};
use crate::disk::Disks;
use crate::ending::Signs;
use crate::host;
use crate::hypervisor::{Hypervisor, HypervisorError, Seen};
use crate::record::Record;
use crate::uefi::Ovmf;

pub use start::ports_of;
pub use supervise::supervise;

/// All instances of a component, with what they share.
pub struct Instances {
    pub hypervisor: Hypervisor,
    pub cache: Cache,
    pub disks: Disks,
    pub ports: Ports,
    pub cards: Cards,
    /// The host's own bridges that instances can be on: devices by what the configuration calls them.
    pub bridges: BTreeMap<Name, String>,
    pub accelerator: Choice,
    /// The firmware for UEFI, where this host has it.
    pub ovmf: Option<Ovmf>,
    /// The component's mark.
    pub component: String,
    pub folder: PathBuf,
    /// Where an embedded libvirt writes QEMU's messages, a file a domain.
    pub logs: Option<PathBuf>,
    pub boot: String,
    /// Where changes go that nobody asked for.
    pub changes: UnboundedSender<PlacementRef>,
    pub slots: Mutex<HashMap<InstanceId, Arc<Slot>>>,
}

/// One instance.
pub struct Slot {
    pub id: InstanceId,
    pub folder: PathBuf,
    busy: tokio::sync::Mutex<()>,
    /// Held while libvirt starts the guest, which an interrupted workflow does not interrupt.
    starting: Arc<tokio::sync::Mutex<()>>,
    record: Mutex<Option<Record>>,
    recorder: Mutex<Option<Arc<Recorder>>>,
    /// What its console said of its SSH server.
    ssh: Arc<Mutex<SshIdentity>>,
    changes: UnboundedSender<PlacementRef>,
    signs: Mutex<Signs>,
    /// How much had been heard of the guest when its silence was last looked into.
    silence: Mutex<u64>,
    /// Woken by each sign.
    woken: Notify,
}

pub fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A failure of libvirt's is worth another try.
pub fn from_libvirt(error: HypervisorError) -> DriverError {
    DriverError::transient(format!("libvirt did not do it: {}", host::hint(&error)))
}

pub fn from_disk(what: &str, error: std::io::Error) -> DriverError {
    DriverError::transient(what).with_source(error)
}

impl Slot {
    fn new(id: InstanceId, folder: PathBuf, changes: UnboundedSender<PlacementRef>) -> Self {
        Self {
            id,
            record: Mutex::new(Record::read(&folder)),
            ssh: Arc::new(Mutex::new(identity::read(&folder))),
            changes,
            folder,
            busy: tokio::sync::Mutex::default(),
            starting: Arc::default(),
            recorder: Mutex::default(),
            signs: Mutex::default(),
            silence: Mutex::default(),
            woken: Notify::new(),
        }
    }

    pub fn uuid(&self) -> Uuid {
        self.id.0
    }

    /// What is known of it; none where it was never ensured, or was removed.
    pub fn record(&self) -> Option<Record> {
        lock(&self.record).clone()
    }

    /// Has the instance for oneself, after all that an interrupted workflow left under way.
    pub async fn work(&self) -> BusyGuard<'_, ()> {
        let working = self.busy.lock().await;
        drop(self.starting.lock().await);
        working
    }

    /// Whether nobody works on it.
    pub fn is_idle(&self) -> bool {
        self.busy.try_lock().is_ok()
    }

    /// Writes what is known from now on, and then publishes it.
    fn keep(&self, record: &Record) -> Result<(), DriverError> {
        let failed = |error| {
            let what = "the instance's record could not be written";
            unwritten(what, &self.folder, error)
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        // QEMU's user passes through to the console's pipes.
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        record.write(&self.folder).map_err(failed)?;
        *lock(&self.record) = Some(record.clone());
        Ok(())
    }

    /// What its console said of its SSH server.
    pub fn ssh(&self) -> SshIdentity {
        lock(&self.ssh).clone()
    }

    /// Looks for the guest's SSH identity until it was found once, and then reports it.
    fn watch(&self) -> Watch {
        let record = self.record();
        let started = record.as_ref().and_then(|record| record.started.as_ref());
        let reference = record.as_ref().map(Record::reference);
        let (folder, ssh, changes) = (self.folder.clone(), self.ssh.clone(), self.changes.clone());
        Watch {
            since: started
                .filter(|_| self.ssh().is_unknown())
                .map(|started| started.at),
            found: Box::new(move |found| {
                if let Err(error) = identity::write(&folder, &found) {
                    tracing::warn!(%error, folder = %folder.display(), "a guest's SSH keys could not be written down");
                }
                *lock(&ssh) = found;
                if let Some(reference) = &reference {
                    // Nobody is left to be told where this component stops.
                    let _ = changes.send(reference.clone());
                }
            }),
        }
    }

    /// Records the console from now on, where it is not yet.
    pub fn record_console(&self) -> Result<Arc<Recorder>, DriverError> {
        let mut recorder = lock(&self.recorder);
        if let Some(recorder) = &*recorder {
            return Ok(recorder.clone());
        }
        let started = Recorder::start(&self.folder, self.watch())
            .map_err(|error| from_disk("the instance's console could not be opened", error))?;
        Ok(recorder.insert(Arc::new(started)).clone())
    }
}

impl Instances {
    /// Takes up what is remembered, and goes on recording consoles.
    pub fn load(&self) -> Result<(), DriverError> {
        let failed = |error| from_disk("the instances' records could not be read", error);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let slot = self.slot(id);
            if slot.record().is_some()
                && let Err(error) = slot.record_console()
            {
                tracing::warn!(instance = %id, error = error.chain(), "a console is not recorded");
            }
        }
        Ok(())
    }

    /// The slot of an instance, made where there is none.
    pub fn slot(&self, id: InstanceId) -> Arc<Slot> {
        let make = || {
            let folder = self.folder.join(id.to_string());
            Arc::new(Slot::new(id, folder, self.changes.clone()))
        };
        lock(&self.slots).entry(id).or_insert_with(make).clone()
    }

    /// The slot of an instance that is known here.
    ///
    /// # Errors
    /// *permanent* where it is not.
    pub fn known(&self, id: InstanceId) -> Result<Arc<Slot>, DriverError> {
        let slot = lock(&self.slots).get(&id).cloned();
        slot.filter(|slot| slot.record().is_some())
            .ok_or_else(|| DriverError::permanent(format!("there is no instance {id} here")))
    }

    /// Accounts for a guest that ended by itself, unless somebody works on it, who will.
    pub async fn settle(&self, slot: &Slot) -> Result<(), DriverError> {
        match slot.busy.try_lock() {
            Ok(_working) => self.look_after(slot).await,
            Err(_) => Ok(()),
        }
    }

    /// What is wanted of the instance that has an address in a network.
    pub fn wanted_at(&self, network: NetworkId, address: Ipv4Addr) -> Option<InstancePlacement> {
        let has = |wanted: &InstancePlacement| {
            let mut interfaces = wanted.interfaces.iter();
            interfaces.any(|it| it.network == network && it.ipv4 == address)
        };
        self.all().iter().find_map(|slot| {
            let record = lock(&slot.record);
            let wanted = record.as_ref().map(|record| &record.wanted)?;
            has(wanted).then(|| wanted.clone())
        })
    }

    pub fn all(&self) -> Vec<Arc<Slot>> {
        lock(&self.slots).values().cloned().collect()
    }

    /// The images that instances are made of.
    pub fn used_images(&self) -> HashSet<Digest> {
        let blobs = |record: Record| {
            let initrd = record.wanted.initrd.map(|blob| blob.digest);
            [Some(record.wanted.image.blob.digest), initrd]
        };
        let records = self.all().into_iter().filter_map(|slot| slot.record());
        records.flat_map(blobs).flatten().collect()
    }

    /// The ports that are as they should be: none where the rules themselves were changed.
    pub async fn rules(&self) -> Result<Vec<Port>, DriverError> {
        let failed =
            |error| DriverError::transient("the port rules could not be read").with_source(error);
        if let Some(why) = self.ports.check().await.map_err(failed)? {
            // Where no port was ever needed there is no table.
            tracing::debug!(why, "the port rules are not as they should be");
            return Ok(Vec::new());
        }
        self.ports.list().await.map_err(failed)
    }

    /// The domain of an instance, if it has one.
    ///
    /// # Errors
    /// *permanent* where somebody else has a domain with its id.
    async fn domain(&self, slot: &Slot) -> Result<Option<Seen>, DriverError> {
        match self
            .hypervisor
            .find(slot.uuid())
            .await
            .map_err(from_libvirt)?
        {
            Some(seen) if seen.mark.component != self.component => {
                Err(DriverError::permanent(format!(
                    "libvirt has a domain {} that another component made",
                    slot.uuid()
                )))
            }
            seen => Ok(seen),
        }
    }
}
