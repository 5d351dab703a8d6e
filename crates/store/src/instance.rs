//! Instances.

use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::resource::{HostVerdict, Meta};
use rhyzome_model::ssh_key::PinnedKey;
use rhyzome_model::user_data::UserData;
use rhyzome_model::{ComponentId, Digest, InstanceId, Name, ProjectId, Size, Timestamp};

use crate::column::{Columns, to_json};
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

/// An instance with what was decided of it.
#[derive(Clone, Debug)]
pub struct Instance {
    pub id: InstanceId,
    pub meta: Meta,
    pub project: ProjectId,
    /// Without its user data in lists.
    pub spec: InstanceSpec,
    pub host: ComponentId,
    pub host_name: Name,
    pub digest: Digest,
    pub size: Size,
    pub initrd: Option<Digest>,
    pub format: ImageFormat,
    pub command_line: String,
    /// The default of its image as it was when the instance was made; none where that is not known.
    pub image_command_line: Option<String>,
    /// What the image was called then; its digest where it was asked for by that.
    pub image: String,
    pub placing: Vec<HostVerdict>,
    pub ssh_keys: Vec<PinnedKey>,
    pub deleting: bool,
    /// Its first interface's, for lists.
    pub first_ipv4: Option<std::net::Ipv4Addr>,
}

pub struct NewInstance<'a> {
    pub id: InstanceId,
    pub project: ProjectId,
    pub name: &'a Name,
    pub spec: &'a InstanceSpec,
    pub host: ComponentId,
    /// The name of the image, or its digest where it was asked for by that.
    pub image: &'a str,
    pub digest: Digest,
    pub initrd: Option<Digest>,
    pub format: &'a ImageFormat,
    pub command_line: &'a str,
    /// The image's own.
    pub image_command_line: &'a str,
    pub placing: &'a [HostVerdict],
    pub ssh_keys: &'a [PinnedKey],
}

macro_rules! select {
    ($user_data:literal, $rest:literal) => {
        concat!(
            "SELECT i.*, p.name AS project, c.name AS host, b.size AS size, l.ipv4 AS first_ipv4, ",
            $user_data,
            " AS user_data FROM instances i JOIN projects p ON p.id = i.project_id \
             JOIN components c ON c.id = i.component_id JOIN blobs b ON b.digest = i.digest \
             LEFT JOIN leases l ON l.instance_id = i.id AND l.position = 0 ",
            $rest
        )
    };
}

macro_rules! select_one {
    ($rest:literal) => {
        select!(
            "(SELECT u.text FROM user_data u WHERE u.instance_id = i.id)",
            $rest
        )
    };
}

fn read(c: &Columns<'_>) -> Result<Instance> {
    let mut spec: InstanceSpec = c.json("spec")?;
    spec.user_data = c.maybe_string("user_data")?.map(UserData::new);
    Ok(Instance {
        ssh_keys: c.json("ssh_keys")?,
        id: c.text("id")?,
        meta: meta(c, Some(c.text("project")?))?,
        project: c.text("project_id")?,
        spec,
        host: c.text("component_id")?,
        host_name: c.text("host")?,
        digest: c.text("digest")?,
        size: Size::bytes(c.integer("size")?),
        initrd: c.maybe_text("initrd")?,
        format: c.json("format")?,
        command_line: c.string("command_line")?,
        image_command_line: c.maybe_string("image_command_line")?,
        image: c.string("image")?,
        placing: c.json("placing")?,
        deleting: c.flag("deleting")?,
        first_ipv4: c.maybe_text("first_ipv4")?,
    })
}

fn memory(size: Size) -> i64 {
    i64::try_from(size.as_bytes()).unwrap_or(i64::MAX)
}

/// 0 where it has none.
fn disk(spec: &InstanceSpec, format: &ImageFormat) -> i64 {
    spec.disk_size(format).map_or(0, memory)
}

