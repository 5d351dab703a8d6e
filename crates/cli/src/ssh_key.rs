//! `rhyzome ssh-key …`

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::resource::SshKey;
use rhyzome_model::ssh_key::SshKeySpec;
use rhyzome_model::{Name, Timestamp};

use crate::complete;
use crate::failure::Failure;
use crate::output::{Cell, Details, Row, Thing, time};
use crate::session::Cx;

/// More than any public key has.
const MAX_FILE: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add an SSH public key.
    #[command(after_help = "\
Example:
  rhyzome ssh-key create laptop ~/.ssh/id_ed25519.pub
  ssh-add -L | head -n 1 | rhyzome ssh-key create laptop -")]
    Create(Create),
    /// List the SSH public keys.
    #[command(after_help = "Example:\n  rhyzome ssh-key list")]
    List,
    /// Show an SSH public key.
    #[command(after_help = "Example:\n  rhyzome ssh-key show laptop")]
    Show(Named),
    /// Delete an SSH public key.
    #[command(after_help = "Example:\n  rhyzome ssh-key delete laptop")]
    Delete(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::ssh_keys))]
    name: Name,
}

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "NAME")]
    name: Name,
    /// The file with the public key, or `-` for the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let keys = session.scope.ssh_key();
        match self {
            Self::Create(Create { name, file }) => {
                let public_key = read(&file)?;
                let key = keys.create(&name, SshKeySpec { public_key }, None).await?;
                cx.output.done(
                    &key,
                    &format!("SSH key {name} is added: {}", key.fingerprint),
                )
            }
            Self::List => cx.output.list(&keys.all().await?, "there are no SSH keys"),
            Self::Show(Named { name }) => cx.output.thing(&keys.get(&name).await?),
            Self::Delete(Named { name }) => {
                keys.delete(&name, None, None).await?;
                cx.output.gone(
                    &None::<SshKey>,
                    name.as_str(),
                    &format!("SSH key {name} is deleted"),
                )
            }
        }
    }
}

/// Reads a public key; a private one is refused before it can go anywhere.
fn read(file: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::Read {
        path: file.to_owned(),
        source,
    };
    let mut text = String::new();
    match file.as_os_str() == "-" {
        true => std::io::stdin().take(MAX_FILE).read_to_string(&mut text),
        false => {
            std::fs::File::open(file).and_then(|open| open.take(MAX_FILE).read_to_string(&mut text))
        }
    }
    .map_err(failed)?;
    if text.contains("PRIVATE KEY") {
        let shown = file.display();
        let reason = format!(
            "{shown} is a private key, which stays where it is; {shown}.pub was probably meant"
        );
        return Err(Failure::Usage(reason));
    }
    Ok(text.trim().to_owned())
}

impl Row for SshKey {
    const HEADER: &'static [&'static str] = &["NAME", "FINGERPRINT", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let age = Cell::new(time::age(self.meta.created_at, now));
        vec![
            Cell::new(&self.meta.name),
            Cell::new(&self.fingerprint),
            age,
        ]
    }
}

impl Thing for SshKey {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        Details::of(&self.meta, now)
            .text("fingerprint", &self.fingerprint)
            .text("public key", &self.spec.public_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        std::fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\n…").unwrap();
        let error = read(&path).unwrap_err();
        assert!(
            error.to_string().ends_with("id.pub was probably meant"),
            "{error}"
        );
        std::fs::write(&path, "ssh-ed25519 AAAA me\n").unwrap();
        assert_eq!(read(&path).unwrap(), "ssh-ed25519 AAAA me");
    }
}
