//! The connection to libvirt, as an asynchronous handle.
//!
//! Every call of libvirt blocks, so each runs on a thread made for that (see [`threads`]); events come in
//! on a thread of their own (see [`event`]). A connection that broke (libvirtd was restarted, or hangs) is opened again
//! by the next call (see [`connection`]). Nothing here decides anything: it says what libvirt says.

mod connection;
pub mod event;
pub mod storage;
mod threads;

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use rhyzome_model::{MacAddr, Size};

use crate::domain::{self, DomainMark, NAMESPACE, Nic};
use crate::embed::{self, EmbedError};
use crate::leftovers;
use crate::settings::{Libvirt, Settings};
use connection::Connection;
use event::Event;
use threads::Threads;

/// A handle; clones share the connection.
#[derive(Clone)]
pub struct Hypervisor {
    connection: Arc<Connection>,
    threads: Threads,
}

/// What libvirt could not do.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    #[error("what libvirt needs of the host could not be prepared")]
    Prepare(#[source] EmbedError),
    #[error("opening {uri} failed")]
    Open {
        uri: String,
        source: virt::error::Error,
    },
    #[error(
        "libvirt at {uri} did not answer within {seconds} s: libvirtd hangs; restarting it stops no guest"
    )]
    Silent { uri: String, seconds: u64 },
    #[error("libvirt's event loop could not be started")]
    EventLoop { source: virt::error::Error },
    #[error("{operation} failed")]
    Call {
        operation: &'static str,
        source: virt::error::Error,
    },
    #[error("{operation} was given up")]
    Ended { operation: &'static str },
}

/// A domain of ours, as libvirt has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub uuid: Uuid,
    /// Whether its processors run; false while it is being started or ended.
    pub running: bool,
    pub mark: DomainMark,
}

/// What libvirt and QEMU are, in text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    pub libvirt: String,
    pub qemu: String,
}

impl Hypervisor {
    /// Opens the connection, and waits until libvirt knows the state of the guests that it finds.
    ///
    /// # Errors
    /// Where libvirt cannot be reached or a driver of it does not start.
    pub async fn open(
        settings: &Settings,
        events: UnboundedSender<Event>,
    ) -> Result<Self, HypervisorError> {
        let embedded = settings.libvirt == Libvirt::Embedded;
        let connection = Connection::new(settings.uri(), embedded, events);
        let root = settings.embed_root();
        let left = leftovers::questioned(&root);
        let settings = settings.clone();
        let threads = Threads::start(move || {
            embed::prepare(&settings).map_err(HypervisorError::Prepare)?;
            event::start_loop()
        })
        .await?;
        let hypervisor = Self {
            connection: Arc::new(connection),
            threads,
        };
        hypervisor.call("settling", settle).await?;
        // Nobody else has it open, so nobody waits for their answer.
        leftovers::end_questioned(&root, &left);
        Ok(hypervisor)
    }

    pub fn uri(&self) -> &str {
        &self.connection.uri
    }

    /// Starts a transient domain.
    pub async fn start(&self, xml: String) -> Result<(), HypervisorError> {
        self.call("starting the domain", move |connection| {
            Domain::create_xml(connection, &xml, sys::VIR_DOMAIN_NONE).map(drop)
        })
        .await
    }

    /// The domain of an instance, if there is one with a mark.
    pub async fn find(&self, uuid: Uuid) -> Result<Option<Seen>, HypervisorError> {
        self.call("looking up the domain", move |connection| {
            unless_gone(Domain::lookup_by_uuid(connection, uuid).and_then(|domain| see(&domain)))
                .map(Option::flatten)
        })
        .await
    }

    /// All domains with the mark of a component.
    pub async fn list(&self, component: String) -> Result<Vec<Seen>, HypervisorError> {
        self.call("listing domains", move |connection| {
            let mut found = Vec::new();
            for domain in connection.list_all_domains(0)? {
                found.extend(unless_gone(see(&domain))?.flatten());
            }
            found.retain(|seen: &Seen| seen.mark.component == component);
            Ok(found)
        })
        .await
    }