pub async fn insert(tx: &mut Tx, instance: &NewInstance<'_>, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO instances (id, project_id, name, generation, spec, component_id, image, digest, initrd, \
         format, command_line, cpus, memory, \"placing\", affinity, anti_affinity, ssh_keys, deleting, created_at, \
         updated_at, image_command_line, disk) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, $16, 0, $17, $17, $18, $19)",
    )
    .bind(instance.id.to_string())
    .bind(instance.project.to_string())
    .bind(instance.name.as_str())
    .bind(spec_column(instance.spec)?)
    .bind(instance.host.to_string())
    .bind(instance.image)
    .bind(instance.digest.to_string())
    .bind(instance.initrd.map(|digest| digest.to_string()))
    .bind(to_json(instance.format)?)
    .bind(instance.command_line)
    .bind(i64::from(instance.spec.cpus))
    .bind(memory(instance.spec.memory))
    .bind(to_json(&instance.placing)?)
    .bind(instance.spec.affinity.as_ref().map_or("", Name::as_str))
    .bind(instance.spec.anti_affinity.as_ref().map_or("", Name::as_str))
    .bind(to_json(&instance.ssh_keys)?)
    .bind(now.as_millis())
    .bind(instance.image_command_line)
    .bind(disk(instance.spec, instance.format))
    .run(tx, "insert an instance")
    .await?;
    let wanted = (i64::from(instance.spec.cpus), memory(instance.spec.memory));
    promise(tx, instance.host, 1, wanted).await?;
    for mac in instance.spec.bridges.iter().filter_map(|on| on.mac) {
        query!("INSERT INTO bridge_interfaces (instance_id, mac) VALUES ($1, $2)")
            .bind(instance.id.to_string())
            .bind(mac.to_string())
            .run(tx, "insert an interface on a bridge")
            .await?;
    }
    insert_user_data(tx, instance.id, instance.spec).await
}

/// Keeps what is promised on a host what the sums over its instances are: so many instances, processors
/// and bytes of memory more, or less.
async fn promise(
    tx: &mut Tx,
    host: ComponentId,
    instances: i64,
    (cpus, memory): (i64, i64),
) -> Result<()> {
    query!(
        "UPDATE components SET promised_instances = promised_instances + $1, promised_cpus = promised_cpus + $2, \
         promised_memory = promised_memory + $3 WHERE id = $4",
    )
    .bind(instances)
    .bind(cpus)
    .bind(memory)
    .bind(host.to_string())
    .run(tx, "note what is promised on a host")
    .await
    .map(drop)
}

/// What is promised to an instance, and on which host.
fn promised(c: &Columns<'_>) -> Result<(ComponentId, i64, i64)> {
    Ok((
        c.text("component_id")?,
        c.integer("cpus")?,
        c.integer("memory")?,
    ))
}

/// A spec without its user data, which is in a table of its own.
fn spec_column(spec: &InstanceSpec) -> Result<String> {
    to_json(&InstanceSpec {
        user_data: None,
        ..spec.clone()
    })
}

async fn insert_user_data(tx: &mut Tx, id: InstanceId, spec: &InstanceSpec) -> Result<()> {
    let Some(text) = &spec.user_data else {
        return Ok(());
    };
    query!("INSERT INTO user_data (instance_id, text) VALUES ($1, $2)")
        .bind(id.to_string())
        .bind(text.as_str())
        .run(tx, "write user data")
        .await
        .map(drop)
}

async fn delete_user_data(tx: &mut Tx, id: InstanceId) -> Result<()> {
    query!("DELETE FROM user_data WHERE instance_id = $1")
        .bind(id.to_string())
        .run(tx, "delete user data")
        .await
        .map(drop)
}

