//! The tunnels of a segment to other hosts: a VXLAN device as a port of the segment's bridge.
//!
//! Nothing is learned from packets. Where a MAC is, and to whom frames for everybody go, is what the
//! core says, one other end at a time. A packet counts only if it comes from an end of its segment and
//! the frame inside from a MAC that is behind that end. VXLAN is not encrypted, and who can forge
//! packets of a host on the network between hosts can forge what is in them.
//!
//! Router and hypervisor share the device where both are on one host. What is kept for whom are rules
//! of nftables; the device's forwarding entries are what all of them say together:
//!
//! ```text
//!   (none) ── ensure an end ──► rule ──► device ──► entries
//!      ▲                                               │
//!      └────── device, rules ◄── last end removed ─────┘
//! ```
//!
//! A kill in between leaves a rule whose entries are missing, which is found and repaired; or a table
//! without a rule, which goes with the next removal.

mod inventory;
mod rules;

use std::net::IpAddr;

use rhyzome_model::network::{VtepPlacement, bridge_name, tunnel_name};
use rhyzome_model::{ComponentId, NetworkId, PlacementId};

use crate::link::{Change, PortFlags, Vxlan};
use crate::lock::{self, LockError};
use crate::mark::Mark;
use crate::nft::{self, Listing, NftError};
use crate::sysctl::{self, SysctlError};
use crate::{Link, LinkError, Links};

pub use rules::Kept;
use rules::Numbers;

