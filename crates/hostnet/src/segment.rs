//! The segment of a network on one host: a bridge that the router and the hypervisor share where both
//! run on the host.
//!
//! Who needs the bridge is written on the bridge, as an alternative name for each holder, so that the
//! kernel is the only record and no two processes can disagree. It goes with its last holder:
//!
//! ```text
//!   (none) ── ensure by A ──► held by A ── ensure by B ──► held by A, B
//!      ▲                          │ ▲                          │
//!      └────── remove by A ───────┘ └────── remove by B ───────┘
//! ```
//!
//! Nothing of the host is on the segment: the bridge has no address, and what reaches the bridge itself
//! is dropped as it comes in (nftables, family netdev, hook ingress), before ARP or IP look at it.
//! Frames between its ports do not pass there.

use rhyzome_model::network::bridge_name;
use rhyzome_model::{NetworkId, PlacementId};
use serde_json::json;
use uuid::Uuid;

use crate::link::Change;
use crate::lock::{self, LockError};
use crate::mark::Mark;
use crate::nft::{self, NftError, Ruleset, counted, discard};
use crate::sysctl::{self, SysctlError};
use crate::{Link, LinkError, Links, card, tunnel, vlan};

const PREFIX: &str = "rzh-";
pub(crate) const LOCK: &str = "segment";

#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error("there is a link {0} that is not Rhyzome's: it is left alone; rename or remove it")]
    Foreign(String),
    #[error("cannot change the links of the segment")]
    Link(#[source] LinkError),
    #[error("cannot keep the host off the segment")]
    Rules(#[source] NftError),
    #[error("cannot set up the bridge of the segment")]
    Sysctl(#[source] SysctlError),
    #[error("cannot have the segments of this host for itself")]
    Lock(#[source] LockError),
    #[error("the bridge {0} is not as it was just made: {1}")]
    NotApplied(String, String),
}

impl SegmentError {
    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Foreign(_))
    }
}

/// What a component needs a segment for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Router,
    Hypervisor,
}

impl Role {
    const ALL: [Self; 2] = [Self::Router, Self::Hypervisor];

    fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Hypervisor => "hypervisor",
        }
    }
}

/// Who holds segments on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    pub role: Role,
    pub mark: Mark,
}

/// A segment that is held, as its bridge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub network: NetworkId,
    /// The placement that it is held for.
    pub placement: PlacementId,
}

impl Holder {
    /// `rzh-router-89abcdef-<network>-<placement>`, ids in 32 digits: less than the 127 bytes that an
    /// alternative name may have (`ALTIFNAMSIZ`, linux/if.h).
    fn altname(&self, held: Held) -> String {
        let (network, placement) = (held.network.0.simple(), held.placement.0.simple());
        format!("{}{network}-{placement}", self.prefix())
    }

    fn prefix(&self) -> String {
        format!("{PREFIX}{}-{}-", self.role.as_str(), self.mark)
    }

    /// The name of a bridge of this holder's that is not ready.
    fn unfinished(&self) -> String {
        let role = match self.role {
            Role::Router => 'r',
            Role::Hypervisor => 'h',
        };
        format!("rzt{role}{}", self.mark)
    }

    fn held(&self, link: &Link) -> Option<Held> {
        link.altnames
            .iter()
            .find_map(|name| parse(name.strip_prefix(&self.prefix())?))
    }
}

/// Whether a bridge is held by anybody else.
pub(crate) fn is_held_by_others(bridge: &Link, holder: Holder) -> bool {
    let mut holders = bridge.altnames.iter();
    holders.any(|name| name.starts_with(PREFIX) && !name.starts_with(&holder.prefix()))
}

fn parse(text: &str) -> Option<Held> {
    let (network, placement) = text.split_once('-')?;
    Some(Held {
        network: NetworkId(Uuid::try_parse(network).ok()?),
        placement: PlacementId(Uuid::try_parse(placement).ok()?),
    })
}

fn is_ours(link: &Link) -> bool {
    link.kind.as_deref() == Some("bridge")
        && Role::ALL.iter().any(|role| {
            link.altnames
                .iter()
                .any(|name| name.starts_with(&format!("{PREFIX}{}-", role.as_str())))
        })
}

