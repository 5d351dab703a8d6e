//! Networks that span hosts: each host of a network is told of each other one where its tunnel ends and
//! which MACs are behind it.
//!
//! A change on one host changes what the others are told of that host, and nothing else: so much for
//! each instance, whatever there is in the network besides.

use rhyzome_model::network::{VtepPlacement, router_mac};
use rhyzome_model::placement::PlacementSpec;
use rhyzome_model::{ComponentId, MacAddr, NetworkId, PlacementId};
use rhyzome_store::network::Network;
use rhyzome_store::vtep::{self, Member};
use rhyzome_store::{network, placement};

use crate::work::Work;
use crate::{Result, session};

/// The tunnels between a hypervisor and a network's router, where they are on two hosts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ToRouter {
    /// What the hypervisor is told of the router.
    pub here: Option<PlacementId>,
    /// What the router is told of the hypervisor.
    pub there: Option<PlacementId>,
}

impl Work {
    /// Brings what is told of a component in a network, and to it, to what it should be. Before it is
    /// wanted there, or after it is not any more, that is nothing.
    pub(crate) async fn span(
        &mut self,
        network: &Network,
        component: ComponentId,
    ) -> Result<ToRouter> {
        let members = vtep::members(self, network.id).await?;
        let told = vtep::told(self, network.id, component).await?;
        let mut kept = Vec::new();
        let mut to_router = ToRouter::default();
        if let Some(own) = members.iter().find(|member| member.component == component) {
            let apart = |other: &&Member| !other.shares_links_with(own);
            let others: Vec<&Member> = members.iter().filter(apart).collect();
            // As many as it has instances there: on one host nobody has to know them.
            let macs = match others.is_empty() {
                true => Vec::new(),
                false => self.macs(network, own).await?,
            };
            for other in others {
                let there = self.tell_of(network, other, own, macs.clone()).await?;
                let known = told
                    .iter()
                    .find(|told| told.who == component && told.whom == other.component);
                // What it is told of another one changes with that one; what failed is tried again.
                let here = match known.filter(|told| told.wanted && !told.failed) {
                    Some(told) => Some(told.placement),
                    None => {
                        let macs = self.macs(network, other).await?;
                        self.tell_of(network, own, other, macs).await?
                    }
                };
                kept.extend(here.into_iter().chain(there));
                if other.router {
                    to_router = ToRouter { here, there };
                }
            }
        }
        for told in told {
            if told.wanted && !kept.contains(&told.placement) {
                self.untell(told.placement).await?;
            }
        }
        Ok(to_router)
    }

    /// The same by the network's id, for what may be gone.
    pub(crate) async fn span_by_id(&mut self, id: NetworkId, component: ComponentId) -> Result<()> {
        match network::by_id(self, id).await? {
            Some(network) => self.span(&network, component).await.map(drop),
            None => Ok(()),
        }
    }

    /// Begins anew with all that is told of a component and to it: its tunnels end elsewhere now.
    pub(crate) async fn span_anew(&mut self, component: ComponentId) -> Result<()> {
        for id in vtep::networks(self, component).await? {
            let Some(network) = network::by_id(self, id).await? else {
                continue;
            };
            self.span(&network, component).await?;
            let members = vtep::members(self, id).await?;
            let Some(own) = members.iter().find(|member| member.component == component) else {
                continue;
            };
            for other in members.iter().filter(|other| !other.shares_links_with(own)) {
                let macs = self.macs(&network, other).await?;
                self.tell_of(&network, own, other, macs).await?;
            }
        }
        Ok(())
    }

    async fn macs(&mut self, network: &Network, member: &Member) -> Result<Vec<MacAddr>> {
        if member.router {
            return Ok(vec![router_mac(network.id)]);
        }
        Ok(vtep::macs(self, network.id, member.component).await?)
    }

    /// Tells one component of another one; none where that one's tunnels end nowhere.
    async fn tell_of(
        &mut self,
        network: &Network,
        who: &Member,
        whom: &Member,
        macs: Vec<MacAddr>,
    ) -> Result<Option<PlacementId>> {
        let (Some(_), Some(address)) = (who.tunnel_address, whom.tunnel_address) else {
            return Ok(None);
        };
        let spec = PlacementSpec::Vtep(VtepPlacement {
            network: network.id,
            host: whom.component,
            address,
            vni: network.vni.get(),
            port: self.core().site.tunnel_port,
            macs,
        });
        let name = network.meta.name.as_str();
        let id = self
            .want(network.project, who.component, name, &spec)
            .await?;
        placement::need(self, id, who.placement).await?;
        session::block_if_in_vain(self, id).await?;
        Ok(Some(id))
    }

    async fn untell(&mut self, id: PlacementId) -> Result<()> {
        match placement::by_id(self, id).await? {
            Some(row) => self.unwant(&row).await,
            None => Ok(()),
        }
    }
}
