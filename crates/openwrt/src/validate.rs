//! What is asked, looked at before anything is written: what OpenWrt would take silently and not do, or take and fall
//! over, is refused here.
//!
//! One bad key takes a WireGuard interface down, one address in two leases all DHCP and DNS of the router, one bad zone
//! its rules; all of them return 0.

mod links;
mod members;
mod problem;
mod spec;

pub use problem::{Place, Problem, What};
pub(crate) use spec::overlap;

use std::collections::BTreeMap;

use crate::router::{Network, Router};
use problem::Problems;

/// A router's networks, of which nothing is wrong that can be seen without looking at the router.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    router: &'a Router,
    networks: &'a [Network],
}

impl<'a> Checked<'a> {
    pub fn router(&self) -> &'a Router {
        self.router
    }

    pub fn networks(&self) -> &'a [Network] {
        self.networks
    }
}

/// Looks at all that a router is to have.
///
/// # Errors
/// All that is wrong with it, at once.
pub fn validate<'a>(
    router: &'a Router,
    networks: &'a [Network],
) -> Result<Checked<'a>, Vec<Problem>> {
    let mut problems = Problems::default();
    links::router(router, &mut problems);
    for network in networks {
        links::segment(router, network, &mut problems);
        spec::check(network, &mut problems);
        members::check(network, &mut problems);
    }
    spec::apart(networks, &mut problems);
    twice(router, networks, &mut problems);
    match problems.found() {
        none if none.is_empty() => Ok(Checked { router, networks }),
        found => Err(found),
    }
}

/// What only one network or lease of a router may have.
fn twice(router: &Router, networks: &[Network], problems: &mut Problems) {
    let (mut ids, mut titles, mut segments) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut ports, mut macs) = (BTreeMap::new(), BTreeMap::new());
    if let Some((_, port)) = router.tunnel {
        ports.insert(port, Place::Router);
    }
    for network in networks {
        let place = Place::network(network);
        let (id, title) = (network.spec.network, network.title());
        problems.once(&mut ids, id, "the id", &place);
        problems.once(&mut titles, title, "the name", &place);
        problems.once(&mut segments, network.spec.segment, "the segment", &place);
        problems.once(
            &mut ports,
            network.spec.endpoint_port,
            "the UDP port",
            &place,
        );
        for lease in &network.leases {
            let place = Place::lease(network, lease);
            problems.once(&mut macs, lease.mac, "the Ethernet address", &place);
        }
    }
}

#[cfg(test)]
mod tests;
