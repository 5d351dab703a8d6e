//! What an instance's guest is told: which of the project's SSH keys.

use rhyzome_model::instance::{InstanceSpec, MAX_SSH_KEYS};
use rhyzome_model::ssh_key::PinnedKey;
use rhyzome_model::{Name, ProjectId};
use rhyzome_store::{After, ssh_key};

use crate::work::Work;
use crate::{Error, Result};

/// The keys that a new instance asks for, or all that its project has; the spec then names them.
pub(super) async fn keys(
    work: &mut Work,
    project: ProjectId,
    spec: &mut InstanceSpec,
) -> Result<Vec<PinnedKey>> {
    if let Some(names) = &spec.ssh_keys {
        return named(work, project, names, &[]).await;
    }
    let most = After {
        limit: MAX_SSH_KEYS as i64 + 1,
        name: String::new(),
    };
    let keys = ssh_key::list(work, project, &most).await?;
    if keys.len() > MAX_SSH_KEYS {
        let why = format!(
            "the project has more than {MAX_SSH_KEYS} SSH keys, so they cannot all be given: name those that \
             the instance is to have"
        );
        return Err(Error::invalid("spec.ssh_keys", why));
    }
    let keys: Vec<PinnedKey> = keys
        .into_iter()
        .map(|key| PinnedKey {
            name: key.meta.name,
            public_key: key.spec.public_key,
        })
        .collect();
    spec.ssh_keys = Some(keys.iter().map(|key| key.name.clone()).collect());
    Ok(keys)
}

/// The keys that a changed instance asks for: as the project has them now, or as the instance had them
/// where the project has them no longer. Left out, they stay as they are.
pub(super) async fn changed_keys(
    work: &mut Work,
    project: ProjectId,
    spec: &mut InstanceSpec,
    old: &[PinnedKey],
) -> Result<Vec<PinnedKey>> {
    match &spec.ssh_keys {
        Some(names) => named(work, project, names, old).await,
        None => {
            spec.ssh_keys = Some(old.iter().map(|key| key.name.clone()).collect());
            Ok(old.to_vec())
        }
    }
}

async fn named(
    work: &mut Work,
    project: ProjectId,
    names: &[Name],
    old: &[PinnedKey],
) -> Result<Vec<PinnedKey>> {
    let mut keys = Vec::with_capacity(names.len());
    for name in names {
        let found = ssh_key::get(work, project, name).await?;
        let had = || old.iter().find(|key| key.name == *name).cloned();
        let key = match found {
            Some(key) => PinnedKey {
                name: name.clone(),
                public_key: key.spec.public_key,
            },
            None => had().ok_or_else(|| {
                Error::invalid("spec.ssh_keys", format!("there is no SSH key {name}"))
            })?,
        };
        keys.push(key);
    }
    Ok(keys)
}
