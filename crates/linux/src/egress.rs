//! The way out of a network: a pair of links from its namespace to the host, and twice a translation of
//! addresses, so that no two networks can be in each other's way whatever their prefixes are.
//!
//! The host's end says which addresses of the pool are taken; there is no other record. Forwarding on
//! the host is on while any network of any component here has egress; where it was off before, the
//! host's rules drop what others would have forwarded by it ([`forwarding::before`]).

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use rhyzome_hostnet::link::{Change, Link, Route};
use rhyzome_hostnet::lock::{self, Lock};
use rhyzome_hostnet::nft::Ruleset;
use rhyzome_hostnet::{Links, Mark, forwarding, nft, sysctl};
use rhyzome_model::NetworkId;
use serde_json::json;

use crate::error::Error;
use crate::layout::{Layout, UPLINK};
use crate::router;
use crate::rules::{self, UPLINKS};
use crate::settings::Settings;

/// What the world outside takes.
const MTU: u16 = 1500;

/// Four addresses of the pool: the host has the first usable one, the network's router the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(Ipv4Net);

impl Slot {
    const LENGTH: u8 = 30;

    fn host(self) -> IpNet {
        self.address(1)
    }

    fn router(self) -> IpNet {
        self.address(2)
    }

    fn address(self, number: u32) -> IpNet {
        let address = Ipv4Addr::from(u32::from(self.0.network()) + number);
        IpNet::new(address.into(), Self::LENGTH).expect("30 bits are a prefix length")
    }
}

/// The slot of a network: follows from its id; where another has it, the next free one.
fn choose(network: NetworkId, pool: Ipv4Net, taken: &[IpNet]) -> Option<Slot> {
    let count = 1_u32.checked_shl(u32::from(Slot::LENGTH.checked_sub(pool.prefix_len())?))?;
    let (_, _, _, last) = network.0.as_fields();
    let first = u32::from_be_bytes([last[4], last[5], last[6], last[7]]) % count;
    (0..count)
        .map(|step| (first + step) % count)
        .map(|number| slot(pool, number))
        .find(|slot| {
            let net = IpNet::V4(slot.0);
            !taken
                .iter()
                .any(|other| net.contains(&other.addr()) || other.contains(&net))
        })
}

fn slot(pool: Ipv4Net, number: u32) -> Slot {
    let address = Ipv4Addr::from(u32::from(pool.network()) + number * 4);
    Slot(Ipv4Net::new(address, Slot::LENGTH).expect("30 bits are a prefix length"))
}

async fn lock() -> Result<Lock, Error> {
    lock::take("egress").await.map_err(Error::Lock)
}

fn is_uplink(link: &Link, mark: Mark) -> bool {
    let prefix = format!("rhyzome {mark} ");
    link.name.starts_with("rzu")
        && link
            .alias
            .as_deref()
            .is_some_and(|alias| alias.starts_with(&prefix))
}

/// Opens the way out.
pub(crate) async fn ensure(layout: &Layout, settings: &Settings) -> Result<(), Error> {
    let _lock = lock().await?;
    let uplink = layout.uplink();
    router::ensure_pair(layout, UPLINK, &uplink, MTU).await?;
    let links = Links::open().map_err(Error::Link)?;
    let Some(link) = links.find(&uplink).await.map_err(Error::Link)? else {
        return Err(Error::NotApplied(format!("the link {uplink} is missing")));
    };
    // Closed before it is up, and before the host forwards: the host and its neighbours are behind it.
    ensure_rules(layout.mark, &uplink).await?;
    let disable = format!("net/ipv6/conf/{uplink}/disable_ipv6");
    sysctl::ensure_where_present(&disable, "1").map_err(Error::Sysctl)?;
    let slot = match own_slot(&links, &link, settings.egress_pool).await? {
        Some(slot) => slot,
        None => free_slot(&links, layout.network, settings.egress_pool).await?,
    };
    links
        .ensure_addresses(link.index, &[slot.host()])
        .await
        .map_err(Error::Link)?;
    if !link.up {
        links
            .change(
                link.index,
                Change {
                    up: Some(true),
                    ..Change::default()
                },
            )
            .await
            .map_err(Error::Link)?;
    }
    let work = move || async move { ensure_inside(slot).await };
    layout
        .namespace
        .run(work)
        .await
        .map_err(Error::Namespace)??;
    forwarding::hold(layout.mark)
        .await
        .map_err(Error::Forwarding)
}

