//! From rows to what components are told.

use rhyzome_model::instance::{
    Attachment, BlobPin, BridgeInterface, Guest, ImagePin, InstancePlacement, Interface,
};
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, SegmentPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::PlacementSpec;
use rhyzome_model::segment::Segment;
use rhyzome_model::{InstanceId, Name, NetworkId, PlacementId};
use rhyzome_store::instance::Instance;
use rhyzome_store::job::Verb;
use rhyzome_store::lease::Lease;
use rhyzome_store::network::Network;
use rhyzome_store::peer::Peer;
use rhyzome_store::{component, placement};

use crate::instance::disk;
use crate::network::card::{self, Machine};
use crate::work::{Work, project_of};
use crate::{Core, Result, session};

/// The DNS domain of a network.
pub fn domain(core: &Core, network: &Network) -> String {
    format!(
        "{}.{}.{}",
        network.meta.name,
        project_of(&network.meta),
        core.site.domain
    )
}

fn network_spec(core: &Core, network: &Network) -> PlacementSpec {
    PlacementSpec::Network(NetworkPlacement {
        network: network.id,
        project: project_of(&network.meta),
        name: network.meta.name.clone(),
        segment: network.segment,
        ipv4: network.ipv4,
        ipv6: network.ipv6,
        domain: domain(core, network),
        mtu: network.mtu,
        egress: network.spec.egress,
        endpoint_port: network.port,
        peers_ipv4: core.site.peers_ipv4,
        peers_ipv6: core.peers_ipv6,
    })
}

fn segment_spec(network: &Network, router: Option<InstanceId>) -> PlacementSpec {
    PlacementSpec::Segment(SegmentPlacement {
        network: network.id,
        project: project_of(&network.meta),
        name: network.meta.name.clone(),
        segment: network.segment,
        mtu: network.mtu,
        router,
    })
}

fn lease_spec(instance: &Name, lease: &Lease) -> PlacementSpec {
    PlacementSpec::Lease(LeasePlacement {
        lease: lease.id,
        network: lease.network,
        hostname: instance.clone(),
        mac: lease.mac,
        ipv4: lease.ipv4,
        ipv6: lease.ipv6,
    })
}

fn peer_spec(peer: &Peer, network: &Network) -> PlacementSpec {
    PlacementSpec::Peer(PeerPlacement {
        peer: peer.id,
        network: network.id,
        public_key: peer.spec.public_key.clone(),
        ipv4: peer.ipv4,
        ipv6: peer.ipv6,
    })
}

fn instance_spec(
    instance: &Instance,
    initrd: Option<BlobPin>,
    interfaces: Vec<Interface>,
) -> PlacementSpec {
    let name = &instance.meta.name;
    let guest = Guest {
        fqdn: match interfaces.first() {
            Some(first) => format!("{name}.{}", first.domain),
            None => name.to_string(),
        },
        ssh_keys: instance
            .ssh_keys
            .iter()
            .map(|key| key.public_key.clone())
            .collect(),
        user_data: instance.spec.user_data.clone(),
        metadata: instance.spec.metadata,
    };
    PlacementSpec::Instance(Box::new(InstancePlacement {
        instance: instance.id,
        project: project_of(&instance.meta),
        name: instance.meta.name.clone(),
        cpus: instance.spec.cpus,
        memory: instance.spec.memory,
        image: ImagePin {
            blob: BlobPin {
                digest: instance.digest,
                size: instance.size,
            },
            format: instance.format.clone(),
        },
        initrd,
        command_line: instance.command_line.clone(),
        disk: disk::effective(&instance.spec, &instance.format),
        interfaces,
        bridges: bridge_interfaces(&instance.spec.bridges),
        card_slots: instance.spec.card_slots,
        power: instance.spec.power,
        restart: instance.spec.restart,
        stop_timeout: instance.spec.stop_timeout,
        guest,
    }))
}

/// Those that have their Ethernet addresses, which all have once the instance is written.
fn bridge_interfaces(attached: &[Attachment]) -> Vec<BridgeInterface> {
    let interface = |on: &Attachment| {
        Some(BridgeInterface {
            bridge: on.bridge.clone(),
            mac: on.mac?,
        })
    };
    attached.iter().filter_map(interface).collect()
}

