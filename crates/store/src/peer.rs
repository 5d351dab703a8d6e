//! Peers and the networks that they may reach.

use std::net::{Ipv4Addr, Ipv6Addr};

use rhyzome_model::peer::PeerSpec;
use rhyzome_model::resource::Meta;
use rhyzome_model::{Name, NetworkId, PeerId, ProjectId, Timestamp, UserId};

use crate::column::{Columns, to_json};
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

/// A peer with its addresses.
#[derive(Clone, Debug)]
pub struct Peer {
    pub id: PeerId,
    pub meta: Meta,
    pub project: ProjectId,
    pub spec: PeerSpec,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
    pub deleting: bool,
    /// The name of the person whose device it is.
    pub user: Option<Name>,
}

pub struct NewPeer<'a> {
    pub id: PeerId,
    pub project: ProjectId,
    pub name: &'a Name,
    pub spec: &'a PeerSpec,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
    pub user: Option<UserId>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT x.*, p.name AS project, u.name AS \"user\" FROM peers x JOIN projects p ON p.id = x.project_id \
             LEFT JOIN users u ON u.id = x.user_id ",
            $rest
        )
    };
}

fn read(c: &Columns<'_>) -> Result<Peer> {
    Ok(Peer {
        id: c.text("id")?,
        meta: meta(c, Some(c.text("project")?))?,
        project: c.text("project_id")?,
        spec: c.json("spec")?,
        ipv4: c.text("ipv4")?,
        ipv6: c.text("ipv6")?,
        deleting: c.flag("deleting")?,
        user: c.maybe_text("user")?,
    })
}

pub async fn insert(tx: &mut Tx, peer: &NewPeer<'_>, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO peers (id, project_id, name, generation, spec, public_key, ipv4, ipv6, deleting, \
         created_at, updated_at, user_id) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, 0, $8, $8, $9)",
    )
    .bind(peer.id.to_string())
    .bind(peer.project.to_string())
    .bind(peer.name.as_str())
    .bind(to_json(peer.spec)?)
    .bind(peer.spec.public_key.as_str())
    .bind(peer.ipv4.to_string())
    .bind(peer.ipv6.to_string())
    .bind(now.as_millis())
    .bind(peer.user.map(|id| id.to_string()))
    .run(tx, "insert a peer")
    .await
    .map(drop)
}

pub async fn get(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<Peer>> {
    query!(select!("WHERE x.project_id = $1 AND x.name = $2"))
        .bind(project.to_string())
        .bind(name.as_str())
        .row(conn, "read a peer", read)
        .await
}

pub async fn by_id(conn: &mut Conn, id: PeerId) -> Result<Option<Peer>> {
    query!(select!("WHERE x.id = $1"))
        .bind(id.to_string())
        .row(conn, "read a peer", read)
        .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<Peer>> {
    query!(select!(
        "WHERE x.project_id = $1 AND x.name > $2 ORDER BY x.name LIMIT $3"
    ))
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list peers", read)
    .await
}

pub async fn update(tx: &mut Tx, id: PeerId, spec: &PeerSpec, now: Timestamp) -> Result<()> {
    query!("UPDATE peers SET spec = $1, generation = generation + 1, updated_at = $2 WHERE id = $3")
        .bind(to_json(spec)?)
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "update a peer")
        .await
        .map(drop)
}

pub async fn set_deleting(tx: &mut Tx, id: PeerId, now: Timestamp) -> Result<()> {
    query!("UPDATE peers SET deleting = 1, updated_at = $1 WHERE id = $2")
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "mark a peer as deleting")
        .await
        .map(drop)
}

pub async fn delete(tx: &mut Tx, id: PeerId) -> Result<()> {
    query!("DELETE FROM peers WHERE id = $1 AND deleting = 1")
        .bind(id.to_string())
        .run(tx, "delete a peer")
        .await
        .map(drop)
}

/// The name of the project's peer that has a public key, if one has.
pub async fn with_key(conn: &mut Conn, project: ProjectId, key: &str) -> Result<Option<String>> {
    query!("SELECT name FROM peers WHERE project_id = $1 AND public_key = $2")
        .bind(project.to_string())
        .bind(key)
        .row(conn, "look for a public key", |c| c.string("name"))
        .await
}

pub async fn address_taken(conn: &mut Conn, address: Ipv4Addr) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM peers WHERE ipv4 = $1")
        .bind(address.to_string())
        .number(conn, "look for a peer's address")
        .await?;
    Ok(n > 0)
}

/// The networks that a peer may reach.
pub async fn networks(conn: &mut Conn, id: PeerId) -> Result<Vec<NetworkId>> {
    query!(
        "SELECT x.network_id FROM peer_networks x JOIN networks n ON n.id = x.network_id \
         WHERE x.peer_id = $1 ORDER BY n.name",
    )
    .bind(id.to_string())
    .rows(conn, "read a peer's networks", |c| c.text("network_id"))
    .await
}

pub async fn give(tx: &mut Tx, id: PeerId, network: NetworkId) -> Result<()> {
    query!("INSERT INTO peer_networks (peer_id, network_id) VALUES ($1, $2)")
        .bind(id.to_string())
        .bind(network.to_string())
        .run(tx, "give a peer a network")
        .await
        .map(drop)
}

pub async fn take(tx: &mut Tx, id: PeerId, network: NetworkId) -> Result<()> {
    query!("DELETE FROM peer_networks WHERE peer_id = $1 AND network_id = $2")
        .bind(id.to_string())
        .bind(network.to_string())
        .run(tx, "take a network from a peer")
        .await
        .map(drop)
}
