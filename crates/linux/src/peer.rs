//! Peers: which devices reach a network through its endpoint.

use rhyzome_model::{NetworkId, PeerId};

use crate::driver::LinuxDriver;
use crate::endpoint;
use crate::error::Error;
use crate::record::{self, PeerRecord, Shelf};

/// In force when this returns.
pub(crate) async fn ensure(driver: &LinuxDriver, peer: &PeerRecord) -> Result<(), Error> {
    let layout = driver.layout(peer.spec.network);
    let key = endpoint::key(&peer.spec)?.to_string();
    let Some(network) = record::read_network(&layout.folder)?.filter(|_| layout.namespace.exists())
    else {
        return Err(Error::NoNetwork(peer.spec.network));
    };
    record::put(&layout.folder, Shelf::Peers, peer.spec.peer.0, peer)?;
    let mut running = endpoint::ensure(&layout, &network.spec, driver.settings()).await?;
    let refused = endpoint::sync(&layout, &mut running).await?;
    if let Some((_, reason)) = refused.into_iter().find(|(refused, _)| *refused == key) {
        return Err(Error::Refused(reason));
    }
    let status = running.control.status().await.map_err(Error::Control)?;
    if endpoint::has(&status, &peer.spec) {
        return Ok(());
    }
    Err(Error::Refused(
        "another peer of the network has the same key".to_owned(),
    ))
}

/// Nothing passes for the peer any more when this returns: the endpoint has acknowledged it.
pub(crate) async fn remove(
    driver: &LinuxDriver,
    network: NetworkId,
    peer: PeerId,
) -> Result<(), Error> {
    let layout = driver.layout(network);
    record::take_away(&layout.folder, Shelf::Peers, peer.0)?;
    let Some(network) = record::read_network(&layout.folder)?.filter(|_| layout.namespace.exists())
    else {
        return Ok(());
    };
    // Started where it does not run: it restores the peers that it had, this one among them.
    let mut running = endpoint::ensure(&layout, &network.spec, driver.settings()).await?;
    endpoint::sync(&layout, &mut running).await?;
    Ok(())
}
