//! Components' programs, and the latest upgrade that was asked of each.

use rhyzome_model::upgrade::{Program, Upgrade, UpgradeTo};
use rhyzome_model::{ComponentId, Digest};

use crate::column::to_json;
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// What is known of a component's program, and of its upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    /// None where the core cannot replace it.
    pub program: Option<Program>,
    pub upgrade: Option<Upgrade>,
}

pub async fn get(conn: &mut Conn, id: ComponentId) -> Result<Option<Programs>> {
    query!("SELECT program, upgrade FROM components WHERE id = $1")
        .bind(id.to_string())
        .row(conn, "read a component's program", |c| {
            Ok(Programs {
                program: c.maybe_json("program")?,
                upgrade: c.maybe_json("upgrade")?,
            })
        })
        .await
}

/// Notes what is known. The bytes of an upgrade that has not ended are the component's to fetch.
pub async fn set(tx: &mut Tx, id: ComponentId, programs: &Programs) -> Result<()> {
    let Programs { program, upgrade } = programs;
    let open = upgrade.as_ref().filter(|upgrade| !upgrade.phase.ended());
    let digest = open.and_then(|upgrade| match upgrade.to {
        UpgradeTo::Program { digest, .. } => Some(digest),
        UpgradeTo::Previous => None,
    });
    query!("UPDATE components SET program = $1, upgrade = $2, upgrade_digest = $3 WHERE id = $4")
        .bind(program.as_ref().map(to_json).transpose()?)
        .bind(upgrade.as_ref().map(to_json).transpose()?)
        .bind(digest.map(|digest: Digest| digest.to_string()))
        .bind(id.to_string())
        .run(tx, "note a component's program")
        .await
        .map(drop)
}
