//! Why an image cannot be prepared, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::needs::Missing;
use crate::package::PackageError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{what} cannot be used")]
    Io {
        what: &'static str,
        source: io::Error,
    },
    #[error("{} is not a file", .path.display())]
    NoFile { path: PathBuf },
    #[error("{} is there already", .path.display())]
    Present { path: PathBuf },
    #[error("{} is cut off or damaged", .path.display())]
    Gzip { path: PathBuf, source: io::Error },
    #[error("{} is compressed otherwise than OpenWrt's images are", .path.display())]
    Compressed { path: PathBuf, with: &'static str },
    #[error("it is no image of a disk: it has no partition table")]
    NoTable,
    #[error("its partition table (GPT) is damaged: {reason}")]
    DamagedTable { reason: &'static str },
    #[error("it is cut off: partition {partition} ends at byte {end}, and the image at {size}")]
    CutOff {
        partition: usize,
        end: u64,
        size: u64,
    },
    #[error("none of its partitions has an ext4 file system")]
    NoRoot,
    #[error("its root is squashfs, which cannot be written to")]
    Squashfs,
    #[error("it is not OpenWrt: no ext4 file system in it has an /etc/openwrt_release")]
    NotOpenWrt,
    #[error("{name} is not on this machine")]
    NoTool { name: &'static str },
    #[error("{} cannot be run", .program.display())]
    Run { program: PathBuf, source: io::Error },
    #[error("its file system is damaged: {said}")]
    Damaged { said: String },
    #[error("after writing, its file system was not as it should be: {said}")]
    Inconsistent { said: String },
    #[error("its file system did not become larger: {said}")]
    NotGrown { said: String },
    #[error("debugfs did not answer: {said}")]
    Unanswered { said: String },
    #[error("{path} was written and is not in the image: {what} (debugfs said: {said})")]
    ReadBack {
        path: String,
        what: String,
        said: String,
    },
    #[error("there is something else at {path} in the image")]
    InTheWay { path: String },
    #[error("{name:?} is a name that cannot be written into an image")]
    OddName { name: String },
    #[error(
        "its root is full: {} KiB are needed and {} of {} KiB are free", .needed >> 10, .free >> 10, .size >> 10
    )]
    Full { needed: u64, free: u64, size: u64 },
    #[error("its root is larger than {} MiB already: it has {} MiB", .asked >> 20, .now >> 20)]
    RootSize { asked: u64, now: u64 },
    #[error("its root cannot become larger: partition {behind} is behind it")]
    NotLast { behind: usize },
    #[error("its root cannot become so large: its partition table ends at 2 TiB")]
    TooLarge,
    #[error("it is prepared already: it has an /etc/config/rhyzome")]
    Prepared,
    #[error("it is for {image}, and Rhyzome's component is for x86_64")]
    Architecture { image: String },
    #[error("{} cannot be the component's program: {reason}", .path.display())]
    Agent { path: PathBuf, reason: &'static str },
    #[error("its /etc/config/network cannot be read, so OpenWrt could not either")]
    Network { source: rhyzome_uci::ReadError },
    #[error("{} cannot be installed", .path.display())]
    Package { path: PathBuf, source: PackageError },
    #[error("it lacks packages: {}", list(.missing))]
    Missing {
        missing: Vec<Missing>,
        /// Of OpenWrt; maybe empty.
        version: String,
        /// Whether its packages are kept by apk.
        apk: bool,
    },
    /// Somebody has had enough.
    #[error("interrupted")]
    Stopped,
}

fn list(missing: &[Missing]) -> String {
    let all: Vec<String> = missing.iter().map(ToString::to_string).collect();
    all.join(", ")
}

impl Error {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    pub(crate) fn reading(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    /// What to do about it, if something can be done.
    pub fn advice(&self) -> Option<String> {
        let official = "take an official image for x86/64 whose name ends in `ext4-combined.img.gz` or \
                        `ext4-combined-efi.img.gz`";
        let again = "get the image again, and compare its digest with the `sha256sums` beside it";
        Some(match self {
            Self::Present { .. } => "give another path, or --force to write over it".to_owned(),
            Self::Gzip { .. } | Self::DamagedTable { .. } | Self::CutOff { .. } | Self::Damaged { .. } => {
                again.to_owned()
            }
            Self::Compressed { with, .. } => format!("decompress it first (`{with}`)"),
            Self::NoTable | Self::NoRoot | Self::Squashfs | Self::NotOpenWrt | Self::Architecture { .. } => {
                official.to_owned()
            }
            Self::NoTool { .. } => "install e2fsprogs (`apt install e2fsprogs`, `brew install e2fsprogs`)".to_owned(),
            Self::Full { .. } => "make it larger with --root-size, as `--root-size 256MiB`".to_owned(),
            Self::Prepared => {
                "--force prepares it again, with another token; or begin with the image that it was made of"
                    .to_owned()
            }
            Self::Agent { .. } => {
                "give another with --agent: the program `rhyzome-openwrt` of a release, or what `packaging/openwrt/build` makes, which is static".to_owned()
            }
            Self::Package { source, .. } => return package_advice(source),
            Self::Missing { version, apk, .. } => missing_advice(version, *apk),
            _ => return None,
        })
    }
}

fn package_advice(source: &PackageError) -> Option<String> {
    Some(match source {
        PackageError::NotOpkg => by_apk(),
        PackageError::Apk => format!(
            "for an image of OpenWrt 24.10 or before, take the packages' .ipk files of its release; for one of a \
             later release, {}",
            by_apk()
        ),
        PackageError::Architecture { .. } | PackageError::Kernel { .. } => {
            "take it from the folder of the very release and target that the image is of; kernel modules are in `kmods`"
                .to_owned()
        }
        PackageError::Damaged(_) => "get it again".to_owned(),
        PackageError::Another { .. } => "leave it out: the image's own serves".to_owned(),
        _ => return None,
    })
}

fn missing_advice(version: &str, apk: bool) -> String {
    if apk {
        return by_apk();
    }
    let release = match version.is_empty() {
        true => "the image's release".to_owned(),
        false => format!("releases/{version}"),
    };
    format!(
        "get their .ipk files from downloads.openwrt.org ({release}: packages of x86_64, and `kmods` of x86/64 for \
         those that begin with kmod-), and give each with --package"
    )
}

/// Nothing but apk itself reads or writes what later releases have.
fn by_apk() -> String {
    "let OpenWrt's image builder (or firmware-selector.openwrt.org) make an image that has them, with \
     PACKAGES=\"kmod-wireguard wireguard-tools\" and ROOTFS ext4, and prepare that one"
        .to_owned()
}
