//! The way of a network from its router to a hypervisor, and why there may be none.

use rhyzome_model::ComponentId;
use rhyzome_model::resource::Component;
use rhyzome_model::segment::{Segment, Segmentation, VlanId};
use rhyzome_store::network::Network;

use crate::network::card::Machine;

pub(super) struct Way<'a> {
    pub network: &'a Network,
    pub router: Component,
    /// The VM that the router is.
    pub machine: Option<Machine>,
}

impl Way<'_> {
    /// Why the network cannot come to a host.
    pub fn cut_off(&self, host: &Component) -> Option<String> {
        match self.network.segment {
            Segment::Vlan(vlan) => self.no_vlan(host, vlan),
            Segment::Vxlan(_) => self.no_tunnel(host),
            Segment::Port(_) => self.no_card(host),
        }
    }

    fn no_vlan(&self, host: &Component, vlan: VlanId) -> Option<String> {
        let name = &self.network.meta.name;
        let trunk = host.facts.trunk.as_ref();
        let can = host.facts.segmentations.contains(&Segmentation::Vlan);
        let Some(trunk) = trunk.filter(|_| can) else {
            let why = match host.facts.details.get("vlan") {
                Some(why) => why.as_str(),
                None => "it needs a trunk and vlan among segmentation in its configuration",
            };
            let vlan = vlan.get();
            return Some(format!(
                "{name} is VLAN {vlan}, which cannot be here: {why}"
            ));
        };
        self.too_narrow(trunk.mtu, &format!("VLANs on {} there", trunk.device))
    }

    fn no_tunnel(&self, host: &Component) -> Option<String> {
        let (here, there) = (&host.facts, &self.router.facts);
        if here.host == there.host {
            return None;
        }
        let (name, gate) = (&self.network.meta.name, &self.router.meta.name);
        if !here.segmentations.contains(&Segmentation::Vxlan) {
            return Some(format!(
                "{name} comes through tunnels, and vxlan is not among segmentation in its configuration"
            ));
        }
        let (Some(from), Some(to)) = (here.tunnel_address, there.tunnel_address) else {
            let missing = if here.tunnel_address.is_none() {
                "it"
            } else {
                gate.as_str()
            };
            return Some(format!(
                "the router of {name} is on another host, and {missing} has no address for tunnels; \
                 set tunnel_address there"
            ));
        };
        if from.is_ipv4() != to.is_ipv4() {
            return Some(format!(
                "its tunnels end at {from} and those of {gate} at {to}, which are not of one family"
            ));
        }
        let fits = here.mtu.into_iter().chain(there.mtu).min()?;
        self.too_narrow(fits, "the tunnel to it")
    }

    fn no_card(&self, host: &Component) -> Option<String> {
        let (name, gate) = (&self.network.meta.name, &self.router.meta.name);
        match self.machine {
            Some(machine) if machine.host == ComponentId(host.meta.id) => None,
            Some(_) => Some(format!(
                "{name} is a network card of {gate}, and comes to no other host than that of this VM"
            )),
            None => Some(format!(
                "{name} is a network card of {gate}, and which instance that is, is not known"
            )),
        }
    }

    fn too_narrow(&self, fits: u16, through: &str) -> Option<String> {
        let (name, mtu) = (&self.network.meta.name, self.network.mtu);
        (fits < mtu).then(|| {
            format!(
                "a packet of {name} has up to {mtu} bytes, and {fits} fit through {through}; the network has \
                 to be made anew"
            )
        })
    }
}
