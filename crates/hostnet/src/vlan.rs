//! A network's VLAN on the host's trunk (802.1Q), as a port of the segment's bridge.
//!
//! Hosts of a VLAN hear of each other as on any switch: what may come out of an instance, the port rules say where its tap
//! is. The device is shared by all that hold the segment, and goes with its bridge ([`crate::segment`]):
//!
//! ```text
//!   trunk ── eth1.100 ── bridge of the segment ── taps, router
//! ```
//!
//! It says whose it is in its alias, and gets its name only then. A device for the same VLAN that says something else is
//! somebody's, and left alone.

use rhyzome_model::NetworkId;
use rhyzome_model::component::Trunk;
use rhyzome_model::network::bridge_name;
use rhyzome_model::segment::VlanId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::link::{Change, NAME_MAX};
use crate::lock::{self, LockError};
use crate::segment::{self, Holder};
use crate::sysctl::{self, SysctlError};
use crate::{Link, LinkError, Links};

/// What the alias of ours begins with; behind it is the network.
const ALIAS: &str = "rhyzome segment ";

/// The name of one that is not ready. One that is found was left by a kill: only one is made at a time.
const UNFINISHED: &str = "rztvlan";

#[derive(Debug, thiserror::Error)]
pub enum VlanError {
    #[error("this kernel has no 802.1Q (the module 8021q): VLANs cannot be here")]
    Unsupported,
    #[error("there is no device {0}, which is the trunk by this component's configuration")]
    NoTrunk(String),
    #[error("the trunk {0} is down: take it into use, `ip link set {0} up`")]
    Down(String),
    #[error("the MTU of the trunk {trunk} is {mtu}, and the network's is {wanted}: raise it there")]
    Narrow {
        trunk: String,
        mtu: u32,
        wanted: u16,
    },
    #[error("the segment's bridge {0} is not there")]
    NoSegment(String),
    #[error(
        "VLAN {vlan} of {trunk} is there already as {name}, which is not Rhyzome's: it is left alone; remove it, or \
         keep that VLAN out of site.vlans of the core"
    )]
    Foreign {
        vlan: u16,
        trunk: String,
        name: String,
    },
    #[error("there is a link {0} that is not Rhyzome's: it is left alone; rename or remove it")]
    Name(String),
    #[error("another component of this host has the VLAN on {0}: set the same trunk")]
    Elsewhere(String),
    #[error("cannot change the VLAN")]
    Link(#[source] LinkError),
    #[error("cannot set up the VLAN's link")]
    Sysctl(#[source] SysctlError),
    #[error("cannot have the segments of this host for itself")]
    Lock(#[source] LockError),
    #[error("the VLAN {0} is not as it was just made: {1}")]
    NotApplied(String, String),
}

impl VlanError {
    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Unsupported | Self::Foreign { .. } | Self::Name(_)
        )
    }
}

/// The VLAN of a trunk by its device's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan<'a> {
    pub trunk: &'a str,
    pub id: VlanId,
}

impl Vlan<'_> {
    /// As `eth1.100`; where that is too long, `rz`, six digits that follow from the trunk's name, and the VLAN.
    pub fn name(&self) -> String {
        let id = self.id.get();
        let plain = format!("{}.{id}", self.trunk);
        if plain.len() <= NAME_MAX {
            return plain;
        }
        let digest = Sha256::digest(self.trunk.as_bytes());
        format!("rz{}.{id}", hex::encode(&digest[..3]))
    }
}

fn alias(network: NetworkId) -> String {
    format!("{ALIAS}{}", network.0)
}

/// The network that a device is the VLAN of, where it is ours.
fn network_of(link: &Link) -> Option<NetworkId> {
    link.vlan?;
    let id = link.alias.as_deref()?.strip_prefix(ALIAS)?;
    Uuid::try_parse(id).ok().map(NetworkId)
}

/// The trunk as it is now.
///
/// # Errors
/// Where no VLAN can be on it.
pub async fn trunk(device: &str) -> Result<Trunk, VlanError> {
    let links = Links::open().map_err(VlanError::Link)?;
    if !links.can_vlans().await.map_err(VlanError::Link)? {
        return Err(VlanError::Unsupported);
    }
    let link = find_trunk(&links, device).await?;
    Ok(Trunk {
        device: device.to_owned(),
        mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
    })
}

async fn find_trunk(links: &Links, device: &str) -> Result<Link, VlanError> {
    let found = links.find(device).await.map_err(VlanError::Link)?;
    let link = found.ok_or_else(|| VlanError::NoTrunk(device.to_owned()))?;
    if !link.up {
        return Err(VlanError::Down(device.to_owned()));
    }
    Ok(link)
}

