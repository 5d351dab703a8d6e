//! SSH keys of projects.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rhyzome_model::resource::SshKey;
use rhyzome_model::ssh_key::SshKeySpec;
use rhyzome_model::{Name, SshKeyId};
use rhyzome_store::ssh_key::{self, NewSshKey};
use sha2::Digest;

use crate::authorize::{Caller, Operation, authorize};
use crate::{Core, Error, IfMatch, Listed, PageRequest, Result, resolve};

pub async fn create(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: Name,
    spec: SshKeySpec,
) -> Result<SshKey> {
    authorize(caller, Operation::SshKeyCreate, Some(project))?;
    let fingerprint =
        fingerprint(&spec.public_key).map_err(|why| Error::invalid("spec.public_key", why))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    if ssh_key::get(&mut work, project_id, &name).await?.is_some() {
        return Err(Error::name_taken("SSH key", &name));
    }
    let id = SshKeyId(core.uuid());
    let now = work.now;
    let row = NewSshKey {
        id,
        project: project_id,
        name: &name,
        spec: &spec,
        fingerprint: &fingerprint,
    };
    ssh_key::insert(&mut work, &row, now).await?;
    let of = Some((project_id, project));
    work.audit
        .concerns(of, "ssh_key", Some(id.0), name.as_str());
    work.commit().await?;
    get(core, caller, project, &name).await
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<SshKey> {
    authorize(caller, Operation::SshKeyRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = ssh_key::get(&mut conn, project, name).await?;
    found.ok_or_else(|| Error::not_found("SSH key", name))
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<SshKey>> {
    authorize(caller, Operation::SshKeyRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = ssh_key::list(&mut conn, project, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row| row.meta.name.to_string()))
}

pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    if_match: IfMatch,
) -> Result<()> {
    authorize(caller, Operation::SshKeyDelete, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = ssh_key::get(&mut work, project_id, name).await?;
    let found = found.ok_or_else(|| Error::not_found("SSH key", name))?;
    resolve::check_match(&found.meta, if_match)?;
    ssh_key::delete(&mut work, project_id, name).await?;
    let (of, id) = (Some((project_id, project)), Some(found.meta.id));
    work.audit.concerns(of, "ssh_key", id, name.as_str());
    work.commit().await
}

/// The fingerprint of a line as in `authorized_keys` (RFC 4253 section 6.6, RFC 8709).
fn fingerprint(line: &str) -> std::result::Result<String, String> {
    if line.contains(['\n', '\r', '\0']) {
        return Err("a public key is one line".to_owned());
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(text)) = (words.next(), words.next()) else {
        return Err("a public key is a line like `ssh-ed25519 AAAA… comment`".to_owned());
    };
    const KINDS: [&str; 7] = [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    if !KINDS.contains(&kind) {
        return Err(format!(
            "{kind:?} is no kind of public key; known are {}",
            KINDS.join(", ")
        ));
    }
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| "its second word is not base64".to_owned())?;
    // The bytes begin with the kind once more, with its length.
    let inner = bytes.get(..4).and_then(|length| {
        let length = u32::from_be_bytes(length.try_into().ok()?);
        bytes.get(4..4 + usize::try_from(length).ok()?)
    });
    if inner != Some(kind.as_bytes()) {
        return Err(format!(
            "its base64 is not that of a key of the kind {kind}"
        ));
    }
    Ok(format!(
        "SHA256:{}",
        STANDARD_NO_PAD.encode(sha2::Sha256::digest(&bytes))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_shows() {
        let line =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@x";
        let shown = fingerprint(line).expect("a key");
        assert!(shown.starts_with("SHA256:") && shown.len() == 50, "{shown}");
        for wrong in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 ???",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
            "command=\"x\" ssh-ed25519 AAAA",
            "ssh-ed25519 AAAA\nssh-rsa BBBB",
        ] {
            assert!(fingerprint(wrong).is_err(), "{wrong:?}");
        }
    }
}