/// Not per-link forwarding: the host-wide switch overwrites it, and the shield leaves nothing to forward.
fn parameters(bridge: &str) -> [(String, &'static str); 4] {
    [
        (format!("net/ipv6/conf/{bridge}/disable_ipv6"), "1"),
        (format!("net/ipv6/conf/{bridge}/addr_gen_mode"), "1"),
        (format!("net/ipv6/conf/{bridge}/accept_ra"), "0"),
        // Answers no ARP request at all.
        (format!("net/ipv4/conf/{bridge}/arp_ignore"), "8"),
    ]
}

/// Drops what reaches the bridge itself, counted as `to_host`. The table outlives the bridge, without effect on another one
/// of its name: the empty chain says which bridge it was made for.
fn shield(bridge: &Link) -> Ruleset {
    let ingress = json!({ "type": "filter", "hook": "ingress", "dev": bridge.name, "prio": 0, "policy": "drop" });
    Ruleset::new("netdev", &bridge.name)
        .chain(&format!("link{}", bridge.index))
        .base_chain("host", ingress)
        .rule("host", [counted("to_host"), discard()])
}

/// Makes the bridge of a network's segment where there is none, and holds it. Returns its name.
///
/// # Errors
/// [`SegmentError::Foreign`] where something else has the name.
pub async fn ensure(
    network: NetworkId,
    placement: PlacementId,
    mtu: u16,
    holder: Holder,
) -> Result<String, SegmentError> {
    let _lock = lock::take(LOCK).await.map_err(SegmentError::Lock)?;
    let links = Links::open().map_err(SegmentError::Link)?;
    let bridge = bridge_name(network);
    let held = Held { network, placement };
    ensure_bridge(&links, &bridge, holder, held).await?;
    let link = links.find(&bridge).await.map_err(SegmentError::Link)?;
    let Some(link) = link else {
        return Err(SegmentError::NotApplied(bridge, "it is missing".to_owned()));
    };
    ensure_held(&links, &link, holder, held)
        .await
        .map_err(SegmentError::Link)?;
    for (name, value) in parameters(&bridge) {
        sysctl::ensure_where_present(&name, value).map_err(SegmentError::Sysctl)?;
    }
    shield(&link).ensure().await.map_err(SegmentError::Rules)?;
    if link.mtu != u32::from(mtu) || !link.up {
        let change = Change {
            mtu: Some(mtu.into()),
            up: Some(true),
            ..Change::default()
        };
        links
            .change(link.index, change)
            .await
            .map_err(SegmentError::Link)?;
    }
    if let Some(link) = links.find(&bridge).await.map_err(SegmentError::Link)? {
        tunnel::plug_again(&links, network, &link)
            .await
            .map_err(SegmentError::Link)?;
        vlan::plug_again(&links, network, &link)
            .await
            .map_err(SegmentError::Link)?;
        card::plug_again(&links, network, &link)
            .await
            .map_err(SegmentError::Link)?;
    }
    match difference(&links, network, mtu, holder).await? {
        None => Ok(bridge),
        Some(why) => Err(SegmentError::NotApplied(bridge, why)),
    }
}

/// Made under another name, marked, and only then given its own: at no time is there a bridge of that
/// name without a holder.
async fn ensure_bridge(
    links: &Links,
    bridge: &str,
    holder: Holder,
    held: Held,
) -> Result<(), SegmentError> {
    match links.find(bridge).await.map_err(SegmentError::Link)? {
        Some(link) if is_ours(&link) => return Ok(()),
        Some(_) => return Err(SegmentError::Foreign(bridge.to_owned())),
        None => {}
    }
    let unfinished = holder.unfinished();
    links
        .delete_named(&unfinished)
        .await
        .map_err(SegmentError::Link)?;
    links
        .add_bridge(&unfinished)
        .await
        .map_err(SegmentError::Link)?;
    let Some(link) = links.find(&unfinished).await.map_err(SegmentError::Link)? else {
        return Err(SegmentError::NotApplied(
            unfinished,
            "it is missing".to_owned(),
        ));
    };
    let altname = holder.altname(held);
    links
        .add_altname(link.index, &altname)
        .await
        .map_err(SegmentError::Link)?;
    for (name, value) in parameters(&unfinished) {
        sysctl::ensure_where_present(&name, value).map_err(SegmentError::Sysctl)?;
    }
    let rename = Change {
        name: Some(bridge),
        ..Change::default()
    };
    links
        .change(link.index, rename)
        .await
        .map_err(SegmentError::Link)
}

async fn ensure_held(
    links: &Links,
    link: &Link,
    holder: Holder,
    held: Held,
) -> Result<(), LinkError> {
    let want = holder.altname(held);
    links.add_altname(link.index, &want).await?;
    let old = link
        .altnames
        .iter()
        .filter(|name| name.starts_with(&holder.prefix()) && **name != want);
    for name in old {
        links.delete_altname(link.index, name).await?;
    }
    Ok(())
}

/// What of a segment is not as it should be for a holder; none where nothing is.
pub async fn check(
    network: NetworkId,
    mtu: u16,
    holder: Holder,
) -> Result<Option<String>, SegmentError> {
    let links = Links::open().map_err(SegmentError::Link)?;
    difference(&links, network, mtu, holder).await
}

async fn difference(
    links: &Links,
    network: NetworkId,
    mtu: u16,
    holder: Holder,
) -> Result<Option<String>, SegmentError> {
    let bridge = bridge_name(network);
    let Some(link) = links.find(&bridge).await.map_err(SegmentError::Link)? else {
        return Ok(Some("it is missing".to_owned()));
    };
    if holder
        .held(&link)
        .is_none_or(|held| held.network != network)
    {
        return Ok(Some("it is not held".to_owned()));
    }
    if !link.up {
        return Ok(Some("it is down".to_owned()));
    }
    if link.mtu != u32::from(mtu) {
        return Ok(Some(format!("its MTU is {}", link.mtu)));
    }
    for (name, value) in parameters(&bridge) {
        let have = sysctl::read(&name).map_err(SegmentError::Sysctl)?;
        if have.is_some_and(|have| have != value) {
            return Ok(Some(format!("{name} is not {value}")));
        }
    }
    let addresses = links
        .addresses(link.index)
        .await
        .map_err(SegmentError::Link)?;
    if let Some(address) = addresses.first() {
        return Ok(Some(format!("the host has the address {address} on it")));
    }
    let shield = shield(&link);
    let listing = nft::list(shield.family(), shield.table())
        .await
        .map_err(SegmentError::Rules)?;
    Ok(shield
        .differs(listing.as_ref())
        .map(|why| format!("of the rules that keep the host off it, {why}")))
}

/// The segments that a holder holds.
pub async fn list(holder: Holder) -> Result<Vec<Held>, SegmentError> {
    let links = Links::open().map_err(SegmentError::Link)?;
    let links = links.list().await.map_err(SegmentError::Link)?;
    Ok(links.iter().filter_map(|link| holder.held(link)).collect())
}

/// Lets go of a network's segment; the last holder takes the bridge away. Fine where there is none.
pub async fn remove(network: NetworkId, holder: Holder) -> Result<(), SegmentError> {
    let _lock = lock::take(LOCK).await.map_err(SegmentError::Lock)?;
    let links = Links::open().map_err(SegmentError::Link)?;
    links
        .delete_named(&holder.unfinished())
        .await
        .map_err(SegmentError::Link)?;
    let bridge = bridge_name(network);
    match links.find(&bridge).await.map_err(SegmentError::Link)? {
        Some(link) => let_go(&links, &link, holder).await,
        // Whoever took the bridge away may have left the VLAN.
        None => vlan::remove(&links, network)
            .await
            .map_err(SegmentError::Link),
    }
}

/// Lets go of all that a holder holds, ready or not.
pub async fn remove_all(holder: Holder) -> Result<(), SegmentError> {
    let _lock = lock::take(LOCK).await.map_err(SegmentError::Lock)?;
    let links = Links::open().map_err(SegmentError::Link)?;
    links
        .delete_named(&holder.unfinished())
        .await
        .map_err(SegmentError::Link)?;
    for link in links.list().await.map_err(SegmentError::Link)? {
        let_go(&links, &link, holder).await?;
    }
    Ok(())
}

async fn let_go(links: &Links, link: &Link, holder: Holder) -> Result<(), SegmentError> {
    let (own, others): (Vec<&String>, Vec<&String>) = link
        .altnames
        .iter()
        .filter(|name| name.starts_with(PREFIX))
        .partition(|name| name.starts_with(&holder.prefix()));
    if own.is_empty() {
        return Ok(());
    }
    if others.is_empty() {
        if let Some(held) = holder.held(link) {
            vlan::remove(links, held.network)
                .await
                .map_err(SegmentError::Link)?;
        }
        // The rules go while the bridge still says whose it is, and cannot carry anything any more.
        let down = Change {
            up: Some(false),
            ..Change::default()
        };
        links
            .change(link.index, down)
            .await
            .map_err(SegmentError::Link)?;
        nft::delete("netdev", &link.name)
            .await
            .map_err(SegmentError::Rules)?;
        links.delete(link.index).await.map_err(SegmentError::Link)?;
        return Ok(());
    }
    for name in own {
        links
            .delete_altname(link.index, name)
            .await
            .map_err(SegmentError::Link)?;
    }
    Ok(())
}
