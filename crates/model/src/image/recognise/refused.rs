//! Why bytes are no image: one variant for each thing that people do upload.

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

    #[error("this is compressed with {0}: upload it uncompressed (a Linux kernel as bzImage)")]
    Compressed(&'static str),
    #[error("this is an archive ({0}): upload the kernel inside it")]
    Archive(&'static str),
    #[error(
        "this is an initial RAM disk (cpio), which belongs to a kernel: upload the kernel as the image and this as its initrd"
    )]
    InitialRamDisk,
    #[error(
        "this is a disk image ({0}): disk images come with a later version; kernels are possible now"
    )]
    Disk(&'static str),
    #[error(
        "this is a disk image of Nanos: disk images come with a later version; kernels are possible now"
    )]
    NanosDisk,
    #[error(
        "this is a program for UEFI: build it for QEMU without UEFI (Unikraft: platform qemu instead of efi)"
    )]
    Efi,
    #[error("this is a Windows program, no kernel")]
    WindowsProgram,

    #[error("this is built for {0}: instances are x86-64")]
    Architecture(String),
    #[error("this is a Solo5 image for {0}: build with -t virtio")]
    Solo5Target(String),
    #[error(
        "this is a Solo5 image for virtio without a manifest of its devices: build it with Solo5 0.6 or later"
    )]
    Solo5WithoutManifest,
    #[error("this is a Solo5 image that wants {0} {1}: at most {2} can be given")]
    Solo5Devices(u32, &'static str, u32),
    #[error(
        "this is a Unikraft image for another platform (Firecracker, perhaps): build it for qemu on x86_64"
    )]
    UnikraftPlatform,
    #[error(
        "this is the kernel of Nanos, which boots only from its disk image: disk images come with a later version"
    )]
    NanosKernel,
    #[error(
        "this is a Hermit application: upload the Hermit loader as the image and this as its initrd"
    )]
    HermitApplication,
    #[error(
        "this is a 64-bit IncludeOS service, which needs its chain loader: upload the chain loader as the image and this as its initrd"
    )]
    IncludeOs,
    #[error(
        "this is a 64-bit ELF with a multiboot header whose flags lack 0x10000, which the loader does not take: convert it to a 32-bit ELF (objcopy -O elf32-i386)"
    )]
    MultibootOf64Bits,
    #[error("this is an ordinary program or library for {0}, no kernel")]
    Program(&'static str),
    #[error("this is an object file or a library that was not linked into a kernel")]
    NotLinked,
    #[error(
        "this ELF has neither a PVH note nor a multiboot header: link it for QEMU's direct kernel boot"
    )]
    NoEntry,
}

impl Refused {
    /// A word for programs, stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "image_empty",
            Self::Truncated { .. } | Self::Malformed { .. } => "image_damaged",
            Self::Compressed(_) | Self::Archive(_) => "image_packed",
            Self::Disk(_) | Self::NanosDisk => "image_is_disk",
            Self::Architecture(_) => "image_architecture",
            Self::InitialRamDisk | Self::HermitApplication => "image_is_initrd",
            Self::Solo5Target(_)
            | Self::UnikraftPlatform
            | Self::NanosKernel
            | Self::Efi
            | Self::IncludeOs
            | Self::MultibootOf64Bits => "image_platform",
            Self::Solo5WithoutManifest | Self::Solo5Devices(..) => "image_devices",
            Self::Unknown
            | Self::WindowsProgram
            | Self::Program(_)
            | Self::NotLinked
            | Self::NoEntry => "image_no_kernel",
        }
    }
}
