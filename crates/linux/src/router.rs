//! The router of a network itself: its namespace, its link to the segment, its addresses, its firewall.

use ipnet::IpNet;
use rhyzome_hostnet::link::{Change, Link};
use rhyzome_hostnet::pair::{Pair, PairError};
use rhyzome_hostnet::{Links, segment, sysctl};
use rhyzome_model::network::NetworkPlacement;

use crate::error::Error;
use crate::layout::{About, Layout, SEGMENT_LINK, TUNNEL};
use crate::rules;

/// Kernel parameters inside the namespace. Forwarding is on for it alone; addresses are there at once,
/// as nobody else may have them; bridges of the host do not pass its filters.
const PARAMETERS: [(&str, &str); 7] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
];

fn set_parameters() -> Result<(), Error> {
    for (name, value) in PARAMETERS {
        sysctl::ensure_where_present(name, value).map_err(Error::Sysctl)?;
    }
    Ok(())
}

/// The namespace, which says of itself whose it is.
pub(crate) async fn ensure_namespace(layout: &Layout, about: About) -> Result<(), Error> {
    layout.namespace.ensure().await.map_err(Error::Namespace)?;
    let work = move || async move {
        set_parameters()?;
        let links = Links::open().map_err(Error::Link)?;
        let Some(lo) = links.find("lo").await.map_err(Error::Link)? else {
            return Ok(());
        };
        let said = lo.alias.as_deref().and_then(About::parse);
        if said.is_some_and(|said| said.placement == about.placement) && lo.up {
            return Ok(());
        }
        let text = about.text();
        let change = Change {
            up: Some(true),
            alias: Some(&text),
            ..Change::default()
        };
        links.change(lo.index, change).await.map_err(Error::Link)
    };
    layout.namespace.run(work).await.map_err(Error::Namespace)?
}

/// Says in the namespace what it was brought to.
pub(crate) async fn finish(layout: &Layout, about: About) -> Result<(), Error> {
    let work = move || async move {
        let links = Links::open().map_err(Error::Link)?;
        let Some(lo) = links.find("lo").await.map_err(Error::Link)? else {
            return Ok(());
        };
        let text = about.text();
        if lo.alias.as_deref() == Some(&*text) {
            return Ok(());
        }
        links
            .change(
                lo.index,
                Change {
                    alias: Some(&text),
                    ..Change::default()
                },
            )
            .await
            .map_err(Error::Link)
    };
    layout.namespace.run(work).await.map_err(Error::Namespace)?
}

/// What the namespace says of itself; none where there is no namespace, or it is not ready.
pub(crate) async fn about(layout: &Layout) -> Result<Option<About>, Error> {
    if !layout.namespace.exists() {
        return Ok(None);
    }
    let work = || async {
        let links = Links::open().map_err(Error::Link)?;
        let lo = links.find("lo").await.map_err(Error::Link)?;
        Ok(lo.and_then(|lo| About::parse(lo.alias.as_deref()?)))
    };
    layout.namespace.run(work).await.map_err(Error::Namespace)?
}

pub(crate) async fn ensure_rules(layout: &Layout, spec: &NetworkPlacement) -> Result<(), Error> {
    let ruleset = rules::router(spec);
    let work = move || async move { ruleset.ensure().await.map_err(Error::Rules) };
    layout
        .namespace
        .run(work)
        .await
        .map_err(Error::Namespace)?
        .map(drop)
}

/// The pair of links between the namespace and the bridge.
pub(crate) async fn ensure_port(layout: &Layout, spec: &NetworkPlacement) -> Result<(), Error> {
    let port = layout.port();
    ensure_pair(layout, SEGMENT_LINK, &port, spec.mtu).await?;
    let links = Links::open().map_err(Error::Link)?;
    let bridge = links.find(&layout.bridge()).await.map_err(Error::Link)?;
    let (Some(bridge), Some(link)) = (bridge, links.find(&port).await.map_err(Error::Link)?) else {
        return Err(Error::NotApplied(format!("the link {port} is missing")));
    };
    let plugged = Change {
        controller: Some(bridge.index),
        up: Some(true),
        ..Change::default()
    };
    if link.controller != Some(bridge.index) || !link.up {
        links
            .change(link.index, plugged)
            .await
            .map_err(Error::Link)?;
    }
    Ok(())
}

/// A pair of links with one end inside, and the other one, marked, on the host.
pub(crate) async fn ensure_pair(
    layout: &Layout,
    inside: &'static str,
    outside: &str,
    mtu: u16,
) -> Result<(), Error> {
    let pair = Pair {
        namespace: layout.namespace.clone(),
        inside: inside.to_owned(),
        mac: layout.router_mac(),
        outside: outside.to_owned(),
        alias: layout.alias(),
        mtu: mtu.into(),
    };
    pair.ensure().await.map_err(|error| match error {
        PairError::Foreign(name) => Error::Foreign(name),
        PairError::Link(error) => Error::Link(error),
        PairError::Namespace(error) => Error::Namespace(error),
    })
}

fn is_pair(one: &Link, other: &Link) -> bool {
    one.parent == Some(other.index) && other.parent == Some(one.index)
}

