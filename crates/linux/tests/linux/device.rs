//! A peer's device with an interface for its tunnel: WireGuard is this workspace's, the packets are the kernel's own.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::peer::PeerPlacement;
use rhyzome_wireguard::endpoint::{self, Control, EndpointOptions};
use rhyzome_wireguard::key::PublicKey;
use rhyzome_wireguard::peers::{Changes, Peer};
use tempfile::TempDir;

use crate::site::settings;
use crate::world::Place;

/// All that is sent in its place goes into its tunnel, whose own packets are sent elsewhere.
pub struct Device {
    pub place: Place,
    pub key: PublicKey,
    folder: TempDir,
    pid: i32,
}

impl Device {
    /// Starts it where its WireGuard is to send from, with the addresses of some peers: its own, and whose it only says
    /// are its own.
    pub async fn start(street: &Place, peers: &[&PeerPlacement]) -> Self {
        let place = Place::new("device").await;
        let folder = tempfile::Builder::new().prefix("rz").tempdir().unwrap();
        let addresses = peers
            .iter()
            .flat_map(|peer| [IpAddr::from(peer.ipv4), peer.ipv6.into()].map(IpNet::from));
        let options = EndpointOptions {
            dir: folder.path().to_owned(),
            interface: "wg".to_owned(),
            namespace: Some(place.0.path()),
            listen_port: 51820,
            mtu: 1370,
            addresses: addresses.collect(),
            routes: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            wg_link: None,
        };
        let program = settings(folder.path()).endpoint_program;
        let work = move || async move { endpoint::spawn(&options, &program).await.unwrap().status };
        let status = street.run(work).await;
        Self {
            place,
            key: status.public_key,
            folder,
            pid: i32::try_from(status.pid).unwrap(),
        }
    }

    /// Begins a session with the endpoint of a network, anew where there was one.
    pub async fn connect(&self, network: &NetworkPlacement, endpoint_key: PublicKey) {
        let everything = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let mut router = Peer::new(endpoint_key, everything);
        router.endpoint = Some(([192, 0, 2, 1], network.endpoint_port).into());
        let mut control = Control::connect(self.folder.path()).await.unwrap();
        let (mut goes, mut comes) = (Changes::default(), Changes::default());
        goes.remove.push(endpoint_key);
        comes.add.push(router);
        for changes in [goes, comes] {
            let applied = control.apply(&changes).await.unwrap();
            assert!(applied.failed.is_empty(), "{applied:?}");
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
    }
}
