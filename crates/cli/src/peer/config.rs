//! A peer's WireGuard configuration: one `[Peer]` for each network that it reaches.

use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rhyzome_model::Name;
use rhyzome_model::resource::{Peer, PeerNetwork};
use rhyzome_wireguard::config::{ClientConfig, KEEPALIVE, PeerConfig};
use rhyzome_wireguard::key::PrivateKey;
use rhyzome_wireguard::qr;

use super::keys::Store;
use crate::failure::Failure;
use crate::output::Mode;
use crate::private;
use crate::session::Cx;

/// Prints a peer's configuration, draws it, or writes it to a file.
pub async fn print(
    cx: &Cx,
    name: &Name,
    as_qr: bool,
    output: Option<PathBuf>,
) -> Result<(), Failure> {
    let session = cx.session()?;
    let store = Store::of(cx, &session).await?;
    let peer = session.scope.peer().get(name).await?;
    let config = of(&store, &peer)?;
    if let Some(path) = output {
        private::write(&path, config.to_text().as_bytes())?;
        let sentence = format!("the configuration of {name} is in {}", path.display());
        return cx
            .output
            .gone(&path, &path.display().to_string(), &sentence);
    }
    if as_qr {
        let drawn = qr::render(&config).map_err(|e| Failure::Usage(e.to_string()))?;
        return cx.output.print(&drawn);
    }
    match cx.output.mode {
        Mode::Json => cx
            .output
            .json(&serde_json::json!({ "config": config.to_text().as_str() })),
        Mode::People | Mode::Quiet => cx.output.print(&config.to_text()),
    }
}

/// The configuration of a peer whose key is on this device, for all its networks.
pub fn of(store: &Store, peer: &Peer) -> Result<ClientConfig, Failure> {
    let name = &peer.meta.name;
    let missing = || Failure::NoKey {
        what: format!("the private key of the peer {name}"),
        path: store.path(name),
    };
    let key = store.find(name)?.ok_or_else(missing)?;
    if key.public_key().to_string() != peer.spec.public_key {
        return Err(Failure::PeerElsewhere { name: name.clone() });
    }
    build(key, peer, &peer.status.networks.iter().collect::<Vec<_>>())
}

/// The configuration for some of a peer's networks.
pub fn build(
    key: PrivateKey,
    peer: &Peer,
    networks: &[&PeerNetwork],
) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig {
        private_key: key,
        addresses: vec![
            IpNet::V4(Ipv4Net::from(peer.status.ipv4)),
            IpNet::V6(Ipv6Net::from(peer.status.ipv6)),
        ],
        dns: Vec::new(),
        search: Vec::new(),
        mtu: networks.iter().map(|network| network.mtu).min(),
        peers: Vec::new(),
    };
    for network in networks {
        config.dns.push(network.dns.into());
        config.search.push(network.domain.clone());
        config.peers.push(endpoint(&peer.meta.name, network)?);
    }
    Ok(config)
}

fn endpoint(peer: &Name, network: &PeerNetwork) -> Result<PeerConfig, Failure> {
    let (Some(address), Some(key)) = (&network.endpoint.address, &network.endpoint.public_key)
    else {
        return Err(Failure::NoEndpoint {
            peer: peer.clone(),
            network: network.network.clone(),
        });
    };
    let wrong = |reason: String| Failure::BadEndpoint {
        peer: peer.clone(),
        network: network.network.clone(),
        reason,
    };
    Ok(PeerConfig {
        public_key: key.parse().map_err(|e| wrong(format!("{e}")))?,
        preshared_key: None,
        endpoint: address.parse().map_err(|e| wrong(format!("{e}")))?,
        allowed_ips: vec![IpNet::V4(network.ipv4), IpNet::V6(network.ipv6)],
        keepalive: Some(KEEPALIVE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7748, section 6.1.
    const ALICE: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
    const BOB: &str = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=";

    fn peer(address: Option<&str>) -> Peer {
        let network = |name: &str, number: u8, mtu: u16, key: &str| {
            serde_json::json!({
                "network": name, "ipv4": format!("10.96.{number}.0/24"),
                "ipv6": format!("fd5a:0:0:{number}::/64"), "mtu": mtu, "domain": format!("{name}.home"),
                "dns": format!("10.96.{number}.1"), "ready": true, "asked_at": "2026-01-01T00:00:00Z",
                "endpoint": {"address": address, "port": 51820,
                    "public_key": key},
            })
        };
        serde_json::from_value(serde_json::json!({
            "id": "018f0000-0000-7000-8000-000000000001", "project": "default", "name": "laptop",
            "generation": 1, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "spec": {"public_key": ALICE, "networks": ["lab", "web"]},
            "status": {
                "phase": "ready", "observed_generation": 1, "ipv4": "10.127.0.2", "ipv6": "fd5a:ff::2",
                "networks": [network("lab", 1, 1420, ALICE), network("web", 2, 1400, BOB)], "conditions": [],
            },
        }))
        .unwrap()
    }

    fn key() -> PrivateKey {
        "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
            .parse()
            .unwrap()
    }

    #[test]
    fn a_configuration_has_a_peer_for_each_network_and_the_smallest_mtu() {
        let peer = peer(Some("vpn.home.example:51820"));
        let networks: Vec<_> = peer.status.networks.iter().collect();
        let config = build(key(), &peer, &networks).unwrap();
        assert_eq!(ClientConfig::parse(&config.to_text()), Ok(config.clone()));
        insta::assert_snapshot!(config.to_text().as_str(), @r"
        [Interface]
        PrivateKey = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=
        Address = 10.127.0.2/32, fd5a:ff::2/128
        DNS = 10.96.1.1, 10.96.2.1, lab.home, web.home
        MTU = 1400

        [Peer]
        PublicKey = hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
        Endpoint = vpn.home.example:51820
        AllowedIPs = 10.96.1.0/24, fd5a:0:0:1::/64
        PersistentKeepalive = 25

        [Peer]
        PublicKey = 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=
        Endpoint = vpn.home.example:51820
        AllowedIPs = 10.96.2.0/24, fd5a:0:0:2::/64
        PersistentKeepalive = 25
        ");
        let one = build(key(), &peer, &networks[..1]).unwrap();
        assert_eq!((one.peers.len(), one.mtu), (1, Some(1420)));
    }

    #[test]
    fn an_endpoint_that_is_not_known_yet_is_named() {
        let peer = peer(None);
        let networks: Vec<_> = peer.status.networks.iter().collect();
        let error = build(key(), &peer, &networks).unwrap_err().to_string();
        assert_eq!(
            error,
            "network lab of peer laptop: its endpoint is not known yet"
        );
    }

    #[test]
    fn a_key_of_another_device_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned(), "home", &Name::default_project());
        let peer = peer(Some("vpn.home.example:51820"));
        assert!(matches!(of(&store, &peer), Err(Failure::NoKey { .. })));
        store.create(&peer.meta.name).unwrap();
        assert!(matches!(
            of(&store, &peer),
            Err(Failure::PeerElsewhere { .. })
        ));
    }
}
