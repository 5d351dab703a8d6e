//! The hosts that a network is on, and what each of them is told of each other one.

use std::net::IpAddr;

use rhyzome_model::component::HostFacts;
use rhyzome_model::placement::PlacementKind;
use rhyzome_model::{ComponentId, MacAddr, NetworkId, PlacementId};

use crate::column::Columns;
use crate::statement::query;
use crate::{Conn, Result};

/// A component that a network is on: its router, or a hypervisor with its segment.
#[derive(Clone, Debug)]
pub struct Member {
    pub component: ComponentId,
    /// The network's or the segment's placement there.
    pub placement: PlacementId,
    pub router: bool,
    /// Names its kernel and network namespace.
    pub host: String,
    pub tunnel_address: Option<IpAddr>,
}

impl Member {
    /// Whether two share their links, so that there is no tunnel between them.
    pub fn shares_links_with(&self, other: &Self) -> bool {
        self.host == other.host
            || (self.tunnel_address.is_some() && self.tunnel_address == other.tunnel_address)
    }
}

fn member(c: &Columns<'_>) -> Result<Member> {
    let facts: HostFacts = c.json("facts")?;
    let kind: PlacementKind = c.word("kind")?;
    Ok(Member {
        component: c.text("component_id")?,
        placement: c.text("id")?,
        router: kind == PlacementKind::Network,
        host: facts.host,
        tunnel_address: facts.tunnel_address,
    })
}

/// Where a network is wanted.
pub async fn members(conn: &mut Conn, network: NetworkId) -> Result<Vec<Member>> {
    query!(
        "SELECT p.id, p.kind, p.component_id, c.facts FROM placements p \
         JOIN components c ON c.id = p.component_id \
         WHERE p.resource_id = $1 AND p.kind IN ('network', 'segment') AND p.wanted = 1 \
         ORDER BY p.component_id",
    )
    .bind(network.to_string())
    .rows(conn, "read the hosts of a network", member)
    .await
}

/// What one component is told of another one.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub placement: PlacementId,
    /// Who is told, and of whom.
    pub who: ComponentId,
    pub whom: ComponentId,
    pub wanted: bool,
    /// It was refused, or waits for what was.
    pub failed: bool,
}

/// What is told of a component, or to it, in a network.
pub async fn told(
    conn: &mut Conn,
    network: NetworkId,
    component: ComponentId,
) -> Result<Vec<Told>> {
    query!(
        "SELECT id, component_id, resource_id, wanted, state FROM placements \
         WHERE network_id = $1 AND kind = 'vtep' AND project_id IS NOT NULL \
         AND (component_id = $2 OR resource_id = $2) ORDER BY id",
    )
    .bind(network.to_string())
    .bind(component.to_string())
    .rows(conn, "read the tunnels of a host", |c| {
        Ok(Told {
            placement: c.text("id")?,
            who: c.text("component_id")?,
            whom: c.text("resource_id")?,
            wanted: c.flag("wanted")?,
            failed: c.string("state")? == "failed",
        })
    })
    .await
}

/// The MACs of a network's instances on a hypervisor, sorted; also of those that are being deleted.
pub async fn macs(conn: &mut Conn, network: NetworkId, host: ComponentId) -> Result<Vec<MacAddr>> {
    query!(
        "SELECT l.mac FROM leases l JOIN instances i ON i.id = l.instance_id \
         WHERE l.network_id = $1 AND i.component_id = $2 ORDER BY l.mac",
    )
    .bind(network.to_string())
    .bind(host.to_string())
    .rows(conn, "read the MACs on a host", |c| c.text("mac"))
    .await
}

/// The networks that a component has a part of.
pub async fn networks(conn: &mut Conn, component: ComponentId) -> Result<Vec<NetworkId>> {
    query!(
        "SELECT DISTINCT network_id FROM placements \
         WHERE component_id = $1 AND kind IN ('network', 'segment') AND wanted = 1 ORDER BY network_id",
    )
    .bind(component.to_string())
    .rows(conn, "read the networks of a host", |c| c.text("network_id"))
    .await
}
