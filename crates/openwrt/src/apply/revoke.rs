//! Peers that are to go: off their devices before anything else, and never back on them for another failure.

use std::collections::BTreeSet;

use rhyzome_wireguard::key::PublicKey;

use super::{Apply, Request};
use crate::error::Error;
use crate::live;
use crate::names::Names;
use crate::record::Kept;
use crate::running::Running;

impl Apply {
    pub(super) async fn revoke(
        &self,
        request: &Request<'_>,
        running: &Running,
    ) -> Result<(), Error> {
        for (id, kept) in &request.before.networks {
            if !request.networks.contains(id) {
                continue;
            }
            let after = request.after.networks.get(id);
            let device = Names::new(kept.network.spec.segment).tunnel();
            let Some(tunnel) = running.tunnels.get(&device) else {
                continue;
            };
            let stays = after.map(|kept| keys(kept)).unwrap_or_default();
            let gone: Vec<PublicKey> = keys(kept)
                .into_iter()
                .filter(|key| !stays.contains(key) && tunnel.peers.contains_key(key))
                .collect();
            live::remove(&self.settings.system, &device, &gone)
                .await
                .map_err(Error::Live)?;
        }
        Ok(())
    }
}

/// The keys of the peers of a network.
fn keys(kept: &Kept) -> BTreeSet<PublicKey> {
    let peers = kept.peers.values();
    peers
        .filter_map(|record| record.spec.public_key.parse().ok())
        .collect()
}