async fn own_slot(links: &Links, link: &Link, pool: Ipv4Net) -> Result<Option<Slot>, Error> {
    let addresses = links.addresses(link.index).await.map_err(Error::Link)?;
    Ok(addresses.into_iter().find_map(|address| match address {
        IpNet::V4(net) if pool.contains(&net.addr()) && net.prefix_len() == Slot::LENGTH => {
            Some(Slot(net.trunc()))
        }
        _ => None,
    }))
}

/// Not what any link or route of the host is about.
async fn free_slot(links: &Links, network: NetworkId, pool: Ipv4Net) -> Result<Slot, Error> {
    let addresses = links.all_addresses().await.map_err(Error::Link)?;
    let routes = links.routes().await.map_err(Error::Link)?;
    let taken: Vec<IpNet> = addresses
        .into_iter()
        .map(|(_, address)| address)
        .chain(
            routes
                .into_iter()
                .map(|route| route.to)
                .filter(|to| to.prefix_len() > 0),
        )
        .collect();
    choose(network, pool, &taken).ok_or(Error::PoolFull(pool))
}

async fn ensure_inside(slot: Slot) -> Result<(), Error> {
    let make = async || {
        let links = Links::open()?;
        let Some(link) = links.find(UPLINK).await? else {
            return Ok(());
        };
        links.ensure_addresses(link.index, &[slot.router()]).await?;
        links.add_route(default_route(slot, &link)).await.map(drop)
    };
    make().await.map_err(Error::Link)
}

fn default_route(slot: Slot, link: &Link) -> Route {
    let everywhere = IpNet::new(IpAddr::from([0; 4]), 0).expect("0 bits are a prefix length");
    Route {
        to: everywhere,
        via: Some(slot.host().addr()),
        link: link.index,
    }
}

/// What the host's rules are to be.
async fn host_rules(mark: Mark) -> Result<Ruleset, Error> {
    let before = forwarding::before().await.map_err(Error::Forwarding)?;
    Ok(rules::host(mark, before))
}

async fn ensure_rules(mark: Mark, uplink: &str) -> Result<(), Error> {
    let ruleset = host_rules(mark).await?;
    let listing = nft::list(ruleset.family(), ruleset.table())
        .await
        .map_err(Error::Rules)?;
    let whole = ruleset.differs(listing.as_ref()).is_none();
    let mut links: Vec<serde_json::Value> = listing
        .map(|listing| listing.elements("set", UPLINKS))
        .unwrap_or_default();
    if whole && links.contains(&json!(uplink)) {
        return Ok(());
    }
    let mut commands = Vec::new();
    if !whole {
        // Those that were in it stay in it.
        commands = ruleset.commands();
    }
    links.retain(|name| *name != uplink);
    links.push(json!(uplink));
    commands.push(ruleset.add_elements(UPLINKS, links));
    nft::apply(commands).await.map_err(Error::Rules)?;
    match check_rules(mark, uplink).await? {
        None => Ok(()),
        Some(why) => Err(Error::NotApplied(why)),
    }
}

async fn check_rules(mark: Mark, uplink: &str) -> Result<Option<String>, Error> {
    let ruleset = host_rules(mark).await?;
    let listing = nft::list(ruleset.family(), ruleset.table())
        .await
        .map_err(Error::Rules)?;
    if let Some(why) = ruleset.differs(listing.as_ref()) {
        return Ok(Some(format!("the host's firewall for egress: {why}")));
    }
    let known =
        listing.is_some_and(|listing| listing.elements("set", UPLINKS).contains(&json!(uplink)));
    Ok((!known).then(|| "the host's firewall for egress does not know the network".to_owned()))
}

