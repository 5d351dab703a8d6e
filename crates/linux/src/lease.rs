//! Leases: who gets which addresses and name in a network.

use rhyzome_model::address::{router_ipv4, router_ipv6};
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::{LeaseId, NetworkId};

use crate::driver::LinuxDriver;
use crate::error::Error;
use crate::layout::Layout;
use crate::record::{self, LeaseRecord, NetworkRecord, Shelf};
use crate::{dnsmasq, network};

fn check(network: &NetworkPlacement, lease: &LeaseRecord) -> Result<(), Error> {
    let (four, six) = (lease.spec.ipv4, lease.spec.ipv6);
    if !network.ipv4.contains(&four) || four == router_ipv4(network.ipv4) {
        return Err(Error::Outside(four.into()));
    }
    if !network.ipv6.contains(&six) || six == router_ipv6(network.ipv6) {
        return Err(Error::Outside(six.into()));
    }
    Ok(())
}

pub(crate) async fn ensure(driver: &LinuxDriver, lease: &LeaseRecord) -> Result<(), Error> {
    let layout = driver.layout(lease.spec.network);
    let Some(network) = record::read_network(&layout.folder)? else {
        return Err(Error::NoNetwork(lease.spec.network));
    };
    if !layout.namespace.exists() {
        return Err(Error::NoNetwork(lease.spec.network));
    }
    check(&network.spec, lease)?;
    record::put(&layout.folder, Shelf::Leases, lease.spec.lease.0, lease)?;
    bring(driver, &layout, &network).await
}

pub(crate) async fn remove(
    driver: &LinuxDriver,
    network: NetworkId,
    lease: LeaseId,
) -> Result<(), Error> {
    let layout = driver.layout(network);
    record::take_away(&layout.folder, Shelf::Leases, lease.0)?;
    let network = record::read_network(&layout.folder)?.filter(|_| layout.namespace.exists());
    match network {
        Some(network) => bring(driver, &layout, &network).await,
        // When it comes up, it is without the lease.
        None => Ok(()),
    }
}

async fn bring(driver: &LinuxDriver, layout: &Layout, record: &NetworkRecord) -> Result<(), Error> {
    dnsmasq::ensure(driver, layout, record).await?;
    if driver.watch().is_watched(layout.network) {
        return Ok(());
    }
    // dnsmasq is another process now.
    network::look(driver, record).await.map(drop)
}
