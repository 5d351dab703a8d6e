//! Why bytes are no image: one variant for each thing that people do upload.

use crate::Size;

/// Why bytes are no image that can be booted, in a sentence that says what to do where that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there are no bytes")]
    Empty,
    #[error(
        "this is no kernel of a kind known here: a Linux bzImage, or an ELF with a PVH note or a multiboot header, is possible"
    )]
    Unknown,
    #[error(
        "this {what} is cut off: it says that it has at least {wanted} bytes, and there are {size}"
    )]
    Truncated {
        what: &'static str,
        wanted: u64,
        size: u64,
    },
    #[error("this {what} contradicts itself: {why}")]
    Malformed {
        what: &'static str,
        why: &'static str,
    },

    #[error(
        "this is compressed with {0}: decompress it ({1}) and import what is inside; only an initrd may stay compressed"
    )]
    Compressed(&'static str, &'static str),
    #[error("this is an archive ({0}): unpack it, and import the kernel or disk image inside it")]
    Archive(&'static str),
    #[error(
        "this is an initial RAM disk (cpio), which belongs to a kernel: import the kernel as the image and this as its initrd"
    )]
    InitialRamDisk,
    #[error("this is a disk image in the format {0}: convert it with `qemu-img convert -O qcow2`")]
    DiskFormat(&'static str),
    #[error(
        "this is a medium to install from (ISO 9660): import the image of a disk that a system is installed on"
    )]
    Medium,
    #[error(
        "this is a file system ({0}) and no disk: nothing boots it without a partition table and a boot loader"
    )]
    FileSystem(&'static str),
    #[error(
        "this disk image needs another file below it (a backing file): make it whole with `qemu-img convert -O qcow2`"
    )]
    BackingFile,
    #[error(
        "this disk image has its data in another file: make it whole with `qemu-img convert -O qcow2`"
    )]
    DataFile,
    #[error(
        "this disk image's clusters are so small that its first table has more than 1 MiB: make them larger with \
         `qemu-img convert -O qcow2`"
    )]
    FirstTable,
    #[error(
        "this disk image is encrypted, and nobody here has the key: decrypt it with `qemu-img convert`"
    )]
    Encrypted,
    #[error(
        "this disk image was not closed after it was written: repair it with `qemu-img check -r all`"
    )]
    NotClosed,
    #[error("this disk image is marked as corrupt: repair it with `qemu-img check -r all`")]
    Corrupt,
    #[error(
        "this disk image has {0} snapshots inside, which nobody could ever boot: leave them out with `qemu-img convert -O qcow2`"
    )]
    Snapshots(u64),
    #[error(
        "this disk image has a feature that is not known here (bit {0}): convert it with `qemu-img convert -O qcow2`"
    )]
    DiskFeature(u32),
    #[error(
        "this disk image is compressed in a way that is not known here (type {0}): convert it with `qemu-img convert -O qcow2`"
    )]
    DiskCompression(u8),
    #[error("this is the image of a disk of {0}: from 1 sector to 16TiB is possible")]
    DiskSize(Size),
    #[error(
        "this is the image of a disk of {0} bytes, which are no whole sectors of 512: it may be cut off"
    )]
    Sectors(u64),
    #[error("this disk image has nothing that boots: {0}")]
    NoBootLoader(&'static str),
    #[error(
        "this is a program for UEFI: build it for QEMU without UEFI (Unikraft: platform qemu instead of efi; Linux: bzImage)"
    )]
    Efi,
    #[error("this is a Windows program, no kernel")]
    WindowsProgram,
    #[error("this is {0}, no image")]
    Text(&'static str),

    #[error("this is {built} for {architecture}: instances are x86-64")]
    Architecture {
        architecture: String,
        /// What it is, where that is known.
        built: String,
    },
    #[error(
        "this is a Solo5 image for {0}, which instances are not: build it for virtio (MirageOS: mirage configure -t virtio)"
    )]
    Solo5Target(String),
    #[error(
        "this is a Solo5 image for virtio without a manifest of its devices: build it with Solo5 0.6 or later"
    )]
    Solo5WithoutManifest,
    #[error("this is a Solo5 image that wants {0} networks: at most {1} can be given")]
    Solo5Networks(u8, u8),
    #[error(
        "this is a Unikraft image for another platform (Firecracker or Xen, perhaps): build it for qemu on x86_64"
    )]
    UnikraftPlatform,
    #[error(
        "this is the kernel of Nanos, which boots only from a disk image: import the image that `ops image create` makes"
    )]
    NanosKernel,
    #[error(
        "this is a Hermit application: import the Hermit loader (hermit-loader-x86_64) as the image and this as its initrd"
    )]
    HermitApplication,
    #[error(
        "this is the Hermit loader for another platform (Firecracker, perhaps): import hermit-loader-x86_64, and the application as its initrd"
    )]
    HermitPlatform,
    #[error(
        "this is a 64-bit IncludeOS service, which needs its chain loader: import the chain loader as the image and this as its initrd"
    )]
    IncludeOs,
    #[error(
        "this is a 64-bit ELF with a multiboot header whose flags lack 0x10000, which the loader does not take: convert it to a 32-bit ELF (objcopy -O elf32-i386)"
    )]
    MultibootOf64Bits,
    #[error(
        "this kernel has a multiboot 2 header only, which the loader does not know: give it a PVH note or a multiboot 1 header"
    )]
    Multiboot2,
    #[error("this is a Linux kernel as ELF (vmlinux) without a PVH note: import the bzImage")]
    LinuxWithoutPvh,
    #[error("this is an ordinary program or library for {0}, no kernel")]
    Program(&'static str),
    #[error("this is an object file or a library that was not linked into a kernel")]
    NotLinked,
    #[error("this ELF has no segment to load, so there is nothing to boot")]
    NothingToLoad,
    #[error(
        "this ELF has neither a PVH note nor a multiboot header: link it for QEMU's direct kernel boot"
    )]
    NoEntry,
}

