//! What WireGuard says of its devices, by the command `wg`. Private keys are skipped when it is read.

use std::collections::BTreeMap;

use ipnet::IpNet;
use rhyzome_wireguard::key::PublicKey;
use rhyzome_wireguard::peers::{Peer, PeerSet};

use super::LookError;
use crate::system::System;

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// None where it has no private key yet.
    pub key: Option<PublicKey>,
    pub port: u16,
    pub peers: PeerSet,
}

/// By the devices' names.
pub(crate) type Tunnels = BTreeMap<String, Tunnel>;

pub(super) async fn look(system: &System) -> Result<Tunnels, LookError> {
    let said = system.run("wg", &["show", "all", "dump"]).await?.good()?;
    Ok(read(&said))
}

/// A line of 5 fields for each device (name, private key, public key, port, mark), then one of 9 for each of its
/// peers (name, public key, preshared key, endpoint, allowed IPs, …); wg(8).
fn read(text: &str) -> Tunnels {
    let mut tunnels = Tunnels::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            [device, _, key, port, _] => {
                let tunnel = tunnels.entry(device.to_owned()).or_default();
                tunnel.key = key.parse().ok();
                tunnel.port = port.parse().unwrap_or_default();
            }
            [device, key, _, _, allowed, ..] => {
                let Ok(key) = key.parse() else {
                    continue;
                };
                let allowed = allowed
                    .split(',')
                    .filter_map(|net| net.parse::<IpNet>().ok());
                let tunnel = tunnels.entry(device.to_owned()).or_default();
                tunnel.peers.insert(key, Peer::new(key, allowed));
            }
            _ => {}
        }
    }
    tunnels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_their_peers_are_read() {
        let key = crate::samples::peer(
            &crate::samples::network(1, crate::samples::vlan(1), false),
            2,
        )
        .public_key;
        let text = format!(
            "rz_v1_wg\tPRIVATE\t{key}\t51821\toff\n\
             rz_v1_wg\t{key}\t(none)\t192.0.2.9:4000\t10.200.0.2/32,fd00::2/128\t0\t0\t0\toff\n\
             rz_v2_wg\t(none)\t(none)\t0\toff\n\
             rz_v2_wg\t{key}\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
        );
        let read = read(&text);
        let one = &read["rz_v1_wg"];
        assert_eq!(
            (one.key.unwrap().to_string(), one.port),
            (key.clone(), 51821)
        );
        let peer = &one.peers[&key.parse().unwrap()];
        assert_eq!(peer.allowed_ips.len(), 2);
        assert!(read["rz_v2_wg"].key.is_none());
        assert!(
            read["rz_v2_wg"]
                .peers
                .values()
                .all(|peer| peer.allowed_ips.is_empty())
        );
        assert!(!format!("{read:?}").contains("PRIVATE"));
    }
}
