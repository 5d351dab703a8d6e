//! A libvirt domain as a typed description: what an instance's guest gets for a machine.
//!
//! The machine follows from the image's family, because no single one boots them all: Solo5 and
//! Unikraft drive only legacy virtio on PCI bus 0, which is the machine `pc`; Hermit drives only modern
//! virtio, which is what `q35` has behind its root ports. There is no graphics, no USB and no balloon.
//!
//! Every domain is **transient**: libvirt knows it as long as its QEMU runs, and forgets it then. This
//! component brings up what has to run from its own records, after a reboot too; a persistent
//! definition would be a second truth, started by libvirt behind the back of the port rules, and left
//! behind by whoever removes this component.

mod mark;
mod xml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rhyzome_model::image::devices::WrongDevices;
use rhyzome_model::image::{ImageFormat, Solo5DeviceKind};
use rhyzome_model::instance::{Firmware, InstancePlacement};
use rhyzome_model::network::{bridge_name, tap_name};
use rhyzome_model::{MacAddr, Name, Size};
use uuid::Uuid;

use crate::accelerator::Accelerator;
use crate::disk::{Base, Kind, Volume};
use crate::uefi::Ovmf;

pub use mark::{DomainMark, NAMESPACE, spec_hash};
pub use xml::{macs, write_card};

/// What libvirt is told to make.
#[derive(Clone, Debug)]
pub struct Domain {
    /// The instance's id.
    pub uuid: Uuid,
    /// What `virsh list` shows.
    pub name: String,
    pub accelerator: Accelerator,
    pub machine: Machine,
    pub cpus: u32,
    pub memory: Size,
    pub boot: Boot,
    /// In the order in which a guest finds them.
    pub disks: Vec<DiskDevice>,
    /// Where the serial console's pipes are: this path with `.in` and `.out`.
    pub console: PathBuf,
    pub nics: Vec<Nic>,
    /// The network cards of a router's networks, which come and go while it runs.
    pub cards: Vec<Nic>,
    /// For how many of them there is a slot.
    pub card_slots: usize,
    /// Whether it gets a source of random numbers on virtio.
    pub random: bool,
    /// Whether its resets are reboots, which stay inside the domain.
    pub may_reset: bool,
    pub mark: DomainMark,
}

/// What a guest boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    Kernel {
        /// Without spaces: a multiboot guest sees `<path> <command line>`, and Solo5 cuts at the first
        /// space.
        path: PathBuf,
        initrd: Option<PathBuf>,
        command_line: String,
    },
    /// SeaBIOS, which is part of QEMU.
    Bios,
    Uefi {
        ovmf: Ovmf,
        /// The instance's own variables; libvirt makes them where they are missing.
        variables: PathBuf,
    },
}

/// A virtio disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskDevice {
    pub path: PathBuf,
    pub content: Content,
    /// As a network card's.
    pub slot: Option<u8>,
}

/// What a disk is on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A qcow2 file, above an image or above nothing.
    Overlay { base: Option<Base> },
    /// A block device.
    Device,
    /// A file that is only read.
    Seed,
}

/// The first slot of PCI bus 0 on `pc` that nothing else takes: the chipset is in 0 and 1, and 2 is for a
/// display.
const FIRST_SLOT: u8 = 3;

/// A machine type of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// i440FX: virtio devices on PCI bus 0 speak the legacy protocol too.
    Pc,
    /// Q35: virtio devices behind PCIe root ports speak the modern protocol only.
    Q35,
}

impl Machine {
    pub fn of(format: &ImageFormat) -> Self {
        match format {
            ImageFormat::Solo5 { .. } | ImageFormat::Unikraft { .. } => Self::Pc,
            ImageFormat::Linux
            | ImageFormat::Pvh
            | ImageFormat::Multiboot
            | ImageFormat::Hermit
            | ImageFormat::Osv
            | ImageFormat::Disk { .. } => Self::Q35,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Q35 => "q35",
        }
    }
}

/// A virtio network card on a tap of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    pub tap: String,
    pub bridge: String,
    pub mac: MacAddr,
    /// In bytes; none where it is the bridge's.
    pub mtu: Option<u16>,
    /// The slot on PCI bus 0 that it has to be in; none where libvirt may choose.
    pub slot: Option<u8>,
}

/// The files that a domain is made with.
#[derive(Clone, Debug)]
pub struct Files {
    /// The kernel, or the image that the disk is made from.
    pub image: PathBuf,
    pub initrd: Option<PathBuf>,
    pub console: PathBuf,
    pub disk: Option<Volume>,
    /// What the guest reads about itself from.
    pub seed: Option<PathBuf>,
    pub ovmf: Option<Ovmf>,
    /// The instance's UEFI variables.
    pub variables: PathBuf,
}

/// A spec that cannot be a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomain {
    #[error("the command line has the character {0:?}, which cannot be given to a guest")]
    CommandLine(char),
    #[error(transparent)]
    Devices(#[from] WrongDevices),
    #[error("the path {0:?} has a character that guests cannot be given")]
    Path(PathBuf),
    #[error(
        "the host has no bridge {0} of its own: name its device in this component's configuration, under `bridges`"
    )]
    NoBridge(Name),
    #[error("the instance boots by UEFI, and {}", crate::uefi::MISSING)]
    NoUefi,
}