impl Refused {
    /// Of another architecture; `what` is what it is, where that is known.
    pub(super) fn architecture(architecture: String, what: Option<&str>) -> Self {
        let built = what.map_or_else(|| "built".to_owned(), |what| format!("a {what} built"));
        Self::Architecture {
            architecture,
            built,
        }
    }

    /// A word for programs, stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "image_empty",
            Self::Truncated { .. } | Self::Malformed { .. } => "image_damaged",
            Self::Compressed(..) | Self::Archive(_) => "image_packed",
            Self::DiskFormat(_)
            | Self::BackingFile
            | Self::DataFile
            | Self::FirstTable
            | Self::Encrypted
            | Self::Snapshots(_)
            | Self::DiskFeature(_)
            | Self::DiskCompression(_) => "image_disk_format",
            Self::NotClosed | Self::Corrupt | Self::Sectors(_) => "image_damaged",
            Self::DiskSize(_) => "image_disk_size",
            Self::Medium | Self::FileSystem(_) | Self::NoBootLoader(_) => "image_no_boot_loader",
            Self::Architecture { .. } => "image_architecture",
            Self::InitialRamDisk | Self::HermitApplication => "image_is_initrd",
            Self::Solo5Target(_)
            | Self::UnikraftPlatform
            | Self::NanosKernel
            | Self::HermitPlatform
            | Self::Efi
            | Self::IncludeOs
            | Self::MultibootOf64Bits
            | Self::Multiboot2
            | Self::LinuxWithoutPvh => "image_platform",
            Self::Solo5WithoutManifest | Self::Solo5Networks(..) => "image_devices",
            Self::Unknown
            | Self::WindowsProgram
            | Self::Text(_)
            | Self::Program(_)
            | Self::NotLinked
            | Self::NothingToLoad
            | Self::NoEntry => "image_no_kernel",
        }
    }
}
