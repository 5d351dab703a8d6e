//! A network on its router, from nothing to all that it has and back.

use rhyzome_component::Progress;
use rhyzome_hostnet::{segment, vlan};
use rhyzome_model::NetworkId;
use rhyzome_model::network::{NetworkObserved, NetworkPlacement};
use rhyzome_model::placement::{PlacementKind, PlacementRef};
use rhyzome_model::segment::Segment;

use crate::driver::LinuxDriver;
use crate::error::Error;
use crate::layout::{About, Layout};
use crate::process::Process;
use crate::record::{self, NetworkRecord};
use crate::step::Step;
use crate::{dnsmasq, egress, endpoint, router};

pub(crate) fn reference(record: &NetworkRecord) -> PlacementRef {
    PlacementRef {
        id: record.placement,
        kind: PlacementKind::Network,
        resource: record.spec.network.0,
        network: Some(record.spec.network),
    }
}

/// Brings a network to what is asked, whatever is there now.
pub(crate) async fn ensure(
    driver: &LinuxDriver,
    record: &NetworkRecord,
    progress: &Progress,
) -> Result<NetworkObserved, Error> {
    let spec = &record.spec;
    let layout = driver.layout(spec.network);
    let mut about = About {
        network: spec.network,
        placement: record.placement,
        generation: 0,
    };
    driver.reach(Step::Record, progress)?;
    record::write_network(&layout.folder, record)?;
    driver.reach(Step::Namespace, progress)?;
    router::ensure_namespace(&layout, about).await?;
    driver.reach(Step::Rules, progress)?;
    router::ensure_rules(&layout, spec).await?;
    driver.reach(Step::Segment, progress)?;
    let segment = segment::ensure(spec.network, record.placement, spec.mtu, layout.holder()).await;
    segment.map_err(Error::Segment)?;
    carry(driver, &layout, spec).await?;
    driver.reach(Step::Port, progress)?;
    router::ensure_port(&layout, spec).await?;
    driver.reach(Step::Addresses, progress)?;
    router::ensure_addresses(&layout, spec).await?;
    driver.reach(Step::Egress, progress)?;
    if spec.egress {
        egress::ensure(&layout, driver.settings()).await?;
    } else {
        egress::remove(&layout).await?;
    }
    driver.reach(Step::Dnsmasq, progress)?;
    dnsmasq::ensure(driver, &layout, record).await?;
    driver.reach(Step::Endpoint, progress)?;
    driver.watch().forget(spec.network);
    let mut running = endpoint::ensure(&layout, spec, driver.settings()).await?;
    driver.reach(Step::Peers, progress)?;
    for (key, reason) in endpoint::sync(&layout, &mut running).await? {
        tracing::warn!(network = %spec.network, key, reason, "the endpoint refused a peer");
    }
    driver.reach(Step::Verify, progress)?;
    let observed = match look(driver, record).await? {
        Ok(observed) => observed,
        Err(why) => return Err(Error::NotApplied(why)),
    };
    driver.reach(Step::Finish, progress)?;
    about.generation = record.generation;
    router::finish(&layout, about).await?;
    Ok(observed)
}

/// Puts the segment on what carries it to other hosts; tunnels have placements of their own.
async fn carry(
    driver: &LinuxDriver,
    layout: &Layout,
    spec: &NetworkPlacement,
) -> Result<(), Error> {
    match spec.segment {
        Segment::Vxlan(_) => Ok(()),
        Segment::Vlan(id) => {
            let vlan = driver.settings().vlan(id)?;
            let ensured = vlan::ensure(spec.network, vlan, spec.mtu, layout.holder()).await;
            ensured.map_err(Error::Vlan)
        }
        Segment::Port(_) => Err(Error::Segmentation(spec.segment)),
    }
}

/// What of that is not as it should be; none where nothing is.
async fn check_carried(
    driver: &LinuxDriver,
    spec: &NetworkPlacement,
) -> Result<Option<String>, Error> {
    let Segment::Vlan(id) = spec.segment else {
        return Ok(None);
    };
    let vlan = driver.settings().vlan(id)?;
    vlan::check(spec.network, vlan, spec.mtu)
        .await
        .map_err(Error::Vlan)
}

/// What a network is now, or what of it is not as recorded. Its processes are watched from now on.
pub(crate) async fn look(
    driver: &LinuxDriver,
    record: &NetworkRecord,
) -> Result<Result<NetworkObserved, String>, Error> {
    let (spec, settings) = (&record.spec, driver.settings());
    let layout = driver.layout(spec.network);
    if let Some(why) = router::check(&layout, spec).await? {
        return Ok(Err(why));
    }
    if let Some(why) = check_carried(driver, spec).await? {
        return Ok(Err(why));
    }
    if let Some(why) = egress::check(&layout, spec.egress, settings.egress_pool).await? {
        return Ok(Err(why));
    }
    let server = match dnsmasq::check(&layout, record, settings)? {
        Ok(server) => server,
        Err(why) => return Ok(Err(why)),
    };
    let (status, tunnel) = match endpoint::look(&layout, spec).await? {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    driver
        .watch()
        .observe(&reference(record), vec![server, tunnel]);
    Ok(Ok(endpoint::observed(&status)))
}

/// Removes all of a network; verified.
pub(crate) async fn remove(
    driver: &LinuxDriver,
    network: NetworkId,
    progress: &Progress,
) -> Result<(), Error> {
    let layout = driver.layout(network);
    driver.watch().forget(network);
    driver.reach(Step::StopEndpoint, progress)?;
    endpoint::stop(&layout).await?;
    driver.reach(Step::StopDnsmasq, progress)?;
    dnsmasq::stop(&layout.folder).await?;
    driver.reach(Step::DropEgress, progress)?;
    egress::remove(&layout).await?;
    driver.reach(Step::DropPort, progress)?;
    router::drop_port(&layout).await?;
    driver.reach(Step::DropSegment, progress)?;
    segment::remove(network, layout.holder())
        .await
        .map_err(Error::Segment)?;
    driver.reach(Step::DropNamespace, progress)?;
    layout.namespace.delete().map_err(Error::Namespace)?;
    driver.reach(Step::DropRecord, progress)?;
    record::remove_folder(&layout.folder)?;
    verify_removed(&layout).await
}

async fn verify_removed(layout: &Layout) -> Result<(), Error> {
    let left = |what: String| Err(Error::NotRemoved(what));
    if layout.namespace.exists() {
        return left(format!("the namespace {}", layout.namespace.name()));
    }
    if layout.folder.exists() {
        return left(layout.folder.display().to_string());
    }
    let held = segment::list(layout.holder())
        .await
        .map_err(Error::Segment)?;
    if held.iter().any(|held| held.network == layout.network) {
        return left(format!("the bridge {}", layout.bridge()));
    }
    let links = rhyzome_hostnet::Links::open().map_err(Error::Link)?;
    for name in [layout.port(), layout.uplink()] {
        if links
            .find(&name)
            .await
            .map_err(Error::Link)?
            .is_some_and(|link| link.alias == Some(layout.alias()))
        {
            return left(format!("the link {name}"));
        }
    }
    let processes: Vec<Process> = dnsmasq::find_below(&layout.folder)?;
    match processes.first() {
        Some(process) => left(format!("the process {}", process.pid)),
        None => Ok(()),
    }
}