/// Makes a network's segment, which is held, a VLAN of the trunk. Verified.
///
/// # Errors
/// [`VlanError::NoSegment`] where its bridge is not there yet; [`VlanError::Foreign`] where somebody has that VLAN.
pub async fn ensure(
    network: NetworkId,
    vlan: Vlan<'_>,
    mtu: u16,
    holder: Holder,
) -> Result<(), VlanError> {
    let _lock = take_lock().await?;
    let links = Links::open().map_err(VlanError::Link)?;
    let trunk = find_trunk(&links, vlan.trunk).await?;
    if trunk.mtu < u32::from(mtu) {
        return Err(VlanError::Narrow {
            trunk: trunk.name,
            mtu: trunk.mtu,
            wanted: mtu,
        });
    }
    let bridge = bridge_name(network);
    let found = links.find(&bridge).await.map_err(VlanError::Link)?;
    let bridge = found.ok_or(VlanError::NoSegment(bridge))?;
    sweep(&links).await.map_err(VlanError::Link)?;
    let link = ensure_device(&links, network, vlan, (&trunk, &bridge), holder).await?;
    plug(&links, &link, &bridge)
        .await
        .map_err(VlanError::Link)?;
    match difference(&links, network, vlan, mtu).await? {
        None => Ok(()),
        Some(why) => Err(VlanError::NotApplied(vlan.name(), why)),
    }
}

pub(crate) async fn take_lock() -> Result<lock::Lock, VlanError> {
    lock::take(segment::LOCK).await.map_err(VlanError::Lock)
}

async fn ensure_device(
    links: &Links,
    network: NetworkId,
    vlan: Vlan<'_>,
    (trunk, bridge): (&Link, &Link),
    holder: Holder,
) -> Result<Link, VlanError> {
    let name = vlan.name();
    let all = links.list().await.map_err(VlanError::Link)?;
    let there = |link: &&Link| link.vlan == Some(vlan.id.get()) && link.parent == Some(trunk.index);
    let own = all.iter().find(|link| network_of(link) == Some(network));
    if let Some(other) = all.iter().find(there)
        && network_of(other) != Some(network)
    {
        return Err(VlanError::Foreign {
            vlan: vlan.id.get(),
            trunk: trunk.name.clone(),
            name: other.name.clone(),
        });
    }
    if let Some(own) = own {
        if there(&own) {
            return Ok(own.clone());
        }
        if segment::is_held_by_others(bridge, holder) {
            let parent = all.iter().find(|link| Some(link.index) == own.parent);
            let where_to = parent.map_or_else(|| own.name.clone(), |link| link.name.clone());
            return Err(VlanError::Elsewhere(where_to));
        }
        links.delete(own.index).await.map_err(VlanError::Link)?;
    }
    if all.iter().any(|link| link.name == name) {
        return Err(VlanError::Name(name));
    }
    make(links, network, vlan, trunk).await
}

