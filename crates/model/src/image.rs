//! Images: bytes named by their SHA-256, with a format found by looking at them.

pub mod recognise;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Digest, Size};

/// What is asked of an image: a name for bytes that were uploaded before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// The bytes: uploaded before with `PUT …/blobs/{digest}`.
    pub digest: Digest,
    /// The initial RAM disk, uploaded before likewise; only for a kernel.
    #[serde(default)]
    pub initrd: Option<Digest>,
    /// The command line of instances that give none, with the placeholders of
    /// [`InstanceSpec::command_line`](crate::instance::InstanceSpec::command_line).
    #[serde(default)]
    pub command_line: String,
}

/// What an image is, as its bytes say.
///
/// The family decides the machine an instance of it gets: type, virtio flavour, devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum ImageFormat {
    /// A Linux kernel as bzImage.
    Linux,
    /// An ELF with a PVH note (Xen, type 18): ours, OSv, a Linux `vmlinux`.
    Pvh,
    /// An ELF with a multiboot 1 header of no family known here.
    Multiboot,
    /// Solo5 for virtio (MirageOS): the devices that its manifest asks for, neither more nor fewer.
    Solo5 { networks: u8, blocks: u8 },
    /// Unikraft for QEMU.
    Unikraft,
    /// The Hermit loader; its application is the initrd.
    Hermit,
}

impl ImageFormat {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Pvh => "pvh",
            Self::Multiboot => "multiboot",
            Self::Solo5 { .. } => "solo5",
            Self::Unikraft => "unikraft",
            Self::Hermit => "hermit",
        }
    }
}

/// The bytes of an image as the image host has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Blob {
    pub digest: Digest,
    pub size: Size,
}