#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    #[error("this host has no address for tunnels: set tunnel_address")]
    NoAddress,
    #[error("the tunnel would go from {0} to {1}, which are not of one family")]
    Family(IpAddr, IpAddr),
    #[error("the segment's bridge {0} is not there")]
    NoSegment(String),
    #[error("there is a link {0} that is not Rhyzome's: it is left alone; rename or remove it")]
    Foreign(String),
    #[error(
        "another component of this host lets its tunnels end at {0}: set the same tunnel_address"
    )]
    Elsewhere(IpAddr),
    #[error("cannot change the tunnel")]
    Link(#[source] LinkError),
    #[error("cannot change the rules of tunnels")]
    Rules(#[source] NftError),
    #[error("cannot set up the tunnel's link")]
    Sysctl(#[source] SysctlError),
    #[error("cannot have the tunnels of this host for itself")]
    Lock(#[source] LockError),
    #[error("the tunnel {0} is not as it was just made: {1}")]
    NotApplied(String, String),
}

impl TunnelError {
    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Family(..) | Self::Foreign(_))
    }
}

/// The tunnels of one component.
#[derive(Clone, Debug)]
pub struct Tunnels {
    mark: Mark,
    local: Option<IpAddr>,
}

const FLAGS: PortFlags = PortFlags {
    learning: false,
    flood: false,
};

/// What is kept in a segment, as the kernel has it.
struct Segment {
    chain: String,
    listing: Option<Listing>,
    kept: Vec<Kept>,
    numbers: Numbers,
}

impl Segment {
    async fn read(network: NetworkId) -> Result<Self, TunnelError> {
        let chain = rules::chain(network);
        let list = |chain: String| async move {
            nft::list_chain("inet", rules::TABLE, &chain)
                .await
                .map_err(TunnelError::Rules)
        };
        let listing = list(chain.clone()).await?;
        let input = list(rules::INPUT.to_owned()).await?;
        Ok(Self {
            chain,
            kept: listing.as_ref().map(rules::kept).unwrap_or_default(),
            listing,
            numbers: input.as_ref().map(Numbers::parse).unwrap_or_default(),
        })
    }
}

impl Tunnels {
    /// `local`: where this host's tunnels end.
    pub fn of(mark: Mark, local: Option<IpAddr>) -> Self {
        Self { mark, local }
    }

    fn wanted(&self, placement: PlacementId, generation: u64, spec: &VtepPlacement) -> Kept {
        Kept {
            mark: self.mark,
            placement,
            generation,
            network: spec.network,
            host: spec.host,
            address: spec.address,
            macs: spec.macs.iter().map(|mac| mac.octets()).collect(),
        }
    }

    fn device(&self, spec: &VtepPlacement) -> Result<Vxlan, TunnelError> {
        let local = self.local.ok_or(TunnelError::NoAddress)?;
        if local.is_ipv4() != spec.address.is_ipv4() {
            return Err(TunnelError::Family(local, spec.address));
        }
        Ok(Vxlan {
            vni: spec.vni,
            port: spec.port,
            local,
            learning: false,
        })
    }

    /// Connects a segment of this host with one on another. Verified.
    ///
    /// # Errors
    /// [`TunnelError::NoSegment`] where its bridge is not there yet.
    pub async fn ensure(
        &self,
        (placement, generation): (PlacementId, u64),
        spec: &VtepPlacement,
    ) -> Result<(), TunnelError> {
        let device = self.device(spec)?;
        let want = self.wanted(placement, generation, spec);
        let _lock = take_lock().await?;
        let links = Links::open().map_err(TunnelError::Link)?;
        let bridge = find_bridge(&links, spec.network).await?;
        self.refuse_elsewhere(&links, spec.network, device).await?;
        ensure_rules(&want, (spec.port, spec.vni)).await?;
        let tunnel = ensure_device(&links, spec.network, device, &bridge).await?;
        let kept = Segment::read(spec.network).await?.kept;
        forward(&links, &tunnel, &kept).await?;
        match difference(&links, &want, device).await? {
            None => Ok(()),
            Some(why) => Err(TunnelError::NotApplied(tunnel.name, why)),
        }
    }

    /// Two components that share a device have to agree where it ends, or would take it from each other.
    async fn refuse_elsewhere(
        &self,
        links: &Links,
        network: NetworkId,
        want: Vxlan,
    ) -> Result<(), TunnelError> {
        let found = links
            .find(&tunnel_name(network))
            .await
            .map_err(TunnelError::Link)?;
        let there = found.and_then(|link| link.vxlan);
        let Some(there) = there.filter(|there| there.local != want.local) else {
            return Ok(());
        };
        let kept = Segment::read(network).await?.kept;
        if kept.iter().any(|kept| kept.mark != self.mark) {
            return Err(TunnelError::Elsewhere(there.local));
        }
        Ok(())
    }

    /// What of a tunnel is not as asked; none where nothing is.
    pub async fn check(
        &self,
        (placement, generation): (PlacementId, u64),
        spec: &VtepPlacement,
    ) -> Result<Option<String>, TunnelError> {
        let links = Links::open().map_err(TunnelError::Link)?;
        let want = self.wanted(placement, generation, spec);
        difference(&links, &want, self.device(spec)?).await
    }

    /// All that this component keeps.
    pub async fn list(&self) -> Result<Vec<Kept>, TunnelError> {
        let listing = nft::list("inet", rules::TABLE)
            .await
            .map_err(TunnelError::Rules)?;
        let kept = listing.as_ref().map(rules::kept).unwrap_or_default();
        Ok(kept
            .into_iter()
            .filter(|kept| kept.mark == self.mark)
            .collect())
    }

    /// Forgets another end; the device goes with the last one. Fine where there is nothing.
    pub async fn remove(&self, network: NetworkId, host: ComponentId) -> Result<(), TunnelError> {
        let _lock = take_lock().await?;
        let segment = Segment::read(network).await?;
        let own = |kept: &Kept| kept.is_for(self.mark, host);
        let others: Vec<Kept> = segment
            .kept
            .iter()
            .filter(|kept| !own(kept))
            .cloned()
            .collect();
        // Where nothing at all is kept, a kill may have left the rest.
        if others.len() == segment.kept.len() && !others.is_empty() {
            return Ok(());
        }
        let links = Links::open().map_err(TunnelError::Link)?;
        let tunnel = links
            .find(&tunnel_name(network))
            .await
            .map_err(TunnelError::Link)?
            .filter(is_ours);
        if let Some(tunnel) = tunnel {
            if others.is_empty() {
                links
                    .delete(tunnel.index)
                    .await
                    .map_err(TunnelError::Link)?;
            } else {
                forward(&links, &tunnel, &others).await?;
            }
        }
        if others.is_empty() {
            return drop_segment(network, &segment).await;
        }
        let commands = rules::forget(&segment.chain, segment.listing.as_ref(), (self.mark, host));
        nft::apply(commands).await.map_err(TunnelError::Rules)
    }

    /// Forgets all that this component keeps.
    pub async fn remove_all(&self) -> Result<(), TunnelError> {
        for kept in self.list().await? {
            self.remove(kept.network, kept.host).await?;
        }
        let _lock = take_lock().await?;
        let input = nft::list_chain("inet", rules::TABLE, rules::INPUT)
            .await
            .map_err(TunnelError::Rules)?;
        match input.as_ref().map(Numbers::parse).unwrap_or_default() {
            numbers if numbers.is_empty() => drop_tables().await,
            _ => Ok(()),
        }
    }
}

async fn take_lock() -> Result<lock::Lock, TunnelError> {
    lock::take("tunnel").await.map_err(TunnelError::Lock)
}

fn is_ours(link: &Link) -> bool {
    link.kind.as_deref() == Some("vxlan")
}

async fn find_bridge(links: &Links, network: NetworkId) -> Result<Link, TunnelError> {
    let name = bridge_name(network);
    let found = links.find(&name).await.map_err(TunnelError::Link)?;
    found.ok_or(TunnelError::NoSegment(name))
}

/// Lets in what comes from an end, before there is a device that it could come to.
async fn ensure_rules(want: &Kept, number: (u16, u32)) -> Result<(), TunnelError> {
    ensure_frames(want.network).await?;
    let segment = Segment::read(want.network).await?;
    let numbers = segment.numbers.with(&segment.chain, Some(number));
    let mut commands = Vec::new();
    if !segment.kept.contains(want) {
        commands = rules::put(&segment.chain, segment.listing.as_ref(), want);
    }
    if numbers != segment.numbers {
        commands.extend(numbers.commands());
    }
    if commands.is_empty() {
        return Ok(());
    }
    nft::apply(commands).await.map_err(TunnelError::Rules)
}

async fn ensure_frames(network: NetworkId) -> Result<(), TunnelError> {
    let frames = rules::frames();
    let mut networks = vec![network];
    if frames.ensure().await.map_err(TunnelError::Rules)? {
        // Written anew, and without what was in its set.
        let listing = nft::list("inet", rules::TABLE)
            .await
            .map_err(TunnelError::Rules)?;
        let kept = listing.as_ref().map(rules::kept).unwrap_or_default();
        networks.extend(kept.iter().map(|kept| kept.network));
    }
    let routers = networks.into_iter().map(rules::router).collect();
    let add = frames.add_elements("routers", routers);
    nft::apply(vec![add]).await.map_err(TunnelError::Rules)
}

/// Makes the device where there is none, and anew where it is another one.
async fn ensure_device(
    links: &Links,
    network: NetworkId,
    want: Vxlan,
    bridge: &Link,
) -> Result<Link, TunnelError> {
    let name = tunnel_name(network);
    let find = || async { links.find(&name).await.map_err(TunnelError::Link) };
    if let Some(link) = find().await? {
        if !is_ours(&link) {
            return Err(TunnelError::Foreign(name));
        }
        if link.vxlan != Some(want) {
            links.delete(link.index).await.map_err(TunnelError::Link)?;
        }
    }
    links
        .add_vxlan(&name, want)
        .await
        .map_err(TunnelError::Link)?;
    let Some(link) = find().await? else {
        return Err(TunnelError::NotApplied(name, "it is missing".to_owned()));
    };
    sysctl::ensure_where_present(&quiet(&name), "1").map_err(TunnelError::Sysctl)?;
    plug(links, &link, bridge)
        .await
        .map_err(TunnelError::Link)?;
    Ok(link)
}

/// Makes the device a port of its bridge, where there is one: after the bridge was made anew, too.
pub(crate) async fn plug_again(
    links: &Links,
    network: NetworkId,
    bridge: &Link,
) -> Result<(), LinkError> {
    match links.find(&tunnel_name(network)).await? {
        Some(link) if is_ours(&link) => plug(links, &link, bridge).await,
        _ => Ok(()),
    }
}

async fn plug(links: &Links, link: &Link, bridge: &Link) -> Result<(), LinkError> {
    if link.controller != Some(bridge.index) || link.mtu != bridge.mtu {
        let change = Change {
            mtu: Some(bridge.mtu),
            controller: Some(bridge.index),
            ..Change::default()
        };
        links.change(link.index, change).await?;
    }
    if link.controller != Some(bridge.index) || link.port_flags != Some(FLAGS) {
        links.set_port_flags(link.index, FLAGS).await?;
    }
    if !link.up {
        let up = Change {
            up: Some(true),
            ..Change::default()
        };
        links.change(link.index, up).await?;
    }
    Ok(())
}

/// Without IPv6 of its own, a link says nothing by itself.
fn quiet(name: &str) -> String {
    format!("net/ipv6/conf/{name}/disable_ipv6")
}

async fn forward(links: &Links, tunnel: &Link, kept: &[Kept]) -> Result<(), TunnelError> {
    let have = links
        .forwarding(tunnel.index)
        .await
        .map_err(TunnelError::Link)?;
    let want = rules::forwarding(kept);
    links
        .change_forwarding(tunnel.index, &have, &want)
        .await
        .map_err(TunnelError::Link)
}

async fn difference(
    links: &Links,
    want: &Kept,
    device: Vxlan,
) -> Result<Option<String>, TunnelError> {
    let segment = Segment::read(want.network).await?;
    if !segment.kept.contains(want) {
        return Ok(Some("its rule is missing".to_owned()));
    }
    if let Some(why) = frames_difference().await? {
        return Ok(Some(why));
    }
    device_difference(links, want.network, device, &segment).await
}

async fn frames_difference() -> Result<Option<String>, TunnelError> {
    let frames = nft::list("bridge", rules::TABLE)
        .await
        .map_err(TunnelError::Rules)?;
    let differs = rules::frames().differs(frames.as_ref());
    Ok(differs.map(|why| format!("of the rules for its frames, {why}")))
}

/// What of a segment's device and what leads to it is not as it should be.
async fn device_difference(
    links: &Links,
    network: NetworkId,
    device: Vxlan,
    segment: &Segment,
) -> Result<Option<String>, TunnelError> {
    let number = (device.port, device.vni);
    if segment.numbers.with(&segment.chain, Some(number)) != segment.numbers {
        return Ok(Some("the rules that lead to it are others".to_owned()));
    }
    let find = |name: String| async move { links.find(&name).await.map_err(TunnelError::Link) };
    let Some(bridge) = find(bridge_name(network)).await? else {
        return Ok(Some("its bridge is missing".to_owned()));
    };
    let link = find(tunnel_name(network)).await?;
    let Some(link) = link.filter(|link| link.vxlan == Some(device)) else {
        return Ok(Some("it is missing, or another one".to_owned()));
    };
    let plugged = link.controller == Some(bridge.index) && link.port_flags == Some(FLAGS);
    if !(plugged && link.up && link.mtu == bridge.mtu) {
        let why = "it is not plugged into its bridge as it should be";
        return Ok(Some(why.to_owned()));
    }
    let have = links
        .forwarding(link.index)
        .await
        .map_err(TunnelError::Link)?;
    let same = have == rules::forwarding(&segment.kept);
    Ok((!same).then(|| "its forwarding entries are others".to_owned()))
}

/// Drops the rules of a segment that nothing is kept of any more, and all rules with the last segment.
async fn drop_segment(network: NetworkId, segment: &Segment) -> Result<(), TunnelError> {
    let numbers = segment.numbers.with(&segment.chain, None);
    if numbers.is_empty() {
        return drop_tables().await;
    }
    let mut commands = Vec::new();
    if numbers != segment.numbers {
        commands.extend(numbers.commands());
    }
    if segment.listing.is_some() {
        commands.extend(rules::remove_chain(&segment.chain));
    }
    let frames = rules::frames();
    let listing = nft::list("bridge", rules::TABLE)
        .await
        .map_err(TunnelError::Rules)?;
    let router = rules::router(network);
    let has = |listing: &Listing| listing.elements("set", "routers").contains(&router);
    if listing.as_ref().is_some_and(has) {
        commands.push(frames.delete_elements("routers", vec![router]));
    }
    if commands.is_empty() {
        return Ok(());
    }
    nft::apply(commands).await.map_err(TunnelError::Rules)
}

async fn drop_tables() -> Result<(), TunnelError> {
    for family in ["inet", "bridge"] {
        nft::delete(family, rules::TABLE)
            .await
            .map_err(TunnelError::Rules)?;
    }
    Ok(())
}