fn interface(core: &Core, network: &Network, lease: &Lease) -> Interface {
    Interface {
        network: lease.network,
        mac: lease.mac,
        ipv4: lease.ipv4,
        ipv6: lease.ipv6,
        mtu: network.mtu,
        network_name: network.meta.name.clone(),
        subnet4: network.ipv4,
        subnet6: network.ipv6,
        domain: domain(core, network),
        egress: network.spec.egress,
        peers_ipv4: core.site.peers_ipv4,
        peers_ipv6: core.peers_ipv6,
    }
}

impl Work {
    /// Wants a network on its router, after the network card there that it may be.
    pub async fn want_network(&mut self, network: &Network) -> Result<PlacementId> {
        let card = match self.machine(network).await? {
            Some(machine) => {
                let spec = segment_spec(network, Some(machine.instance));
                let name = network.meta.name.as_str();
                Some(
                    self.want(network.project, machine.host, name, &spec)
                        .await?,
                )
            }
            None => None,
        };
        let spec = network_spec(self.core(), network);
        let id = self
            .want(
                network.project,
                network.router,
                network.meta.name.as_str(),
                &spec,
            )
            .await?;
        if let Some(card) = card {
            placement::need(self, id, card).await?;
            session::block_if_in_vain(self, id).await?;
        }
        Ok(id)
    }

    /// The VM that a network is a network card of.
    async fn machine(&mut self, network: &Network) -> Result<Option<Machine>> {
        if !matches!(network.segment, Segment::Port(_)) {
            return Ok(None);
        }
        match component::by_id(self, network.router).await? {
            Some(router) => card::machine(self, &router).await,
            None => Ok(None),
        }
    }

    /// Wants the segments and tunnels of a network once more that a host refused.
    pub async fn want_refused_again(&mut self, network: NetworkId) -> Result<()> {
        let now = self.now;
        for row in placement::failed_between(self, network).await? {
            if row.reason != "Blocked" {
                placement::again(self, row.id, now).await?;
                self.enqueue(row.id, row.component, &Verb::Ensure).await?;
            }
        }
        Ok(())
    }

    /// Wants a peer at a network's endpoint.
    pub async fn want_peer(&mut self, peer: &Peer, network: &Network) -> Result<()> {
        let router = self.want_network(network).await?;
        let spec = peer_spec(peer, network);
        let id = self
            .want(peer.project, network.router, peer.meta.name.as_str(), &spec)
            .await?;
        Ok(placement::need(self, id, router).await?)
    }

    /// Wants an instance on its host, with the segments and leases that it needs, each in its network.
    pub async fn want_instance(
        &mut self,
        instance: &Instance,
        initrd: Option<BlobPin>,
        (networks, leases): (&[Network], &[Lease]),
    ) -> Result<PlacementId> {
        let name = &instance.meta.name;
        let mut needs = Vec::new();
        let mut interfaces = Vec::new();
        for (network, lease) in networks.iter().zip(leases) {
            let router = self.want_network(network).await?;
            let machine = self.machine(network).await?;
            let segment = segment_spec(network, machine.map(|machine| machine.instance));
            let network_name = network.meta.name.as_str();
            needs.push(
                self.want(instance.project, instance.host, network_name, &segment)
                    .await?,
            );
            let tunnels = self.span(network, instance.host).await?;
            needs.extend(tunnels.here);
            let spec = lease_spec(name, lease);
            let id = self
                .want(instance.project, network.router, name.as_str(), &spec)
                .await?;
            placement::need(self, id, router).await?;
            if let Some(tunnel) = tunnels.there {
                placement::need(self, id, tunnel).await?;
            }
            needs.push(id);
            interfaces.push(interface(self.core(), network, lease));
        }
        let spec = instance_spec(instance, initrd, interfaces);
        let id = self
            .want(instance.project, instance.host, name.as_str(), &spec)
            .await?;
        for need in needs {
            placement::need(self, id, need).await?;
        }
        session::block_if_in_vain(self, id).await?;
        Ok(id)
    }
}
