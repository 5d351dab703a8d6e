//! Networks.

use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::Meta;
use rhyzome_model::segment::Vni;
use rhyzome_model::{ComponentId, Name, NetworkId, ProjectId, Timestamp};

use crate::column::{Columns, to_json};
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

/// A network with its allocation.
#[derive(Clone, Debug)]
pub struct Network {
    pub id: NetworkId,
    pub meta: Meta,
    pub project: ProjectId,
    pub spec: NetworkSpec,
    pub router: ComponentId,
    pub router_name: Name,
    pub ipv4: Ipv4Net,
    pub ipv6: Ipv6Net,
    pub mtu: u16,
    pub port: u16,
    /// Its number on the wire between hosts.
    pub vni: Vni,
    pub deleting: bool,
}

pub struct NewNetwork<'a> {
    pub id: NetworkId,
    pub project: ProjectId,
    pub name: &'a Name,
    pub spec: &'a NetworkSpec,
    pub router: ComponentId,
    pub ipv4: Ipv4Net,
    pub ipv6: Ipv6Net,
    pub mtu: u16,
    pub port: u16,
    pub vni: Vni,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT n.*, p.name AS project, c.name AS router FROM networks n \
             JOIN projects p ON p.id = n.project_id JOIN components c ON c.id = n.router_id ",
            $rest
        )
    };
}

fn read(c: &Columns<'_>) -> Result<Network> {
    Ok(Network {
        id: c.text("id")?,
        meta: meta(c, Some(c.text("project")?))?,
        project: c.text("project_id")?,
        spec: c.json("spec")?,
        router: c.text("router_id")?,
        router_name: c.text("router")?,
        ipv4: c.text("ipv4")?,
        ipv6: c.text("ipv6")?,
        mtu: c.integer("mtu")?,
        port: c.integer("port")?,
        vni: c.numbered::<u32, _>("vni")?,
        deleting: c.flag("deleting")?,
    })
}

fn bounds(prefix: Ipv4Net) -> (i64, i64) {
    (
        i64::from(u32::from(prefix.network())),
        i64::from(u32::from(prefix.broadcast())),
    )
}

pub async fn insert(tx: &mut Tx, network: &NewNetwork<'_>, now: Timestamp) -> Result<()> {
    let (first, last) = bounds(network.ipv4);
    query!(
        "INSERT INTO networks (id, project_id, name, generation, spec, router_id, ipv4, ipv4_first, ipv4_last, \
         ipv6, egress, mtu, port, vni, deleting, created_at, updated_at) \
         VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, $14)",
    )
    .bind(network.id.to_string())
    .bind(network.project.to_string())
    .bind(network.name.as_str())
    .bind(to_json(network.spec)?)
    .bind(network.router.to_string())
    .bind(network.ipv4.to_string())
    .bind(first)
    .bind(last)
    .bind(network.ipv6.to_string())
    .bind(i64::from(network.spec.egress))
    .bind(i64::from(network.mtu))
    .bind(i64::from(network.port))
    .bind(i64::from(network.vni.get()))
    .bind(now.as_millis())
    .run(tx, "insert a network")
    .await
    .map(drop)
}

pub async fn get(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<Network>> {
    query!(select!("WHERE n.project_id = $1 AND n.name = $2"))
        .bind(project.to_string())
        .bind(name.as_str())
        .row(conn, "read a network", read)
        .await
}

pub async fn by_id(conn: &mut Conn, id: NetworkId) -> Result<Option<Network>> {
    query!(select!("WHERE n.id = $1"))
        .bind(id.to_string())
        .row(conn, "read a network", read)
        .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<Network>> {
    query!(select!(
        "WHERE n.project_id = $1 AND n.name > $2 ORDER BY n.name LIMIT $3"
    ))
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list networks", read)
    .await
}

pub async fn update(tx: &mut Tx, id: NetworkId, spec: &NetworkSpec, now: Timestamp) -> Result<()> {
    query!(
        "UPDATE networks SET spec = $1, egress = $2, generation = generation + 1, updated_at = $3 WHERE id = $4",
    )
    .bind(to_json(spec)?)
    .bind(i64::from(spec.egress))
    .bind(now.as_millis())
    .bind(id.to_string())
    .run(tx, "update a network")
    .await
    .map(drop)
}

pub async fn set_deleting(tx: &mut Tx, id: NetworkId, now: Timestamp) -> Result<()> {
    query!("UPDATE networks SET deleting = 1, updated_at = $1 WHERE id = $2")
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "mark a network as deleting")
        .await
        .map(drop)
}

pub async fn delete(tx: &mut Tx, id: NetworkId) -> Result<()> {
    query!("DELETE FROM networks WHERE id = $1 AND deleting = 1")
        .bind(id.to_string())
        .run(tx, "delete a network")
        .await
        .map(drop)
}

/// The name of a network that has addresses in common with an IPv4 prefix, in a project or anywhere.
pub async fn overlapping_ipv4(
    conn: &mut Conn,
    project: Option<ProjectId>,
    prefix: Ipv4Net,
) -> Result<Option<String>> {
    let (first, last) = bounds(prefix);
    query!(
        "SELECT name FROM networks WHERE ipv4_first <= $1 AND ipv4_last >= $2 \
         AND ($3 = '' OR project_id = $3) LIMIT 1",
    )
    .bind(last)
    .bind(first)
    .bind(project.map(|id| id.to_string()).unwrap_or_default())
    .row(conn, "look for an overlapping network", |c| {
        c.string("name")
    })
    .await
}

/// The name of a network with an IPv6 prefix (all are /64), in a project or anywhere.
pub async fn overlapping_ipv6(
    conn: &mut Conn,
    project: Option<ProjectId>,
    prefix: Ipv6Net,
) -> Result<Option<String>> {
    query!("SELECT name FROM networks WHERE ipv6 = $1 AND ($2 = '' OR project_id = $2) LIMIT 1")
        .bind(prefix.to_string())
        .bind(project.map(|id| id.to_string()).unwrap_or_default())
        .row(conn, "look for an overlapping network", |c| {
            c.string("name")
        })
        .await
}

pub async fn port_taken(conn: &mut Conn, router: ComponentId, port: u16) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM networks WHERE router_id = $1 AND port = $2")
        .bind(router.to_string())
        .bind(i64::from(port))
        .number(conn, "look for an endpoint's port")
        .await?;
    Ok(n > 0)
}

pub async fn vni_taken(conn: &mut Conn, vni: Vni) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM networks WHERE vni = $1")
        .bind(i64::from(vni.get()))
        .number(conn, "look for a network's number")
        .await?;
    Ok(n > 0)
}

/// The kind and name of something that uses a network, if anything does.
pub async fn user(conn: &mut Conn, id: NetworkId) -> Result<Option<(String, String)>> {
    query!(
        "SELECT 'instance' AS kind, i.name AS name FROM leases l JOIN instances i ON i.id = l.instance_id \
         WHERE l.network_id = $1 AND i.deleting = 0 \
         UNION ALL SELECT 'peer', p.name FROM peer_networks x JOIN peers p ON p.id = x.peer_id \
         WHERE x.network_id = $1 AND p.deleting = 0 LIMIT 1",
    )
    .bind(id.to_string())
    .row(conn, "look what uses a network", |c| Ok((c.string("kind")?, c.string("name")?)))
    .await
}
