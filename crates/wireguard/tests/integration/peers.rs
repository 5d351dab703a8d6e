//! Changing an endpoint's peers while they use it.

use std::time::Duration;

use rhyzome_wireguard::peers::Changes;
use rhyzome_wireguard::tunnel::Tunnel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{self, GREETING};
use crate::site::{Device, LONG, Network, Site, admit, control, expel, status};

#[test]
fn a_removed_peer_is_cut_off_at_once_and_comes_back_when_it_is_added_again() {
    let mut site = Site::new();
    let network = site.network(1);
    let key = site.start(&network).status.public_key;
    let device = Device::new(2);
    site.on_host(async || admit(&network, &[&device]).await);
    let echo = server::echo(&network.namespace, network.server(false));
    let greet = server::greet(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = Tunnel::start(&config).await.unwrap();
        let mut stream = tunnel.connect(echo, LONG).await.unwrap();
        let mut buffer = [0; 4];
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();

        expel(&network, &device).await;
        let received = tunnel.stats().await.peers[0].rx_bytes;
        stream.write_all(b"ping").await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_secs(3), stream.read(&mut buffer)).await;
        assert!(nothing.is_err(), "{nothing:?}");
        assert_eq!(tunnel.stats().await.peers[0].rx_bytes, received);

        admit(&network, &[&device]).await;
        let mut stream = tunnel.connect(greet, LONG).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, GREETING);
    });
}

#[test]
fn a_hundred_changes_around_a_peer_leave_its_session_and_its_connection_alone() {
    let mut site = Site::new();
    let network = site.network(1);
    let key = site.start(&network).status.public_key;
    let (device, other) = (Device::new(2), Device::new(3));
    site.on_host(async || admit(&network, &[&device]).await);
    let echo = server::echo(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = Tunnel::start(&config).await.unwrap();
        let mut stream = tunnel.connect(echo, LONG).await.unwrap();
        let started = std::time::Instant::now();
        let before = status(&network).await.peers[0].last_handshake_ms.unwrap();
        for number in 0..100u16 {
            admit(&network, &[&other]).await;
            stream.write_all(&number.to_be_bytes()).await.unwrap();
            assert_eq!(stream.read_u16().await.unwrap(), number);
            expel(&network, &other).await;
            // A peer that is changed in place keeps its session as well.
            let mut changed = device.peer();
            changed.keepalive = Some(20 + number % 2);
            let changes = Changes {
                change: vec![changed],
                ..Changes::default()
            };
            control(&network).await.apply(&changes).await.unwrap();
        }
        let peers = status(&network).await.peers;
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].keepalive, Some(21));
        // No handshake since: the last one is as much older as the test has been running.
        let passed = u64::try_from(started.elapsed().as_millis()).unwrap();
        let age = peers[0].last_handshake_ms.unwrap();
        assert!(
            age + 50 >= before + passed,
            "{age} after {before} and {passed}"
        );
        assert!(peers[0].connected());
    });
}

#[test]
fn replacing_the_peers_leaves_those_that_stay_alone() {
    let mut site = Site::new();
    let network = site.network(1);
    let key = site.start(&network).status.public_key;
    let [stays, goes, comes] = [2, 3, 4].map(Device::new);
    site.on_host(async || admit(&network, &[&stays, &goes]).await);
    let echo = server::echo(&network.namespace, network.server(false));
    let config = Network::config(&stays, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = Tunnel::start(&config).await.unwrap();
        let mut stream = tunnel.connect(echo, LONG).await.unwrap();
        let wanted = [stays.peer(), comes.peer()];
        let applied = control(&network).await.replace(&wanted).await.unwrap();
        assert_eq!((applied.peers, applied.failed.len()), (2, 0));
        stream.write_u32(7).await.unwrap();
        assert_eq!(stream.read_u32().await.unwrap(), 7);
        let peers = status(&network).await.peers;
        let keys: Vec<_> = peers.iter().map(|peer| peer.public_key).collect();
        assert!(!keys.contains(&goes.key.public_key()) && keys.len() == 2);
        let same = peers
            .iter()
            .find(|p| p.public_key == stays.key.public_key());
        assert!(same.unwrap().rx_bytes > 0, "the peer was put in anew");
    });
}

#[test]
fn a_thousand_peers_are_in_force_when_the_answer_comes() {
    let mut site = Site::new();
    let network = site.network(1);
    site.start(&network);
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(9);
    let add = (0..1000u32).map(|number| {
        let key = rhyzome_wireguard::key::PrivateKey::generate(&mut rng).public_key();
        let address = std::net::Ipv4Addr::from(0x0ac8_1000 + number);
        rhyzome_wireguard::peers::Peer::new(key, [std::net::IpAddr::from(address).into()])
    });
    let changes = Changes {
        add: add.collect(),
        ..Changes::default()
    };
    site.on_host(async || {
        let applied = control(&network).await.apply(&changes).await.unwrap();
        assert_eq!((applied.peers, applied.failed.len()), (1000, 0));
        assert_eq!(status(&network).await.peers.len(), 1000);
    });
}
