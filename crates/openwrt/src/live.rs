//! WireGuard devices, changed while they run: what stays is not disturbed.
//!
//! No reload of OpenWrt 24.10 applies a change of peers, and taking the interface down and up drops everybody.

use std::collections::BTreeSet;

use rhyzome_wireguard::key::{PrivateKey, PublicKey};
use rhyzome_wireguard::peers::{Peer, PeerSet, plan};

use crate::running::Tunnel;
use crate::system::{CommandError, Failed, System};

/// How many peers one command sets: all of its arguments fit what the kernel takes.
const AT_ONCE: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("WireGuard refused")]
    Refused(#[from] Failed),
}

/// What a device should be.
pub(crate) struct Wanted<'a> {
    pub key: &'a PrivateKey,
    pub port: u16,
    pub peers: PeerSet,
}

/// Brings a device to what it should be, by difference: what goes first, so that its addresses are free.
pub(crate) async fn sync(
    system: &System,
    device: &str,
    have: &Tunnel,
    wanted: &Wanted<'_>,
) -> Result<(), LiveError> {
    if have.key != Some(wanted.key.public_key()) {
        let arguments = ["set", device, "private-key", "/dev/stdin"];
        let key = wanted.key.to_base64();
        let set = system.run_with("wg", &arguments, key.as_bytes()).await?;
        set.good()?;
    }
    if have.port != wanted.port {
        let port = wanted.port.to_string();
        let arguments = ["set", device, "listen-port", &port];
        system.run("wg", &arguments).await?.good()?;
    }
    let changes = plan(&have.peers, &wanted.peers);
    let gone: Vec<PublicKey> = changes.remove;
    remove(system, device, &gone).await?;
    // One that takes over another's address takes it when that one has let go.
    let mut set = changes.change;
    set.extend(changes.add);
    for some in set.chunks(AT_ONCE) {
        let words: Vec<[String; 4]> = some.iter().map(words).collect();
        let words = words.iter().flatten().map(String::as_str);
        let arguments: Vec<&str> = ["set", device].into_iter().chain(words).collect();
        system.run("wg", &arguments).await?.good()?;
    }
    Ok(())
}

fn words(peer: &Peer) -> [String; 4] {
    let allowed: Vec<String> = peer.allowed_ips.iter().map(ToString::to_string).collect();
    [
        "peer".to_owned(),
        peer.public_key.to_string(),
        "allowed-ips".to_owned(),
        allowed.join(","),
    ]
}

/// Takes peers off a device: from then on nothing of theirs passes.
pub(crate) async fn remove(
    system: &System,
    device: &str,
    keys: &[PublicKey],
) -> Result<(), LiveError> {
    let keys: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
    let keys: Vec<String> = keys.into_iter().collect();
    for some in keys.chunks(AT_ONCE) {
        let words = some.iter().flat_map(|key| ["peer", key, "remove"]);
        let arguments: Vec<&str> = ["set", device].into_iter().chain(words).collect();
        system.run("wg", &arguments).await?.good()?;
    }
    Ok(())
}