pub(crate) async fn find_inside(
    layout: &Layout,
    name: &'static str,
) -> Result<Option<Link>, Error> {
    let work = move || async move {
        let links = Links::open().map_err(Error::Link)?;
        links.find(name).await.map_err(Error::Link)
    };
    layout.namespace.run(work).await.map_err(Error::Namespace)?
}

fn addresses(spec: &NetworkPlacement) -> [IpNet; 2] {
    let four = IpNet::new(spec.router_ipv4().into(), spec.ipv4.prefix_len());
    let six = IpNet::new(spec.router_ipv6().into(), spec.ipv6.prefix_len());
    [four, six].map(|net| net.expect("a network's prefix has a valid length"))
}

pub(crate) async fn ensure_addresses(
    layout: &Layout,
    spec: &NetworkPlacement,
) -> Result<(), Error> {
    let want = addresses(spec);
    let work = move || async move {
        let links = Links::open().map_err(Error::Link)?;
        let Some(link) = links.find(SEGMENT_LINK).await.map_err(Error::Link)? else {
            return Err(Error::NotApplied(format!(
                "the link {SEGMENT_LINK} is missing"
            )));
        };
        links
            .ensure_addresses(link.index, &want)
            .await
            .map(drop)
            .map_err(Error::Link)
    };
    layout.namespace.run(work).await.map_err(Error::Namespace)?
}

/// What of the router is not as asked; none where nothing is.
pub(crate) async fn check(
    layout: &Layout,
    spec: &NetworkPlacement,
) -> Result<Option<String>, Error> {
    if !layout.namespace.exists() {
        return Ok(Some("the router's namespace is missing".to_owned()));
    }
    if let Some(why) = segment::check(spec.network, spec.mtu, layout.holder())
        .await
        .map_err(Error::Segment)?
    {
        return Ok(Some(format!("the segment's bridge: {why}")));
    }
    let links = Links::open().map_err(Error::Link)?;
    let bridge = links.find(&layout.bridge()).await.map_err(Error::Link)?;
    let port = links.find(&layout.port()).await.map_err(Error::Link)?;
    let plugged = port.as_ref().zip(bridge).is_some_and(|(port, bridge)| {
        port.controller == Some(bridge.index)
            && is_up(port, spec)
            && port.alias.as_deref() == Some(&*layout.alias())
    });
    if !plugged {
        return Ok(Some(
            "the router is not plugged into the segment".to_owned(),
        ));
    }
    let inner = find_inside(layout, SEGMENT_LINK).await?;
    if !port
        .zip(inner)
        .is_some_and(|(outer, inner)| is_pair(&outer, &inner))
    {
        return Ok(Some(
            "the router's link to the segment leads elsewhere".to_owned(),
        ));
    }
    let spec = spec.clone();
    let work = move || async move { check_inside(&spec).await };
    layout.namespace.run(work).await.map_err(Error::Namespace)?
}

fn is_up(link: &Link, spec: &NetworkPlacement) -> bool {
    link.up && link.mtu == u32::from(spec.mtu)
}

async fn check_inside(spec: &NetworkPlacement) -> Result<Option<String>, Error> {
    for (name, value) in PARAMETERS {
        if sysctl::read(name)
            .map_err(Error::Sysctl)?
            .is_some_and(|have| have != value)
        {
            return Ok(Some(format!(
                "{name} is not {value} in the router's namespace"
            )));
        }
    }
    let links = Links::open().map_err(Error::Link)?;
    let link = links.find(SEGMENT_LINK).await.map_err(Error::Link)?;
    let Some(link) = link.filter(|link| is_up(link, spec)) else {
        return Ok(Some(format!("the router's link {SEGMENT_LINK} is not up")));
    };
    if !links
        .find(TUNNEL)
        .await
        .map_err(Error::Link)?
        .is_some_and(|link| link.up)
    {
        return Ok(Some(format!("the router's link {TUNNEL} is not up")));
    }
    let have = links.addresses(link.index).await.map_err(Error::Link)?;
    if let Some(missing) = addresses(spec)
        .into_iter()
        .find(|address| !have.contains(address))
    {
        return Ok(Some(format!(
            "the router does not have the address {missing}"
        )));
    }
    let ruleset = rules::router(spec);
    let listing = rhyzome_hostnet::nft::list(ruleset.family(), ruleset.table())
        .await
        .map_err(Error::Rules)?;
    Ok(ruleset
        .differs(listing.as_ref())
        .map(|why| format!("the router's firewall: {why}")))
}

/// Takes away the links that have an end on the host.
pub(crate) async fn drop_port(layout: &Layout) -> Result<(), Error> {
    drop_link(layout, &layout.port()).await
}

pub(crate) async fn drop_link(layout: &Layout, name: &str) -> Result<(), Error> {
    let links = Links::open().map_err(Error::Link)?;
    match links.find(name).await.map_err(Error::Link)? {
        Some(link) if link.alias.as_deref() == Some(&*layout.alias()) => links
            .delete(link.index)
            .await
            .map(drop)
            .map_err(Error::Link),
        _ => Ok(()),
    }
}
