//! Images: bytes named by their SHA-256, with a format found by looking at them.

pub mod devices;
pub mod recognise;
pub mod tag;

pub use tag::{ImageTagSpec, Tag, TagFilter};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::instance::Firmware;
use crate::{Digest, Size, Timestamp};

/// What is asked of an image: a name for bytes that were uploaded before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// The bytes: uploaded before with `PUT …/blobs/{digest}`.
    pub digest: Digest,
    /// The initial RAM disk, uploaded before likewise; only for a kernel.
    #[serde(default)]
    pub initrd: Option<Digest>,
    /// The command line of instances that give none, with the placeholders of an instance's
    /// `command_line`.
    #[serde(default)]
    pub command_line: String,
}

/// What an image is, as its bytes say: a disk, or a kernel of a family.
///
/// The family decides the machine an instance of it gets: type, virtio flavour, devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum ImageFormat {
    /// A Linux kernel as bzImage.
    Linux,
    /// An ELF with a PVH note (Xen, type 18) of no family known here: ours, a Linux `vmlinux`.
    Pvh,
    /// An ELF with a multiboot 1 header of no family known here.
    Multiboot,
    /// Solo5 for virtio (MirageOS): the devices that its manifest asks for, neither more nor fewer.
    Solo5 {
        networks: u8,
        blocks: u8,
        /// All of them, in the order in which the unikernel looks for them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        devices: Vec<Solo5Device>,
    },
    /// Unikraft for QEMU.
    Unikraft {
        /// Whether it was built with the parameter library, so that it takes network settings.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        parameters: bool,
    },
    /// The Hermit loader; its application is the initrd.
    Hermit,
    /// The kernel of OSv (`loader.elf`).
    Osv,
    /// A disk with a boot loader of its own.
    Disk {
        layout: DiskLayout,
        /// As its guest sees it; the file may be smaller by far.
        size: Size,
        firmware: DiskFirmware,
        /// The unikernel on it, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guest: Option<DiskGuest>,
    },
}

/// A unikernel that comes as a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskGuest {
    /// Made by `ops`: what it runs and how is in the image, its address comes by DHCP.
    Nanos,
    /// Its command line is in the image, from byte 512 on.
    Osv,
}

/// A device in a Solo5 manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Solo5Device {
    /// What the application calls it: letters and digits.
    pub name: String,
    pub kind: Solo5DeviceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Solo5DeviceKind {
    Network,
    Block,
}

/// How a disk's bytes are laid out in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskLayout {
    Raw,
    Qcow2,
}

impl DiskLayout {
    /// As QEMU calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// Which firmware a disk image has a boot loader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskFirmware {
    Bios,
    Uefi,
    /// Either boots it.
    Both,
}

impl DiskFirmware {
    /// What an instance gets that asks for none: BIOS where it boots, since every host has that.
    pub fn preferred(self) -> Firmware {
        match self {
            Self::Bios | Self::Both => Firmware::Bios,
            Self::Uefi => Firmware::Uefi,
        }
    }
}

impl ImageFormat {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Pvh => "pvh",
            Self::Multiboot => "multiboot",
            Self::Solo5 { .. } => "solo5",
            Self::Unikraft { .. } => "unikraft",
            Self::Hermit => "hermit",
            Self::Disk {
                guest: Some(DiskGuest::Nanos),
                ..
            } => "nanos",
            Self::Osv
            | Self::Disk {
                guest: Some(DiskGuest::Osv),
                ..
            } => "osv",
            Self::Disk { guest: None, .. } => "disk",
        }
    }
}

/// Bytes that have come in part: the rest is sent with `PATCH …/uploads/{digest}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    pub digest: Digest,
    /// Of the whole.
    pub size: Size,
    /// How many bytes are there; the next ones go on from here.
    pub offset: u64,
    /// Whether a request is sending more just now.
    pub receiving: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When it is forgotten, if nobody goes on with it.
    pub expires_at: Timestamp,
}

/// What came of reading an image's bytes at the image host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageVerification {
    /// Whether they are being read just now.
    pub running: bool,
    /// Whether all was read that should be, and is as it should be.
    pub good: bool,
    /// The image's own, and its initial RAM disk's.
    pub blobs: Vec<BlobVerification>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobVerification {
    pub digest: Digest,
    pub size: Size,
    /// How many bytes have been read by now, where they are being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// What is wrong with them; they are not handed out then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// Why they could not be read when somebody asked for it the last time: nothing is known of them then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// When they were read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
}

/// The bytes of an image as the image host has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Blob {
    pub digest: Digest,
    pub size: Size,
}