    /// Presses the power button. Fine if the domain is gone.
    pub async fn press_power_button(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.call("pressing the power button", move |connection| {
            on_active(connection, uuid, |domain| {
                domain
                    .shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
                    .map(drop)
            })
        })
        .await
    }

    /// Pulls the plug. Fine if the domain is gone.
    pub async fn destroy(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.call("forcing the domain to end", move |connection| {
            on_active(connection, uuid, |domain| domain.destroy())?;
            // Ours are transient; a definition that somebody added would bring it back.
            on_known(connection, uuid, |domain| match domain.is_persistent()? {
                true => domain.undefine(),
                false => Ok(()),
            })
        })
        .await
    }

    /// How large the first disk of a running domain is for its guest; none where it runs no more.
    pub async fn disk_size(&self, uuid: Uuid) -> Result<Option<Size>, HypervisorError> {
        self.call("looking at the disk", move |connection| {
            let domain = Domain::lookup_by_uuid(connection, uuid);
            let info = unless_gone(domain.and_then(|domain| domain.get_block_info("vda", 0)))?;
            Ok(info.map(|info| Size::bytes(info.capacity)))
        })
        .await
    }

    /// Lets the first disk of a running domain grow.
    pub async fn grow(&self, uuid: Uuid, size: Size) -> Result<(), HypervisorError> {
        self.call("letting the disk grow", move |connection| {
            on_active(connection, uuid, |domain| {
                domain
                    .block_resize("vda", size.as_bytes(), sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                    .map(drop)
            })
        })
        .await
    }

    /// The network cards of a running domain by their MACs; none where it runs no more.
    pub async fn plugged(&self, uuid: Uuid) -> Result<Option<Vec<MacAddr>>, HypervisorError> {
        self.call("looking at the network cards", move |connection| {
            let domain = Domain::lookup_by_uuid(connection, uuid);
            let text = domain.and_then(|domain| match domain.is_active()? {
                true => domain.get_xml_desc(0).map(Some),
                false => Ok(None),
            });
            Ok(unless_gone(text)?.flatten().map(|text| domain::macs(&text)))
        })
        .await
    }

    /// Plugs a network card into a running domain. Fine if the domain is gone.
    pub async fn plug(&self, uuid: Uuid, nic: Nic) -> Result<(), HypervisorError> {
        self.call("plugging in a network card", move |connection| {
            let (xml, live) = (domain::write_card(&nic), sys::VIR_DOMAIN_AFFECT_LIVE);
            on_active(connection, uuid, |domain| {
                domain.attach_device_flags(&xml, live).map(drop)
            })
        })
        .await
    }

    /// Asks a running domain to let go of a network card, which it does when it wants. Fine if the domain is gone.
    pub async fn unplug(&self, uuid: Uuid, nic: Nic) -> Result<(), HypervisorError> {
        self.call("unplugging a network card", move |connection| {
            let (xml, live) = (domain::write_card(&nic), sys::VIR_DOMAIN_AFFECT_LIVE);
            on_active(connection, uuid, |domain| {
                domain.detach_device_flags(&xml, live).map(drop)
            })
        })
        .await
    }

    /// Replaces the mark of a running domain.
    pub async fn set_mark(&self, uuid: Uuid, mark: &DomainMark) -> Result<(), HypervisorError> {
        let element = mark.to_element();
        self.call("marking the domain", move |connection| {
            on_active(connection, uuid, |domain| {
                let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
                let live = sys::VIR_DOMAIN_AFFECT_LIVE;
                domain
                    .set_metadata(kind, Some(&element), Some("rhyzome"), Some(NAMESPACE), live)
                    .map(drop)
            })
        })
        .await
    }

    /// Whether libvirt has domains of a type, or what it says.
    pub async fn supports(
        &self,
        kind: &'static str,
    ) -> Result<Result<(), String>, HypervisorError> {
        self.call("asking for capabilities", move |connection| {
            let capabilities = connection.get_domain_capabilities(
                None,
                Some("x86_64"),
                Some("q35"),
                Some(kind),
                0,
            );
            Ok(capabilities
                .map(drop)
                .map_err(|error| error.message().to_owned()))
        })
        .await
    }

    pub async fn versions(&self) -> Result<Versions, HypervisorError> {
        self.call("asking for versions", |connection| {
            Ok(Versions {
                libvirt: dotted(connection.get_lib_version()?),
                qemu: dotted(connection.get_hyp_version()?),
            })
        })
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connect) -> Result<T, virt::error::Error> + Send + 'static,
    ) -> Result<T, HypervisorError> {
        let connection = self.connection.clone();
        let work = move || {
            let connection = connection.get()?;
            work(&connection).map_err(|source| HypervisorError::Call { operation, source })
        };
        self.threads
            .run(work)
            .await
            .unwrap_or(Err(HypervisorError::Ended { operation }))
    }
}

