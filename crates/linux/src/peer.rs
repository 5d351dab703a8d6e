//! Peers: which devices reach a network through its endpoint.

use rhyzome_model::{NetworkId, PeerId};

use crate::driver::LinuxDriver;
use crate::endpoint;
use crate::error::Error;
use crate::record::{self, PeerRecord, Shelf};

/// In force when this returns.
pub(crate) async fn ensure(driver: &LinuxDriver, peer: &PeerRecord) -> Result<(), Error> {
    let layout = driver.layout(peer.spec.network);
    // What has no key is not written down.
    endpoint::key(&peer.spec)?;
    let Some(network) = record::read_network(&layout.folder)?.filter(|_| layout.namespace.exists())
    else {
        return Err(Error::NoNetwork(peer.spec.network));
    };
    record::put(&layout.folder, Shelf::Peers, peer.spec.peer.0, peer)?;
    let mut running = endpoint::ensure(&layout, &network.spec, driver.settings()).await?;
    let refused = endpoint::admit(&layout, &mut running, &peer.spec).await?;
    refused.map_or(Ok(()), |reason| Err(Error::Refused(reason)))
}

/// Nothing passes for the peer any more when this returns: the endpoint has acknowledged it.
pub(crate) async fn remove(
    driver: &LinuxDriver,
    network: NetworkId,
    peer: PeerId,
) -> Result<(), Error> {
    let layout = driver.layout(network);
    let folder = &layout.folder;
    let gone: Option<PeerRecord> = record::get(folder, Shelf::Peers, peer.0)?;
    record::take_away(folder, Shelf::Peers, peer.0)?;
    let Some(network) = record::read_network(&layout.folder)?.filter(|_| layout.namespace.exists())
    else {
        return Ok(());
    };
    // Started where it does not run: it restores the peers that it had, this one among them.
    let mut running = endpoint::ensure(&layout, &network.spec, driver.settings()).await?;
    match gone {
        Some(gone) if !record::mention(folder, Shelf::Peers, &gone.spec.public_key)? => {
            endpoint::expel(&mut running, endpoint::key(&gone.spec)?).await
        }
        // An earlier try was interrupted, or another has its key: all the records say what is to be.
        _ => endpoint::sync(&layout, &mut running).await.map(drop),
    }
}
