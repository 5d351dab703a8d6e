//! Leases: which addresses are whose.

use std::net::{Ipv4Addr, Ipv6Addr};

use rhyzome_model::{InstanceId, LeaseId, MacAddr, Name, NetworkId};

use crate::column::Columns;
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// An interface of an instance.
#[derive(Clone, Debug)]
pub struct Lease {
    pub id: LeaseId,
    pub network: NetworkId,
    pub network_name: Name,
    pub instance: InstanceId,
    pub position: u32,
    pub mac: MacAddr,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
}

fn read(c: &Columns<'_>) -> Result<Lease> {
    Ok(Lease {
        id: c.text("id")?,
        network: c.text("network_id")?,
        network_name: c.text("network_name")?,
        instance: c.text("instance_id")?,
        position: c.integer("position")?,
        mac: c.text("mac")?,
        ipv4: c.text("ipv4")?,
        ipv6: c.text("ipv6")?,
    })
}

pub async fn insert(tx: &mut Tx, lease: &Lease) -> Result<()> {
    query!(
        "INSERT INTO leases (id, network_id, instance_id, position, mac, ipv4, ipv6) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(lease.id.to_string())
    .bind(lease.network.to_string())
    .bind(lease.instance.to_string())
    .bind(i64::from(lease.position))
    .bind(lease.mac.to_string())
    .bind(lease.ipv4.to_string())
    .bind(lease.ipv6.to_string())
    .run(tx, "insert a lease")
    .await
    .map(drop)
}

/// An instance's leases in the order of its interfaces.
pub async fn of_instance(conn: &mut Conn, instance: InstanceId) -> Result<Vec<Lease>> {
    query!(
        "SELECT l.*, n.name AS network_name FROM leases l JOIN networks n ON n.id = l.network_id \
         WHERE l.instance_id = $1 ORDER BY l.position",
    )
    .bind(instance.to_string())
    .rows(conn, "read an instance's leases", read)
    .await
}

pub async fn ipv4_taken(conn: &mut Conn, network: NetworkId, address: Ipv4Addr) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM leases WHERE network_id = $1 AND ipv4 = $2")
        .bind(network.to_string())
        .bind(address.to_string())
        .number(conn, "look for an address")
        .await?;
    Ok(n > 0)
}

pub async fn ipv6_taken(conn: &mut Conn, network: NetworkId, address: Ipv6Addr) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM leases WHERE network_id = $1 AND ipv6 = $2")
        .bind(network.to_string())
        .bind(address.to_string())
        .number(conn, "look for an address")
        .await?;
    Ok(n > 0)
}

pub async fn mac_taken(conn: &mut Conn, mac: MacAddr) -> Result<bool> {
    let n = query!(
        "SELECT (SELECT COUNT(*) FROM leases WHERE mac = $1) \
         + (SELECT COUNT(*) FROM bridge_interfaces WHERE mac = $1) AS n",
    )
    .bind(mac.to_string())
    .number(conn, "look for an Ethernet address")
    .await?;
    Ok(n > 0)
}

/// Frees the addresses of one lease. Returns whose it was.
pub async fn delete(tx: &mut Tx, id: LeaseId) -> Result<Option<InstanceId>> {
    let instance = query!("SELECT instance_id FROM leases WHERE id = $1")
        .bind(id.to_string())
        .row(tx, "read a lease", |c| c.text("instance_id"))
        .await?;
    query!("DELETE FROM leases WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "delete a lease")
        .await?;
    Ok(instance)
}
