//! What of ACME survives a restart: the account, and the certificate with its key.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use instant_acme::AccountCredentials;
use rhyzome_pki::credential::{Credential, CredentialError, Named};
use rhyzome_pki::file::{self, FileError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::configuration::Acme;

/// Whose account it is.
#[derive(Serialize, Deserialize)]
struct Account {
    directory: String,
    credentials: AccountCredentials,
}

/// What it was asked for, and what came. One file, so that it is there as a whole or not at all.
#[derive(Serialize, Deserialize)]
struct Certificate {
    directory: String,
    domains: Vec<String>,
    chain: String,
    key: String,
}

/// The certificate that is kept, if it is for what is configured now and good at this time.
pub fn kept(folder: &Path, settings: &Acme, now: SystemTime) -> Option<Credential> {
    let kept: Certificate = read(&certificate_path(folder))?;
    let fits =
        Some(&kept.directory) == settings.directory.as_ref() && kept.domains == settings.domains;
    let credential = credential(&kept.chain, &kept.key).ok()?;
    let is_good = credential.check_time(now, "the certificate").is_ok();
    (fits && is_good).then_some(credential)
}

pub(super) fn account(folder: &Path, directory: &str) -> Option<AccountCredentials> {
    let kept: Account = read(&account_path(folder))?;
    (kept.directory == directory).then_some(kept.credentials)
}

pub(super) fn keep_account(
    folder: &Path,
    directory: &str,
    credentials: AccountCredentials,
) -> Result<(), FileError> {
    let account = Account {
        directory: directory.to_owned(),
        credentials,
    };
    write(&account_path(folder), &account)
}

pub(super) fn keep_certificate(
    folder: &Path,
    directory: &str,
    domains: &[String],
    (chain, key): (String, String),
) -> Result<(), FileError> {
    let certificate = Certificate {
        directory: directory.to_owned(),
        domains: domains.to_vec(),
        chain,
        key,
    };
    write(&certificate_path(folder), &certificate)
}

pub(super) fn credential(chain: &str, key: &str) -> Result<Credential, CredentialError> {
    Credential::from_pem(
        Named {
            name: "the ACME server's certificate",
            pem: chain.as_bytes(),
        },
        Named {
            name: "its key",
            pem: key.as_bytes(),
        },
    )
}

fn account_path(folder: &Path) -> PathBuf {
    folder.join("account.json")
}

fn certificate_path(folder: &Path) -> PathBuf {
    folder.join("certificate.json")
}

/// What cannot be read is as if it were not there: it is asked for again.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "not readable"))
        .ok()
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(path);
    // Where it cannot be made, writing says so.
    let _ = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    let text = serde_json::to_vec(value).expect("plain data");
    file::write_atomic(path, &text, 0o600)
}