/// Made under another name, marked, and only then given its own: there is none of that name that does not say whose it is.
async fn make(
    links: &Links,
    network: NetworkId,
    vlan: Vlan<'_>,
    trunk: &Link,
) -> Result<Link, VlanError> {
    let name = vlan.name();
    let made = links.add_vlan(UNFINISHED, trunk.index, vlan.id.get()).await;
    made.map_err(|error| match error {
        error if error.is_unsupported() => VlanError::Unsupported,
        error => VlanError::Link(error),
    })?;
    let find = |name: String| async move {
        let found = links.find(&name).await.map_err(VlanError::Link)?;
        found.ok_or_else(|| VlanError::NotApplied(name, "it is missing".to_owned()))
    };
    let link = find(UNFINISHED.to_owned()).await?;
    let alias = alias(network);
    for change in [
        Change {
            alias: Some(&alias),
            ..Change::default()
        },
        Change {
            name: Some(&name),
            ..Change::default()
        },
    ] {
        links
            .change(link.index, change)
            .await
            .map_err(VlanError::Link)?;
    }
    // Without IPv6 of its own, a link says nothing by itself.
    sysctl::ensure_where_present(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")
        .map_err(VlanError::Sysctl)?;
    find(name).await
}

/// Makes the device a port of its bridge, where there is one: after the bridge was made anew, too.
pub(crate) async fn plug_again(
    links: &Links,
    network: NetworkId,
    bridge: &Link,
) -> Result<(), LinkError> {
    match own(links, network).await? {
        Some(link) => plug(links, &link, bridge).await,
        None => Ok(()),
    }
}

async fn own(links: &Links, network: NetworkId) -> Result<Option<Link>, LinkError> {
    let all = links.list().await?;
    Ok(all
        .into_iter()
        .find(|link| network_of(link) == Some(network)))
}

async fn plug(links: &Links, link: &Link, bridge: &Link) -> Result<(), LinkError> {
    if link.controller == Some(bridge.index) && link.mtu == bridge.mtu && link.up {
        return Ok(());
    }
    let change = Change {
        mtu: Some(bridge.mtu),
        controller: Some(bridge.index),
        ..Change::default()
    };
    links.change(link.index, change).await?;
    let up = Change {
        up: Some(true),
        ..Change::default()
    };
    links.change(link.index, up).await
}

/// What of a network's VLAN is not as it should be; none where nothing is.
pub async fn check(
    network: NetworkId,
    vlan: Vlan<'_>,
    mtu: u16,
) -> Result<Option<String>, VlanError> {
    let links = Links::open().map_err(VlanError::Link)?;
    difference(&links, network, vlan, mtu).await
}

async fn difference(
    links: &Links,
    network: NetworkId,
    vlan: Vlan<'_>,
    mtu: u16,
) -> Result<Option<String>, VlanError> {
    let name = vlan.name();
    let all = links.list().await.map_err(VlanError::Link)?;
    let Some(link) = all.iter().find(|link| network_of(link) == Some(network)) else {
        return Ok(Some(format!("its VLAN {name} is missing")));
    };
    let find = |name: &str| all.iter().find(|link| link.name == name);
    let trunk = find(vlan.trunk).map(|trunk| trunk.index);
    if link.vlan != Some(vlan.id.get()) || link.parent != trunk || trunk.is_none() {
        return Ok(Some(format!("{} is not {name}", link.name)));
    }
    let bridge = find(&bridge_name(network)).map(|bridge| bridge.index);
    if bridge.is_none() || link.controller != bridge {
        return Ok(Some(format!("{} is no port of the bridge", link.name)));
    }
    if !link.up {
        return Ok(Some(format!("{} is down", link.name)));
    }
    Ok((link.mtu != u32::from(mtu)).then(|| format!("the MTU of {} is {}", link.name, link.mtu)))
}

/// Takes a network's VLAN away. Fine where there is none. The caller has the segments for itself.
pub(crate) async fn remove(links: &Links, network: NetworkId) -> Result<(), LinkError> {
    if let Some(link) = own(links, network).await? {
        links.delete(link.index).await?;
    }
    sweep(links).await
}

/// Takes away what a kill left, or who removed a bridge by hand. The caller has the segments for itself.
async fn sweep(links: &Links) -> Result<(), LinkError> {
    let all = links.list().await?;
    let there = |name: &str| all.iter().any(|link| link.name == name);
    for link in &all {
        let unfinished = link.name == UNFINISHED && link.vlan.is_some();
        let alone = network_of(link).is_some_and(|network| !there(&bridge_name(network)));
        if unfinished || alone {
            links.delete(link.index).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(trunk: &str, id: u16) -> String {
        let id = id.try_into().unwrap();
        Vlan { trunk, id }.name()
    }

    #[test]
    fn a_vlan_is_called_after_its_trunk_as_far_as_that_fits() {
        assert_eq!(named("eth1", 100), "eth1.100");
        assert_eq!(named("enp65s0f0n", 4094), "enp65s0f0n.4094");
        let long = named("enp65s0f0np0", 4094);
        assert!(long.len() <= NAME_MAX && long.ends_with(".4094"), "{long}");
        assert_ne!(long, named("enp65s0f0np1", 4094));
        assert_ne!(long, named("enp65s0f0np0", 409));
    }

    #[test]
    fn a_device_is_ours_by_what_it_says_and_by_being_a_vlan() {
        let network = NetworkId(Uuid::max());
        let link = Link {
            index: 7,
            name: "eth1.100".to_owned(),
            up: true,
            mtu: 1500,
            controller: None,
            parent: Some(2),
            alias: Some(alias(network)),
            altnames: Vec::new(),
            kind: Some("vlan".to_owned()),
            vxlan: None,
            vlan: Some(100),
            port_flags: None,
            mac: None,
        };
        assert_eq!(network_of(&link), Some(network));
        let other = |change: fn(&mut Link)| {
            let mut link = link.clone();
            change(&mut link);
            network_of(&link)
        };
        assert_eq!(other(|link| link.vlan = None), None);
        assert_eq!(other(|link| link.alias = None), None);
        assert_eq!(
            other(|link| link.alias = Some("the printer's".to_owned())),
            None
        );
    }
}
