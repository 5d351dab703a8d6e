//! What a router is to have after a change, and why some of it is not possible. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhyzome_model::NetworkId;
use rhyzome_model::segment::Segment;

use crate::desired::{Sections, desired};
use crate::names::{Names, network_of};
use crate::plan::{Plan, PlanError, Within, plan};
use crate::present::{Obstacle, Present};
use crate::record::{Kept, Record, Records};
use crate::router::{Network, Router};
use crate::validate::{Place, Problem, validate};
use crate::verify;

/// Why a network cannot be as it is asked: what is there of it stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    #[error("it cannot be asked: {}", lines(.0))]
    Problems(Vec<Problem>),
    #[error("something on the router stands in the way: {}", lines(.0))]
    Obstacles(Vec<Obstacle>),
    #[error("something on the router has a name of its own")]
    Name(#[source] PlanError),
}

fn lines(all: &[impl ToString]) -> String {
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// The recorded networks, and which of them may not be made.
#[derive(Debug)]
pub(crate) struct Goal {
    pub networks: Vec<Network>,
    pub blocked: BTreeMap<NetworkId, Blocked>,
}

/// The networks as recorded, those that change last: where two cannot be together, the one that was there stays.
pub(crate) fn networks(records: &Records, changing: &BTreeSet<NetworkId>) -> Vec<Network> {
    let mut all: Vec<Network> = records
        .networks
        .values()
        .map(|kept| network(kept))
        .collect();
    all.sort_by_key(|network| changing.contains(&network.spec.network));
    all
}

fn network(kept: &Kept) -> Network {
    fn specs<K, T>(records: &BTreeMap<K, Record<T>>) -> Vec<Arc<T>> {
        let specs = records.values().map(|record| &record.spec);
        specs.map(Arc::clone).collect()
    }
    Network {
        spec: (*kept.network.spec).clone(),
        endpoint_key: kept.key.clone(),
        leases: specs(&kept.leases),
        peers: specs(&kept.peers),
        vteps: specs(&kept.vteps),
    }
}

impl Goal {
    /// Finds out which of the networks may be.
    pub fn new(router: &Router, mut networks: Vec<Network>, present: &Present) -> Self {
        let mut blocked = BTreeMap::new();
        loop {
            let why = match validate(router, &networks) {
                Err(problems) => of_networks(&networks, problems, problem_of, Blocked::Problems),
                Ok(checked) => {
                    let obstacles = present.obstacles(&checked);
                    of_networks(&networks, obstacles, obstacle_of, Blocked::Obstacles)
                }
            };
            // What is about none of the networks stands in nobody's way.
            if why.is_empty() {
                return Self { networks, blocked };
            }
            networks.retain(|network| !why.contains_key(&network.spec.network));
            blocked.extend(why);
        }
    }

    /// What the router's files are to have of these networks; those that are blocked are left out.
    pub fn sections(&self, router: &Router, these: &BTreeSet<NetworkId>) -> Sections {
        let some: Vec<Network> = self
            .networks
            .iter()
            .filter(|network| these.contains(&network.spec.network))
            .cloned()
            .collect();
        let checked = validate(router, &some).expect("some of what may be together may be");
        desired(&checked)
    }

    /// The change of the files that brings these networks, and no others, to what they are to be.
    pub fn plan(
        &self,
        router: &Router,
        present: &Present,
        these: &BTreeSet<NetworkId>,
        within: &Within,
    ) -> Result<Plan, PlanError> {
        plan(present, &self.sections(router, these), within)
    }
}

/// The networks of all that carry the mark of one of these, whatever their numbers were.
pub(crate) fn within(
    records: &[&Records],
    present: &Present,
    these: &BTreeSet<NetworkId>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for records in records {
        let kept = these.iter().filter_map(|id| records.networks.get(id));
        names.extend(kept.map(|kept| Names::new(kept.network.spec.segment).network()));
    }
    let marked = present.marked();
    names.extend(
        marked
            .into_iter()
            .filter(|(_, id)| these.contains(id))
            .map(|(name, _)| name),
    );
    names
}

/// By network; what is nobody's in particular is everybody's.
fn of_networks<T: Clone>(
    networks: &[Network],
    all: Vec<T>,
    is_of: impl Fn(&T, &Network) -> Option<bool>,
    blocked: impl Fn(Vec<T>) -> Blocked,
) -> BTreeMap<NetworkId, Blocked> {
    let mut found = BTreeMap::new();
    for network in networks {
        let own: Vec<T> = all
            .iter()
            .filter(|one| is_of(one, network).unwrap_or(true))
            .cloned()
            .collect();
        if !own.is_empty() {
            found.insert(network.spec.network, blocked(own));
        }
    }
    found
}

/// Whether a problem is a network's; none where it is everybody's.
fn problem_of(problem: &Problem, network: &Network) -> Option<bool> {
    title_of(&problem.place).map(|title| title == network.title())
}

fn title_of(place: &Place) -> Option<&str> {
    match place {
        Place::Router => None,
        Place::Network(network)
        | Place::Lease { network, .. }
        | Place::Peer { network, .. }
        | Place::Vtep { network, .. } => Some(network),
    }
}

fn obstacle_of(obstacle: &Obstacle, network: &Network) -> Option<bool> {
    let names = Names::new(network.spec.segment);
    match obstacle {
        Obstacle::Name { name, .. } => {
            let own = name.parse().ok();
            let own = own.as_ref().and_then(network_of);
            Some(own == Some(&*names.network()))
        }
        Obstacle::Zone { name, .. } => {
            // `rz_+` and `*` take all of them.
            let exact = !name.ends_with(['+', '*']);
            exact.then(|| verify::names(&names.network(), name))
        }
        Obstacle::Vlan { vlan, .. } => {
            Some(matches!(network.spec.segment, Segment::Vlan(own) if own.get() == *vlan))
        }
        Obstacle::Overlap { place, .. }
        | Obstacle::Port { place, .. }
        | Obstacle::HostAddress { place, .. }
        | Obstacle::HostMac { place, .. } => title_of(place).map(|title| title == network.title()),
        Obstacle::NoFilter(_) => Some(matches!(network.spec.segment, Segment::Vlan(_))),
        Obstacle::Missing(_)
        | Obstacle::Unreadable(..)
        | Obstacle::Fragile(_)
        | Obstacle::NoZones
        | Obstacle::NoUplink(_)
        | Obstacle::ForwardsAll
        | Obstacle::LetsAllIn
        | Obstacle::NoServer => None,
    }
}

#[cfg(test)]
mod tests;