/// What of the way out is not as asked; none where nothing is.
pub(crate) async fn check(
    layout: &Layout,
    open: bool,
    pool: Ipv4Net,
) -> Result<Option<String>, Error> {
    let links = Links::open().map_err(Error::Link)?;
    let link = links.find(&layout.uplink()).await.map_err(Error::Link)?;
    if !open {
        return Ok(link.map(|link| format!("there is a way out, {}", link.name)));
    }
    let Some(link) = link.filter(|link| link.up && link.alias.as_deref() == Some(&*layout.alias()))
    else {
        return Ok(Some("the way out is missing".to_owned()));
    };
    let Some(slot) = own_slot(&links, &link, pool).await? else {
        return Ok(Some("the way out has no address on the host".to_owned()));
    };
    if let Some(why) = check_rules(layout.mark, &link.name).await? {
        return Ok(Some(why));
    }
    if !forwarding::is_held(layout.mark)
        .await
        .map_err(Error::Forwarding)?
    {
        return Ok(Some("forwarding is off on the host".to_owned()));
    }
    let work = move || async move {
        let look = async || {
            let links = Links::open()?;
            let Some(link) = links.find(UPLINK).await?.filter(|link| link.up) else {
                return Ok(false);
            };
            Ok(links.addresses(link.index).await?.contains(&slot.router())
                && links.routes().await?.contains(&default_route(slot, &link)))
        };
        look().await.map_err(Error::Link)
    };
    let inside = layout
        .namespace
        .run(work)
        .await
        .map_err(Error::Namespace)??;
    Ok((!inside).then(|| "the router does not know the way out".to_owned()))
}

/// Closes the way out; what the host has for it goes with the last one.
pub(crate) async fn remove(layout: &Layout) -> Result<(), Error> {
    let _lock = lock().await?;
    router::drop_link(layout, &layout.uplink()).await?;
    settle(layout.mark).await
}

/// Brings what the host has for ways out to those that are there.
pub(crate) async fn settle(mark: Mark) -> Result<(), Error> {
    let links = Links::open().map_err(Error::Link)?;
    let there: Vec<Link> = links.list().await.map_err(Error::Link)?;
    let there: Vec<&str> = there
        .iter()
        .filter(|link| is_uplink(link, mark))
        .map(|link| &*link.name)
        .collect();
    let ruleset = rules::host_table(mark);
    if there.is_empty() {
        forwarding::release(mark).await.map_err(Error::Forwarding)?;
        nft::delete(ruleset.family(), ruleset.table())
            .await
            .map_err(Error::Rules)?;
        return Ok(());
    }
    let listing = nft::list(ruleset.family(), ruleset.table())
        .await
        .map_err(Error::Rules)?;
    let known = listing
        .map(|listing| listing.elements("set", UPLINKS))
        .unwrap_or_default();
    let gone: Vec<_> = known
        .into_iter()
        .filter(|name| !there.iter().any(|link| *name == *link))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    nft::apply(vec![ruleset.delete_elements(UPLINKS, gone)])
        .await
        .map_err(Error::Rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_slot_follows_from_the_network_and_avoids_what_is_taken() {
        let pool = "100.64.0.0/28".parse().unwrap();
        let network = NetworkId(Uuid::from_u128(2));
        let first = choose(network, pool, &[]).unwrap();
        assert_eq!(first, Slot("100.64.0.8/30".parse().unwrap()));
        assert_eq!(
            (first.host().to_string(), first.router().to_string()),
            ("100.64.0.9/30".into(), "100.64.0.10/30".into())
        );
        let taken = [
            "100.64.0.10/32".parse().unwrap(),
            "100.64.0.13/30".parse().unwrap(),
        ];
        assert_eq!(
            choose(network, pool, &taken).unwrap(),
            Slot("100.64.0.0/30".parse().unwrap())
        );
        assert_eq!(
            choose(network, pool, &["100.64.0.0/10".parse().unwrap()]),
            None
        );
    }
}
