//! Peers: which devices reach a network through its endpoint.
//!
//! What is asked about several peers of a network while its lock is held is done at once afterwards: one look
//! at the records, and one change at the endpoint. So a member with a thousand devices is out soon.

use std::sync::Arc;

use rhyzome_component::together;
use rhyzome_model::{NetworkId, PeerId};
use rhyzome_wireguard::key::PublicKey;
use rhyzome_wireguard::peers::PeerSet;

use crate::driver::LinuxDriver;
use crate::endpoint;
use crate::error::Error;
use crate::layout::Layout;
use crate::record::{self, NetworkRecord, PeerRecord, Shelf};

/// Who asks, and waits for an answer.
type Waiting = together::Waiting<Ask, Error>;

/// What is asked about one peer.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// It is in force when this is answered.
    Ensure(Box<PeerRecord>),
    /// Nothing passes for it any more when this is answered: the endpoint has acknowledged it.
    Remove(PeerId),
}

/// Does what is asked about peers of a network, and tells each who asked. The network's lock is held.
pub(crate) async fn settle(driver: &LinuxDriver, network: NetworkId, asked: Vec<Waiting>) {
    if asked.is_empty() {
        return;
    }
    let layout = driver.layout(network);
    match record::read_network(&layout.folder) {
        Ok(Some(record)) if layout.namespace.exists() => {
            settle_on(driver, &layout, &record, asked).await;
        }
        Ok(_) => {
            for waiting in asked {
                let done = without_network(&layout, &waiting.question);
                waiting.tell(done);
            }
        }
        Err(error) => tell_all(asked, error),
    }
}

fn without_network(layout: &Layout, ask: &Ask) -> Result<(), Error> {
    match ask {
        Ask::Ensure(_) => Err(Error::NoNetwork(layout.network)),
        Ask::Remove(peer) => record::take_away(&layout.folder, Shelf::Peers, peer.0),
    }
}

async fn settle_on(
    driver: &LinuxDriver,
    layout: &Layout,
    network: &NetworkRecord,
    asked: Vec<Waiting>,
) {
    let mut written = Vec::new();
    let mut keys = Vec::new();
    for waiting in asked {
        match write_down(layout, &waiting.question) {
            Ok(key) => {
                keys.push(key);
                written.push(waiting);
            }
            Err(error) => waiting.tell(Err(error)),
        }
    }
    let asks: Vec<_> = written.iter().map(|waiting| &waiting.question).collect();
    match bring(driver, layout, network, &asks, &keys).await {
        Ok(settled) => {
            for waiting in written {
                let done = settled.answer(&waiting.question);
                waiting.tell(done);
            }
        }
        Err(error) => tell_all(written, error),
    }
}

/// Returns the peer's key. None where an earlier removal was interrupted: which it was is not known any more.
fn write_down(layout: &Layout, ask: &Ask) -> Result<Option<PublicKey>, Error> {
    let folder = &layout.folder;
    match ask {
        Ask::Ensure(peer) => {
            // What has no key is not written down.
            let key = endpoint::key(&peer.spec)?;
            record::put(folder, Shelf::Peers, peer.spec.peer.0, peer)?;
            Ok(Some(key))
        }
        Ask::Remove(peer) => {
            let gone: Option<PeerRecord> = record::get(folder, Shelf::Peers, peer.0)?;
            record::take_away(folder, Shelf::Peers, peer.0)?;
            Ok(gone.and_then(|gone| endpoint::key(&gone.spec).ok()))
        }
    }
}

/// The peers that were asked for, as they are in force, and those that the endpoint refused, with the reason.
struct Settled {
    in_force: PeerSet,
    refused: Vec<(String, String)>,
}

impl Settled {
    fn answer(&self, ask: &Ask) -> Result<(), Error> {
        let Ask::Ensure(peer) = ask else {
            return Ok(());
        };
        let spec = &peer.spec;
        let refused = self.refused.iter().find(|(key, _)| *key == spec.public_key);
        if let Some((_, reason)) = refused {
            return Err(Error::Refused(reason.clone()));
        }
        if !endpoint::has(&self.in_force, spec) {
            let why = "another peer of the network has the same key";
            return Err(Error::Refused(why.to_owned()));
        }
        Ok(())
    }
}

async fn bring(
    driver: &LinuxDriver,
    layout: &Layout,
    network: &NetworkRecord,
    asks: &[&Ask],
    keys: &[Option<PublicKey>],
) -> Result<Settled, Error> {
    // Started where it does not run: it restores the peers that it had, those that go among them.
    let mut running = endpoint::ensure(layout, &network.spec, driver.settings()).await?;
    let known: Option<Vec<_>> = keys.iter().copied().collect();
    let new: Option<Vec<_>> = asks
        .iter()
        .map(|ask| match ask {
            Ask::Ensure(peer) => Some(&peer.spec),
            Ask::Remove(_) => None,
        })
        .collect();
    let refused = match &known {
        Some(keys) => endpoint::settle(layout, &mut running, keys, new.as_deref()).await?,
        None => endpoint::sync(layout, &mut running).await?,
    };
    let came = asks.iter().zip(keys).filter_map(|(ask, key)| match ask {
        Ask::Ensure(_) => *key,
        Ask::Remove(_) => None,
    });
    let came: Vec<_> = came.collect();
    let in_force = match came.is_empty() {
        true => PeerSet::new(),
        false => endpoint::in_force_of(&mut running, &came).await?,
    };
    Ok(Settled { in_force, refused })
}

fn tell_all(waiting: Vec<Waiting>, error: Error) {
    let error = Arc::new(error);
    for waiting in waiting {
        waiting.tell(Err(Error::OfAll(Arc::clone(&error))));
    }
}