pub async fn get(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<Instance>> {
    query!(select_one!("WHERE i.project_id = $1 AND i.name = $2"))
        .bind(project.to_string())
        .bind(name.as_str())
        .row(conn, "read an instance", read)
        .await
}

pub async fn by_id(conn: &mut Conn, id: InstanceId) -> Result<Option<Instance>> {
    query!(select_one!("WHERE i.id = $1"))
        .bind(id.to_string())
        .row(conn, "read an instance", read)
        .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<Instance>> {
    query!(select!(
        "CAST(NULL AS TEXT)",
        "WHERE i.project_id = $1 AND i.name > $2 ORDER BY i.name LIMIT $3"
    ))
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list instances", read)
    .await
}

pub async fn update(
    tx: &mut Tx,
    id: InstanceId,
    (spec, format): (&InstanceSpec, &ImageFormat),
    (command_line, ssh_keys): (&str, &[PinnedKey]),
    now: Timestamp,
) -> Result<()> {
    let before = query!("SELECT component_id, cpus, memory FROM instances WHERE id = $1")
        .bind(id.to_string())
        .row(tx, "read what is promised to an instance", promised)
        .await?;
    if let Some((host, cpus, bytes)) = before {
        let more = (i64::from(spec.cpus) - cpus, memory(spec.memory) - bytes);
        if more != (0, 0) {
            promise(tx, host, 0, more).await?;
        }
    }
    query!(
        "UPDATE instances SET spec = $1, command_line = $2, ssh_keys = $3, cpus = $4, memory = $5, disk = $6, \
         generation = generation + 1, updated_at = $7 WHERE id = $8",
    )
    .bind(spec_column(spec)?)
    .bind(command_line)
    .bind(to_json(&ssh_keys)?)
    .bind(i64::from(spec.cpus))
    .bind(memory(spec.memory))
    .bind(disk(spec, format))
    .bind(now.as_millis())
    .bind(id.to_string())
    .run(tx, "update an instance")
    .await?;
    delete_user_data(tx, id).await?;
    insert_user_data(tx, id, spec).await
}

pub async fn set_deleting(tx: &mut Tx, id: InstanceId, now: Timestamp) -> Result<()> {
    query!("UPDATE instances SET deleting = 1, updated_at = $1 WHERE id = $2")
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "mark an instance as deleting")
        .await
        .map(drop)
}

/// Deletes an instance that is being deleted.
pub async fn delete(tx: &mut Tx, id: InstanceId) -> Result<()> {
    delete_user_data(tx, id).await?;
    query!("DELETE FROM bridge_interfaces WHERE instance_id = $1")
        .bind(id.to_string())
        .run(tx, "delete an instance's interfaces on bridges")
        .await?;
    let deleted = query!(
        "DELETE FROM instances WHERE id = $1 AND deleting = 1 RETURNING component_id, cpus, memory"
    )
    .bind(id.to_string())
    .rows(tx, "delete an instance", promised)
    .await?;
    for (host, cpus, memory) in deleted {
        promise(tx, host, -1, (-cpus, -memory)).await?;
    }
    Ok(())
}

/// The hypervisors with an instance of a project's affinity group that is to stay.
pub async fn hosts_of_affinity(
    conn: &mut Conn,
    project: ProjectId,
    group: &Name,
) -> Result<Vec<ComponentId>> {
    query!(
        "SELECT DISTINCT component_id FROM instances \
         WHERE project_id = $1 AND affinity = $2 AND deleting = 0 ORDER BY component_id",
    )
    .bind(project.to_string())
    .bind(group.as_str())
    .rows(conn, "read the hosts of a group", |c| {
        c.text("component_id")
    })
    .await
}

/// The hypervisors with an instance of a project's anti-affinity group, on its way out or not.
pub async fn hosts_of_anti_affinity(
    conn: &mut Conn,
    project: ProjectId,
    group: &Name,
) -> Result<Vec<ComponentId>> {
    query!(
        "SELECT DISTINCT component_id FROM instances \
         WHERE project_id = $1 AND anti_affinity = $2 ORDER BY component_id",
    )
    .bind(project.to_string())
    .bind(group.as_str())
    .rows(conn, "read the hosts of a group", |c| {
        c.text("component_id")
    })
    .await
}

/// Whether a segment has an instance on a host that is to stay.
pub async fn on_segment(
    conn: &mut Conn,
    host: ComponentId,
    network: rhyzome_model::NetworkId,
) -> Result<bool> {
    let found = query!(
        "SELECT i.id AS id FROM leases l JOIN instances i ON i.id = l.instance_id \
         WHERE l.network_id = $1 AND i.component_id = $2 AND i.deleting = 0 LIMIT 1",
    )
    .bind(network.to_string())
    .bind(host.to_string())
    .row(conn, "look for an instance on a segment", |c| {
        c.string("id")
    })
    .await?;
    Ok(found.is_some())
}
