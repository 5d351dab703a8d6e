//! Which of a project's SSH keys this device has: in `~/.ssh`, or in the SSH agent.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rhyzome_model::resource::SshKey;

use crate::failure::Failure;
use crate::private;

/// The files to give to `ssh`: private keys, and public ones whose private halves the agent has.
pub fn of_project(
    keys: &[SshKey],
    home: Option<&Path>,
    data: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let mut wanted: HashMap<String, &SshKey> = keys
        .iter()
        .filter_map(|key| Some((plain(&key.spec.public_key)?, key)))
        .collect();
    let mut files = home.map_or_else(Vec::new, |home| in_folder(&home.join(".ssh"), &mut wanted));
    if wanted.is_empty() {
        return Ok(files);
    }
    for line in in_agent().lines() {
        let Some((public, key)) = plain(line).and_then(|public| wanted.remove_entry(&public))
        else {
            continue;
        };
        let path = data.join("ssh").join(format!("{}.pub", key.meta.id));
        private::write(&path, format!("{public}\n").as_bytes())?;
        files.push(path);
    }
    Ok(files)
}

/// The private keys in a folder that have a wanted public key beside them.
fn in_folder(folder: &Path, wanted: &mut HashMap<String, &SshKey>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut publics: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "pub"))
        .collect();
    publics.sort();
    let mut files = Vec::new();
    for public in publics {
        let private = public.with_extension("");
        let text = fs::read_to_string(&public).unwrap_or_default();
        if private.is_file() && plain(&text).is_some_and(|key| wanted.remove(&key).is_some()) {
            files.push(private);
        }
    }
    files
}

/// What `ssh-add -L` says; nothing where there is no agent.
fn in_agent() -> String {
    let listed = Command::new("ssh-add")
        .arg("-L")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    listed
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// A public key's type and base64, without its comment.
fn plain(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u128, public_key: &str) -> SshKey {
        let meta = serde_json::json!({
            "id": uuid::Uuid::from_u128(id), "name": "laptop", "generation": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "spec": { "public_key": public_key }, "fingerprint": "SHA256:x",
        });
        serde_json::from_value(meta).unwrap()
    }

    #[test]
    fn a_private_key_is_found_by_the_public_key_beside_it_whatever_its_comment() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".ssh");
        fs::create_dir(&folder).unwrap();
        for (file, text) in [
            ("id_ed25519.pub", "ssh-ed25519 AAAAone me@laptop\n"),
            ("id_ed25519", "private"),
            ("other.pub", "ssh-ed25519 AAAAother me@laptop\n"),
            ("other", "private"),
            ("elsewhere.pub", "ssh-ed25519 AAAAtwo me@laptop\n"),
        ] {
            fs::write(folder.join(file), text).unwrap();
        }
        let keys = [
            key(1, "ssh-ed25519 AAAAone work"),
            key(2, "ssh-ed25519 AAAAtwo"),
        ];
        let mut wanted = keys
            .iter()
            .filter_map(|key| Some((plain(&key.spec.public_key)?, key)))
            .collect();
        let found = in_folder(&folder, &mut wanted);
        assert_eq!(found, [folder.join("id_ed25519")]);
        assert_eq!(wanted.len(), 1);
    }
}
