//! What an instance's guest is told: the arguments of `create` and `update`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;
use rhyzome_model::Name;
use rhyzome_model::instance::MetadataAccess;
use rhyzome_model::user_data::{MAX_USER_DATA, UserData};

use crate::complete;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct Guest {
    /// A file with user data for the guest's cloud-init, or - for standard input.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub user_data: Option<PathBuf>,
    /// An SSH key of the project that the guest is told of, by name. May be given several times.
    #[arg(long = "ssh-key", value_name = "KEY", add = ArgValueCandidates::new(complete::ssh_keys))]
    pub ssh_keys: Vec<Name>,
    /// Tell the guest of no SSH key.
    #[arg(long, conflicts_with = "ssh_keys")]
    pub no_ssh_keys: bool,
    /// To whom inside the guest the metadata service at 169.254.169.254 answers.
    #[arg(long, value_name = "ACCESS", value_enum)]
    pub metadata: Option<Access>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Access {
    /// Who has asked for a token first (IMDSv2).
    TokenRequired,
    /// Also who has no token.
    TokenOptional,
    /// Nobody.
    Off,
}

impl From<Access> for MetadataAccess {
    fn from(access: Access) -> Self {
        match access {
            Access::TokenRequired => Self::TokenRequired,
            Access::TokenOptional => Self::TokenOptional,
            Access::Off => Self::Off,
        }
    }
}

impl Guest {
    /// What is asked for; none where nothing is said.
    pub fn user_data(&self) -> Result<Option<UserData>, Failure> {
        self.user_data.as_deref().map(read).transpose()
    }

    pub fn ssh_keys(&self) -> Option<Vec<Name>> {
        (self.no_ssh_keys || !self.ssh_keys.is_empty()).then(|| self.ssh_keys.clone())
    }

    pub fn metadata(&self) -> Option<MetadataAccess> {
        self.metadata.map(MetadataAccess::from)
    }
}

/// Reads user data and checks it before anything is asked of the core.
fn read(file: &Path) -> Result<UserData, Failure> {
    let failed = |source| Failure::Read {
        path: file.to_owned(),
        source,
    };
    // What is too long is read to its end, so that the error can say how long it is.
    let mut bytes = Vec::new();
    let most = 16 * MAX_USER_DATA as u64;
    match file.as_os_str() == "-" {
        true => std::io::stdin().take(most).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|open| open.take(most).read_to_end(&mut bytes)),
    }
    .map_err(failed)?;
    let shown = file.display();
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let reason = format!(
            "{shown} is no text: its byte {at} is not UTF-8. Binary data goes into a MIME part in base64, \
             packed data is sent unpacked"
        );
        Failure::Usage(reason)
    })?;
    let user_data = UserData::new(text);
    match user_data.check() {
        Ok(()) => Ok(user_data),
        Err(why) => Err(Failure::Usage(format!("{shown}: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_is_checked_before_it_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user-data");
        let check = |bytes: &[u8], expect: &str| {
            std::fs::write(&path, bytes).unwrap();
            let got = match read(&path) {
                Ok(_) => "fine".to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(got.contains(expect), "{got}");
        };
        check(b"#cloud-config\n", "fine");
        check(b"#cloud-config\na: [\n", "in line 2");
        check(b"\x1f\x8b\x08", "its byte 1 is not UTF-8");
        check(&[b'#'; 70_000], "70000 bytes");
    }
}
