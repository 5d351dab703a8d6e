//! Quotas of projects, and what is used of them: sums over the rows themselves, which cannot say anything
//! else than the rows do.

use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::quota::{QuotaKind, QuotaSpec};
use rhyzome_model::{ProjectId, Size, Timestamp};

use crate::column::{Columns, to_json};
use crate::statement::{Text, gathered, query, sql};
use crate::{Conn, Result, Tx};

/// A quota as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub generation: u64,
    pub spec: QuotaSpec,
    pub updated_at: Timestamp,
}

fn read(c: &Columns<'_>) -> Result<Row> {
    Ok(Row {
        generation: c.integer("generation")?,
        spec: c.json("spec")?,
        updated_at: c.time("updated_at")?,
    })
}

/// A project's quota; none where none was ever set.
pub async fn get(conn: &mut Conn, project: ProjectId) -> Result<Option<Row>> {
    query!("SELECT * FROM quotas WHERE project_id = $1")
        .bind(project.to_string())
        .row(conn, "read a quota", read)
        .await
}

pub async fn set(tx: &mut Tx, project: ProjectId, spec: &QuotaSpec, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO quotas (project_id, generation, spec, updated_at) VALUES ($1, 1, $2, $3) \
         ON CONFLICT (project_id) DO UPDATE SET generation = quotas.generation + 1, spec = $2, updated_at = $3",
    )
    .bind(project.to_string())
    .bind(to_json(spec)?)
    .bind(now.as_millis())
    .run(tx, "set a quota")
    .await
    .map(drop)
}

/// How much a project has of a kind, in pieces or bytes.
pub async fn used(conn: &mut Conn, project: ProjectId, kind: QuotaKind) -> Result<u64> {
    let n = gathered(sum(kind))
        .bind(project.to_string())
        .number(conn, "sum up what is used")
        .await?;
    let n = u64::try_from(n).unwrap_or_default();
    match kind {
        QuotaKind::Disk => Ok(n.saturating_add(disks_from_before(conn, project).await?)),
        _ => Ok(n),
    }
}

fn sum(kind: QuotaKind) -> Text {
    match kind {
        QuotaKind::Instances => {
            sql!("SELECT COUNT(*) AS n FROM instances WHERE project_id = $1")
        }
        QuotaKind::Cpus => sql!(
            "SELECT CAST(COALESCE(SUM(cpus), 0) AS BIGINT) AS n FROM instances WHERE project_id = $1"
        ),
        QuotaKind::Memory => sql!(
            "SELECT CAST(COALESCE(SUM(memory), 0) AS BIGINT) AS n FROM instances WHERE project_id = $1"
        ),
        QuotaKind::Disk => sql!(
            "SELECT CAST(COALESCE(SUM(disk), 0) AS BIGINT) AS n FROM instances WHERE project_id = $1"
        ),
        QuotaKind::Networks => sql!("SELECT COUNT(*) AS n FROM networks WHERE project_id = $1"),
        QuotaKind::Peers => sql!("SELECT COUNT(*) AS n FROM peers WHERE project_id = $1"),
        // An upload of what the project has already ends in what it has.
        QuotaKind::Images => sql!(
            "SELECT CAST(COALESCE((SELECT SUM(b.size) FROM project_blobs p JOIN blobs b ON b.digest = p.digest \
             WHERE p.project_id = $1), 0) + COALESCE((SELECT SUM(u.size) FROM uploads u WHERE u.project_id = $1 \
             AND NOT EXISTS (SELECT 1 FROM project_blobs p WHERE p.project_id = $1 AND p.digest = u.digest)), 0) \
             AS BIGINT) AS n"
        ),
        QuotaKind::Tokens => sql!("SELECT COUNT(*) AS n FROM tokens WHERE project_id = $1"),
    }
}

/// The bytes of disks of instances that were made when their sizes had no column.
async fn disks_from_before(conn: &mut Conn, project: ProjectId) -> Result<u64> {
    let sizes = query!("SELECT spec, format FROM instances WHERE project_id = $1 AND disk IS NULL")
        .bind(project.to_string())
        .rows(conn, "read disks of old instances", |c| {
            let (spec, format): (InstanceSpec, ImageFormat) = (c.json("spec")?, c.json("format")?);
            Ok(spec.disk_size(&format).map_or(0, Size::as_bytes))
        })
        .await?;
    Ok(sizes.into_iter().fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::Store;
    use crate::testing::Database;

    const PROJECT: &str = "01a21470-5aa9-7627-9f77-5dbf9901b2ef";

    /// An instance of a project, with a disk as a spec and a format have it, and what its column says.
    async fn instance(tx: &mut Tx, name: &str, disk: &str, format: &str, column: &str) {
        let text = format!(
            "INSERT INTO instances (id, project_id, name, generation, spec, component_id, image, digest, format, \
             command_line, cpus, memory, \"placing\", deleting, created_at, updated_at, disk) VALUES ('{}', \
             '{PROJECT}', '{name}', 1, '{{\"image\":\"x\",\"disk\":{disk}}}', 'c', 'x', 'd', '{format}', '', 1, 1, \
             '[]', 0, 0, 0, {column})",
            Uuid::new_v4(),
        );
        tx.script(&text).await.unwrap();
    }

    #[tokio::test]
    async fn disks_of_instances_from_before_there_was_a_column_are_summed_up_too() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(folder.path()).await;
        let store = Store::open(database.url()).await.unwrap();
        let mut tx = store.write().await.unwrap();
        tx.script(&format!(
            "INSERT INTO projects (id, name, generation, created_at, updated_at) VALUES ('{PROJECT}', 'old', 1, 0, 0); \
             INSERT INTO components (id, name, kind, generation, spec, facts, cpus, memory, session, connected, \
             created_at, updated_at) VALUES ('c', 'c', 'libvirt', 1, '{{}}', '{{}}', 1, 1, 0, 0, 0, 0); \
             INSERT INTO blobs (digest, size, created_at) VALUES ('d', 1, 0)"
        ))
        .await
        .unwrap();
        let disk = r#"{"family":"disk","layout":"qcow2","size":"1GiB","firmware":"bios"}"#;
        let linux = r#"{"family":"linux"}"#;
        instance(&mut tx, "of-image", "null", disk, "NULL").await;
        instance(&mut tx, "larger", "\"2GiB\"", disk, "NULL").await;
        instance(&mut tx, "none", "null", linux, "NULL").await;
        instance(&mut tx, "new", "\"4GiB\"", linux, "4294967296").await;
        let id: ProjectId = PROJECT.parse().unwrap();
        let bytes = used(&mut tx, id, QuotaKind::Disk).await.unwrap();
        assert_eq!(bytes, 7 << 30);
        assert_eq!(used(&mut tx, id, QuotaKind::Instances).await.unwrap(), 4);
    }
}
