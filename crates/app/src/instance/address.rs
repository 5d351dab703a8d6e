//! Addresses of an instance's interfaces: the first free ones of what follows from its name.

use rhyzome_model::instance::Attachment;
use rhyzome_model::{InstanceId, LeaseId, Name};
use rhyzome_store::lease::{self, Lease};
use rhyzome_store::network::Network;

use crate::work::Work;
use crate::{Error, Kind, Result};

/// One lease a network, in the order given. Not written yet.
pub(super) async fn allocate(
    work: &mut Work,
    (project, name, id): (&Name, &Name, InstanceId),
    networks: &[Network],
) -> Result<Vec<Lease>> {
    let mut leases = Vec::with_capacity(networks.len());
    for (position, network) in (0..).zip(networks) {
        leases.push(allocate_one(work, (project, name, id), network, position).await?);
    }
    Ok(leases)
}

/// Gives Ethernet addresses to interfaces on hosts' bridges that have none, and refuses those of others.
pub(super) async fn complete(
    work: &mut Work,
    (project, name): (&Name, &Name),
    attached: &mut [Attachment],
) -> Result<()> {
    for (index, on) in attached.iter_mut().enumerate() {
        if let Some(mac) = on.mac {
            if lease::mac_taken(work, mac).await? {
                let why = format!("{mac} is another instance's interface's");
                return Err(Error::invalid(format!("spec.bridges[{index}].mac"), why));
            }
            continue;
        }
        for candidate in work.core().seed.bridge_mac(project, &on.bridge, name) {
            if !lease::mac_taken(work, candidate).await? {
                on.mac = Some(candidate);
                break;
            }
        }
    }
    Ok(())
}

async fn allocate_one(
    work: &mut Work,
    (project, name, instance): (&Name, &Name, InstanceId),
    network: &Network,
    position: u32,
) -> Result<Lease> {
    let seed = work.core().seed.clone();
    let at = &network.meta.name;
    let full = || {
        Error::new(
            Kind::NoCapacity,
            format!("the network {at} has no address left"),
        )
    };
    let mut ipv4 = None;
    for candidate in seed.lease_ipv4(network.ipv4, project, at, name) {
        if !lease::ipv4_taken(work, network.id, candidate).await? {
            ipv4 = Some(candidate);
            break;
        }
    }
    let mut ipv6 = None;
    for candidate in seed.lease_ipv6(network.ipv6, project, at, name) {
        if !lease::ipv6_taken(work, network.id, candidate).await? {
            ipv6 = Some(candidate);
            break;
        }
    }
    let mut mac = None;
    for candidate in seed.lease_mac(project, at, name) {
        if !lease::mac_taken(work, candidate).await? {
            mac = Some(candidate);
            break;
        }
    }
    Ok(Lease {
        id: LeaseId(work.core().uuid()),
        network: network.id,
        network_name: at.clone(),
        instance,
        position,
        mac: mac.ok_or_else(full)?,
        ipv4: ipv4.ok_or_else(full)?,
        ipv6: ipv6.ok_or_else(full)?,
    })
}