/// Waits for what libvirt does in the background after opening: it takes up the guests that run, each
/// under a lock that this asks for. Before that it may call a running guest stopped.
fn settle(connection: &Connect) -> Result<(), virt::error::Error> {
    for domain in connection.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)? {
        if unless_gone(see(&domain))?.flatten().is_some() {
            unless_gone(domain.memory_stats(0))?;
        }
    }
    Ok(())
}

/// What a domain is, where it is one of ours and not yet gone.
fn see(domain: &Domain) -> Result<Option<Seen>, virt::error::Error> {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
    let element = match domain.get_metadata(kind, Some(NAMESPACE), sys::VIR_DOMAIN_AFFECT_CURRENT) {
        Ok(element) => element,
        Err(error) if error.code() == ErrorNumber::NoDomainMetadata => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(mark) = DomainMark::parse(&element) else {
        return Ok(None);
    };
    let (state, _) = domain.get_state()?;
    if state == sys::VIR_DOMAIN_SHUTOFF && !domain.is_persistent()? {
        return Ok(None);
    }
    let running = matches!(state, sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED);
    Ok(Some(Seen {
        uuid: domain.get_uuid()?,
        running,
        mark,
    }))
}

/// Turns "there is no such domain" and "it does not run (any more)" into none.
fn unless_gone<T>(result: Result<T, virt::error::Error>) -> Result<Option<T>, virt::error::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.code(),
                ErrorNumber::NoDomain | ErrorNumber::OperationInvalid
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn on_known(
    connection: &Connect,
    uuid: Uuid,
    work: impl FnOnce(&Domain) -> Result<(), virt::error::Error>,
) -> Result<(), virt::error::Error> {
    unless_gone(Domain::lookup_by_uuid(connection, uuid).and_then(|domain| work(&domain)))
        .map(|_| ())
}

/// As [`on_known`], and tells a domain that ended under our hands from a call that failed.
fn on_active(
    connection: &Connect,
    uuid: Uuid,
    work: impl FnOnce(&Domain) -> Result<(), virt::error::Error>,
) -> Result<(), virt::error::Error> {
    on_known(connection, uuid, |domain| match work(domain) {
        // Where libvirt went away meanwhile, nobody knows that it ended.
        Err(error) => match unless_gone(domain.is_active()) {
            Ok(None | Some(false)) => Ok(()),
            Ok(Some(true)) | Err(_) => Err(error),
        },
        Ok(()) => Ok(()),
    })
}

/// libvirt's numbers: 1,000,000 major, 1,000 minor, release.
fn dotted(version: u32) -> String {
    format!(
        "{}.{}.{}",
        version / 1_000_000,
        version / 1_000 % 1_000,
        version % 1_000
    )
}
