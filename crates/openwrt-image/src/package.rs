//! Packages as files: `.ipk`, which OpenWrt has up to 24.10, with what opkg keeps of an installed one.
//!
//! Later ones have `.apk`, in a format of apk-tools of its own (version 3), which nothing but apk itself reads.

pub(crate) mod control;
mod ipk;
mod opkg;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::Error;
use crate::files::Entry;
use control::Control;

pub(crate) use opkg::{enabled, status_with};

/// A package that is to be installed.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) control: Control,
    /// Files beside the description: `conffiles`, `postinst`, and what they are.
    pub(crate) scripts: Vec<(String, Vec<u8>)>,
    /// What it installs.
    pub(crate) entries: Vec<Entry>,
}

/// What is wrong with a package, or with it on this image.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("it is an .apk, and those only apk itself can read")]
    Apk,
    #[error("it is of a very old kind (ar)")]
    Ar,
    #[error("it is no package")]
    NoPackage,
    #[error("it is cut off or damaged")]
    Damaged(#[source] std::io::Error),
    #[error("it has no {0}")]
    Lacks(&'static str),
    #[error("its description does not say {0}")]
    Undescribed(&'static str),
    #[error("{0:?} in it leads out of it")]
    Outside(String),
    #[error("{path:?} in it is {kind}, which cannot be put into an image")]
    Special { path: String, kind: &'static str },
    #[error("{0:?} in it has a name that cannot be put into an image")]
    OddName(String),
    #[error("it is larger than any package is")]
    TooLarge,
    #[error("it is for {package}, and the image is for {image}")]
    Architecture { package: String, image: String },
    #[error("it is for the kernel {package}, and the image has {image}")]
    Kernel { package: String, image: String },
    #[error("the image has {name} {installed} already, and this is {version}")]
    Another {
        name: String,
        version: String,
        installed: String,
    },
    #[error("{0} is given twice")]
    Twice(String),
    #[error(
        "the image's packages are kept by apk (OpenWrt 25.12 and later), and this is one for opkg"
    )]
    NotOpkg,
    #[error("the image does not say what is installed in it: there is no /usr/lib/opkg/status")]
    NoStatus,
}

impl Package {
    /// # Errors
    /// It cannot be read, or is none.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::reading(path))?;
        let mut begin = [0; 8];
        let length = file.read(&mut begin).map_err(Error::reading(path))?;
        let wrong = |source| Error::Package {
            path: path.to_owned(),
            source,
        };
        match &begin[..length] {
            [0x1f, 0x8b, ..] => ipk::read(path).map_err(wrong),
            [b'A', b'D', b'B', ..] => Err(wrong(PackageError::Apk)),
            [b'!', b'<', b'a', ..] => Err(wrong(PackageError::Ar)),
            _ => Err(wrong(PackageError::NoPackage)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.control.get("Package").unwrap_or_default()
    }

    pub(crate) fn version(&self) -> &str {
        self.control.get("Version").unwrap_or_default()
    }
}
