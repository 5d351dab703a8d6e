//! OVMF, the UEFI firmware for guests: where it is, if it is.
//!
//! Each instance has its own copy of the variables; secure boot is off, as no keys are in them.

use std::path::{Path, PathBuf};

/// A build of OVMF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ovmf {
    pub code: PathBuf,
    /// What an instance's variables begin as.
    pub variables: PathBuf,
}

/// Where distributions put it, code and variables.
const PLACES: [(&str, &str); 3] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
];

/// Why a host without it boots nothing by UEFI.
pub const MISSING: &str = "OVMF is not installed there: install the package ovmf";

impl Ovmf {
    /// Looks where it usually is.
    pub fn find() -> Option<Self> {
        PLACES
            .iter()
            .find(|(code, variables)| Path::new(code).exists() && Path::new(variables).exists())
            .map(|(code, variables)| Self {
                code: code.into(),
                variables: variables.into(),
            })
    }
}
