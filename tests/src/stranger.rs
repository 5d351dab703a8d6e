//! A stand-in for an instance: a namespace at the end of the instance's own tap, while the instance is
//! stopped. Its port rules go by the tap's name, so they are what holds the stand-in too; unlike an
//! instance it can be made to send anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rhyzome_model::network::{bridge_name, tap_name};
use rhyzome_model::resource::{Instance, Network};
use rhyzome_model::{MacAddr, NetworkId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::{Place, World};

/// The stand-in's link.
pub const LINK: &str = "eth0";

pub struct Stranger {
    place: Place,
    tap: String,
    host: String,
    network: Network,
    instance: Instance,
}

impl Stranger {
    /// Takes the place of a stopped instance, in its only network.
    ///
    /// # Panics
    /// Where the instance has its tap still.
    pub fn of(world: &World, instance: &Instance, network: &Network) -> Self {
        Self::at(&world.host, instance, network)
    }

    /// The same on another host.
    ///
    /// # Panics
    /// Where the instance has its tap still.
    pub fn at(host: &Place, instance: &Instance, network: &Network) -> Self {
        let tap = tap_name(instance.meta.id, 0);
        let bridge = bridge_name(NetworkId(network.meta.id));
        let place = Place::new(format!("{}s", host.name()));
        host.ip(&format!(
            "link add {tap} type veth peer name {LINK} netns {}",
            place.name()
        ));
        host.ip(&format!("link set {tap} master {bridge} up"));
        let stranger = Self {
            place,
            tap,
            host: host.name().to_owned(),
            network: network.clone(),
            instance: instance.clone(),
        };
        stranger.become_instance();
        stranger
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn mac(&self) -> MacAddr {
        self.instance.status.interfaces[0].mac
    }

    pub fn ipv4(&self) -> Ipv4Addr {
        self.instance.status.interfaces[0].ipv4
    }

    /// Has the instance's MAC and addresses, and the router as its way to everywhere.
    pub fn become_instance(&self) {
        let interface = &self.instance.status.interfaces[0];
        self.become_other(&interface.mac.to_string(), &interface.ipv4.to_string());
        let status = &self.network.status;
        let (ipv6, prefix) = (interface.ipv6, status.ipv6.prefix_len());
        self.place
            .ip(&format!("address add {ipv6}/{prefix} dev {LINK} nodad"));
        self.place.ip(&format!(
            "-6 route add default via {} dev {LINK}",
            status.router_ipv6
        ));
    }

    /// Has another MAC or IPv4 address, and no IPv6 address besides the link's own.
    pub fn become_other(&self, mac: &str, ipv4: &str) {
        self.place.ip(&format!("address flush dev {LINK}"));
        self.place.ip(&format!("link set {LINK} down"));
        self.place.ip(&format!("link set {LINK} address {mac}"));
        self.place.ip(&format!("link set {LINK} up"));
        let status = &self.network.status;
        self.place.ip(&format!(
            "address add {ipv4}/{} dev {LINK}",
            status.ipv4.prefix_len()
        ));
        self.place
            .ip(&format!("route add default via {}", status.router_ipv4));
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let delete = ["-n", &self.host, "link", "del", &self.tap];
        if let Err(error) = crate::host::attempt("ip", &delete, None) {
            eprintln!("a stand-in was left behind: {error}");
        }
    }
}

/// Connects over the calling thread's own network, without a tunnel.
///
/// # Errors
/// Why not, in a sentence.
pub async fn connect(
    destination: SocketAddr,
    bound: Duration,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, String> {
    let socket = match destination {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|error| error.to_string())?;
    let connected: Result<TcpStream, _> = timeout(bound, socket.connect(destination))
        .await
        .map_err(|_| format!("{destination} did not answer"))?;
    connected.map_err(|error| format!("{destination}: {error}"))
}
