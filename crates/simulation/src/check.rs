//! What always holds, looked at behind every step.

use std::collections::{BTreeMap, BTreeSet};

use rhyzome_model::placement::PlacementSpec;
use rhyzome_model::{InstanceId, NetworkId, PlacementId};

use crate::world::World;

/// What was seen before, to compare with.
#[derive(Debug, Default)]
pub struct Seen {
    /// The generations of what is on the hosts.
    generations: BTreeMap<PlacementId, u64>,
}

impl World {
    /// Looks at all hosts.
    ///
    /// # Errors
    /// What should not be.
    pub fn check_hosts(&mut self) -> Result<(), String> {
        let mut instances: BTreeSet<InstanceId> = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        let mut macs = BTreeSet::new();
        for component in &self.components {
            let contents = component.host.contents();
            let mut links: BTreeSet<NetworkId> = BTreeSet::new();
            for (placement, _) in &contents {
                if let PlacementSpec::Network(_) | PlacementSpec::Segment(_) = placement.spec {
                    links.extend(placement.spec.network());
                }
            }
            let on = &component.name;
            for (placement, _) in &contents {
                let (id, spec) = (placement.id, &placement.spec);
                let highest = self.seen.generations.entry(id).or_default();
                if placement.generation < *highest {
                    return Err(format!(
                        "{id:?} on {on} went back from {highest}: {placement:?}"
                    ));
                }
                *highest = placement.generation;
                let needs: Vec<NetworkId> = match spec {
                    PlacementSpec::Instance(instance) => {
                        let networks = instance.interfaces.iter().map(|i| i.network);
                        networks.collect()
                    }
                    other => other.network().into_iter().collect(),
                };
                if !component.disturbed && !needs.iter().all(|need| links.contains(need)) {
                    return Err(format!("what {placement:?} on {on} is in is not there"));
                }
                if let PlacementSpec::Instance(instance) = spec
                    && !instances.insert(instance.instance)
                {
                    return Err(format!("{} is on two hosts", instance.name));
                }
                if let PlacementSpec::Lease(lease) = spec {
                    let new =
                        addresses.insert((lease.network, lease.ipv4)) && macs.insert(lease.mac);
                    if !new {
                        return Err(format!("two leases of one address: {lease:?}"));
                    }
                }
                let shown = match spec {
                    PlacementSpec::Network(network) => Some(network.network.0),
                    PlacementSpec::Segment(segment) => Some(segment.network.0),
                    PlacementSpec::Instance(instance) => Some(instance.instance.0),
                    PlacementSpec::Peer(peer) => Some(peer.peer.0),
                    PlacementSpec::Lease(_) | PlacementSpec::Vtep(_) => None,
                };
                if shown.is_some_and(|resource| self.model.gone.contains(&resource)) {
                    return Err(format!("{placement:?} on {on} belongs to what is gone"));
                }
                self.check_project(spec)?;
            }
        }
        Ok(())
    }

    /// What belongs to one project is in networks of that project.
    fn check_project(&self, spec: &PlacementSpec) -> Result<(), String> {
        let owner = |id| {
            let found = self.model.things.iter().find(|(_, thing)| thing.id == id);
            found.map(|(key, _)| &key.project)
        };
        let (own, networks): (_, Vec<NetworkId>) = match spec {
            PlacementSpec::Instance(instance) => {
                let networks = instance.interfaces.iter().map(|i| i.network);
                (owner(instance.instance.0), networks.collect())
            }
            PlacementSpec::Peer(peer) => (owner(peer.peer.0), vec![peer.network]),
            PlacementSpec::Network(_)
            | PlacementSpec::Segment(_)
            | PlacementSpec::Vtep(_)
            | PlacementSpec::Lease(_) => return Ok(()),
        };
        for network in networks {
            if let (Some(own), Some(other)) = (own, owner(network.0))
                && own != other
            {
                return Err(format!("{spec:?} of {own} is in a network of {other}"));
            }
        }
        Ok(())
    }
}