impl Domain {
    /// What an instance needs; `bridges` are the host's own, by what its configuration calls them.
    ///
    /// # Errors
    /// Where a bridge is not among the host's, the image asks for devices that the instance does not have, or a text cannot be passed on.
    pub fn new(
        spec: &InstancePlacement,
        files: Files,
        accelerator: Accelerator,
        mark: DomainMark,
        bridges: &BTreeMap<Name, String>,
    ) -> Result<Self, InvalidDomain> {
        let format = &spec.image.format;
        let cards = spec.interfaces.len() + spec.bridges.len();
        format.check_devices(cards, usize::from(spec.disk.is_some()))?;
        // XML 1.0 has no way to write these (production 2, "Char"), and no guest has a use for them.
        if let Some(c) = spec
            .command_line
            .chars()
            .find(|c| c.is_control() || *c >= '\u{fffe}')
        {
            return Err(InvalidDomain::CommandLine(c));
        }
        for path in [
            Some(&files.image),
            files.initrd.as_ref(),
            Some(&files.console),
            files.disk.as_ref().map(|disk| &disk.path),
            files.seed.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            let fits =
                |text: &str| !text.contains(|c: char| c.is_control() || c == ' ' || c == ',');
            if !path.to_str().is_some_and(fits) {
                return Err(InvalidDomain::Path(path.clone()));
            }
        }
        let mut disks = disks(spec, &files);
        let boot = boot(spec, &files)?;
        let id = spec.instance.0;
        let nic = |(index, interface): (usize, &rhyzome_model::instance::Interface)| Nic {
            tap: tap_name(id, index),
            bridge: bridge_name(interface.network),
            mac: interface.mac,
            mtu: Some(interface.mtu),
            slot: None,
        };
        let mut nics: Vec<Nic> = spec.interfaces.iter().enumerate().map(nic).collect();
        for on in &spec.bridges {
            let device = bridges.get(&on.bridge);
            nics.push(Nic {
                tap: tap_name(id, nics.len()),
                bridge: device
                    .ok_or_else(|| InvalidDomain::NoBridge(on.bridge.clone()))?
                    .clone(),
                mac: on.mac,
                mtu: None,
                slot: None,
            });
        }
        if let Some(order) = format.device_order() {
            place(&order, &mut nics, &mut disks);
        }
        Ok(Self {
            uuid: id,
            name: name(spec),
            accelerator,
            machine: Machine::of(&spec.image.format),
            cpus: spec.cpus,
            memory: spec.memory,
            boot,
            disks,
            console: files.console,
            nics,
            cards: Vec::new(),
            card_slots: spec.card_slots as usize,
            random: !matches!(
                spec.image.format,
                ImageFormat::Solo5 { .. } | ImageFormat::Unikraft { .. }
            ),
            may_reset: matches!(format, ImageFormat::Disk { guest: None, .. }),
            mark,
        })
    }

    /// The same with network cards of a router's networks.
    #[must_use]
    pub fn with_cards(self, cards: Vec<Nic>) -> Self {
        Self { cards, ..self }
    }

    /// As libvirt reads it: <https://libvirt.org/formatdomain.html>.
    pub fn to_xml(&self) -> String {
        xml::write(self)
    }
}

fn boot(spec: &InstancePlacement, files: &Files) -> Result<Boot, InvalidDomain> {
    match spec.disk.and_then(|disk| disk.firmware) {
        None => Ok(Boot::Kernel {
            path: files.image.clone(),
            initrd: files.initrd.clone(),
            command_line: spec.command_line.clone(),
        }),
        Some(Firmware::Bios) => Ok(Boot::Bios),
        Some(Firmware::Uefi) => Ok(Boot::Uefi {
            ovmf: files.ovmf.clone().ok_or(InvalidDomain::NoUefi)?,
            variables: files.variables.clone(),
        }),
    }
}

/// Puts devices into slots in the order of a Solo5 manifest: it takes them as it finds them there, cards
/// and disks alike. Left to itself, libvirt puts all cards before all disks.
fn place(order: &[Solo5DeviceKind], nics: &mut [Nic], disks: &mut [DiskDevice]) {
    let (mut nics, mut disks) = (nics.iter_mut(), disks.iter_mut());
    for (slot, kind) in (FIRST_SLOT..).zip(order) {
        let device = match kind {
            Solo5DeviceKind::Network => nics.next().map(|nic| &mut nic.slot),
            Solo5DeviceKind::Block => disks.next().map(|disk| &mut disk.slot),
        };
        if let Some(device) = device {
            *device = Some(slot);
        }
    }
}

/// Its own disk first, then what it reads about itself from.
fn disks(spec: &InstancePlacement, files: &Files) -> Vec<DiskDevice> {
    let base = base(&spec.image.format, &files.image);
    let own = files.disk.iter().map(|volume| DiskDevice {
        path: volume.path.clone(),
        content: match volume.kind {
            Kind::Overlay => Content::Overlay { base: base.clone() },
            Kind::Device => Content::Device,
        },
        slot: None,
    });
    let seed = files.seed.iter().map(|path| DiskDevice {
        path: path.clone(),
        content: Content::Seed,
        slot: None,
    });
    own.chain(seed).collect()
}

/// What an instance's disk begins as: the image, where that is a disk.
pub fn base(format: &ImageFormat, image: &Path) -> Option<Base> {
    match format {
        ImageFormat::Disk { layout, .. } => Some(Base {
            path: image.to_owned(),
            layout: *layout,
        }),
        _ => None,
    }
}

/// Whether an instance has a disk to read about itself from: a whole system has, which may run
/// cloud-init. A kernel's guest, and a unikernel on a disk, reads no such thing.
pub fn has_seed(spec: &InstancePlacement) -> bool {
    let boots = spec.disk.is_some_and(|disk| disk.firmware.is_some());
    boots && matches!(spec.image.format, ImageFormat::Disk { guest: None, .. })
}

/// The domain's name: for people, and unique on the host.
pub fn name(spec: &InstancePlacement) -> String {
    format!(
        "{}.{}.{}",
        spec.project,
        spec.name,
        rhyzome_model::id::short(spec.instance.0)
    )
}

#[cfg(test)]
mod tests;
