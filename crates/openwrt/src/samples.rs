//! What the tests of several modules look at: a router as it comes, and networks on it.

use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, VtepPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::{ComponentId, LeaseId, MacAddr, NetworkId, PeerId};
use rhyzome_wireguard::key::PublicKey;
use uuid::Uuid;

use crate::present::{Files, Present};
use crate::router::{Network, Router, Trunk};
use rhyzome_model::segment::Segment;

/// An OpenWrt router with a LAN and a WAN.
pub const FILES: Files<'static> = Files {
    network: Some(
        "config interface 'loopback'\n\toption device 'lo'\n\toption proto 'static'\n\toption ipaddr '127.0.0.1'\n\
         \toption netmask '255.0.0.0'\n\
         config device\n\toption name 'br-lan'\n\toption type 'bridge'\n\tlist ports 'eth0'\n\
         config interface 'lan'\n\toption device 'br-lan'\n\toption proto 'static'\n\toption ipaddr '192.168.1.1'\n\
         \toption netmask '255.255.255.0'\n\
         config interface 'wan'\n\toption device 'eth1'\n\toption proto 'dhcp'\n",
    ),
    dhcp: Some(
        "config dnsmasq\n\toption domainneeded '1'\n\
         config dhcp 'lan'\n\toption interface 'lan'\n\
         config host\n\toption name 'printer'\n\tlist mac '52:54:00:00:00:AA 52:54:00:00:00:AB'\n\
         \toption ip '192.168.1.9'\n",
    ),
    firewall: Some(
        "config defaults\n\toption forward 'REJECT'\n\
         config zone\n\toption name 'lan'\n\tlist network 'lan'\n\
         config zone\n\toption name 'wan'\n\tlist network 'wan'\n\toption masq '1'\n\
         config rule\n\toption name 'Allow-Ping'\n\toption src 'wan'\n",
    ),
};

pub fn present() -> Present {
    Present::read(FILES).unwrap()
}

pub fn router() -> Router {
    Router {
        trunk: Some(Trunk::Device("eth2".to_owned())),
        tunnel: Some(("192.0.2.1".parse().unwrap(), 4789)),
        ports: true,
        uplink_zone: "wan".to_owned(),
    }
}

pub fn vlan(number: u16) -> Segment {
    Segment::Vlan(number.try_into().unwrap())
}

/// The network of a number from 1 to 255, with nothing in it.
pub fn network(number: u8, segment: Segment, egress: bool) -> Network {
    let spec = NetworkPlacement {
        network: NetworkId(Uuid::from_u128(number.into())),
        project: "default".parse().unwrap(),
        name: format!("net-{number}").parse().unwrap(),
        segment,
        ipv4: format!("10.1.{number}.0/24").parse().unwrap(),
        ipv6: format!("fd00:1:2:{number:x}::/64").parse().unwrap(),
        domain: format!("net-{number}.default.rhyzome.internal"),
        mtu: 1500,
        egress,
        endpoint_port: 51820 + u16::from(number),
        peers_ipv4: "10.200.0.0/16".parse().unwrap(),
        peers_ipv6: "fd00:1:3::/64".parse().unwrap(),
    };
    Network {
        spec,
        // Any 32 bytes are one.
        endpoint_key: key(100, number).parse().unwrap(),
        leases: Vec::new(),
        peers: Vec::new(),
        vteps: Vec::new(),
    }
}

pub fn lease(network: &Network, number: u8) -> LeasePlacement {
    let [.., third, _] = network.spec.ipv4.network().octets();
    LeasePlacement {
        lease: LeaseId(Uuid::from_u128(number.into())),
        network: network.spec.network,
        hostname: format!("web-{number}").parse().unwrap(),
        mac: MacAddr::qemu([0, third, number]),
        ipv4: rhyzome_model::address::nth_ipv4(network.spec.ipv4, number.into()),
        ipv6: rhyzome_model::address::nth_ipv6(network.spec.ipv6, 0x1_0000 + u128::from(number)),
    }
}

/// 32 bytes in base64.
fn key(first: u8, number: u8) -> String {
    let mut bytes = [number; 32];
    bytes[0] = first;
    PublicKey::from_bytes(bytes).unwrap().to_string()
}

pub fn peer(network: &Network, number: u8) -> PeerPlacement {
    PeerPlacement {
        peer: PeerId(Uuid::from_u128(number.into())),
        network: network.spec.network,
        public_key: key(7, number),
        ipv4: rhyzome_model::address::nth_ipv4(network.spec.peers_ipv4, number.into()),
        ipv6: rhyzome_model::address::nth_ipv6(network.spec.peers_ipv6, number.into()),
    }
}

pub fn vtep(network: &Network, number: u8) -> VtepPlacement {
    VtepPlacement {
        network: network.spec.network,
        host: ComponentId(Uuid::from_u128(number.into())),
        address: [192, 0, 2, number].into(),
        vni: network.spec.segment.number(),
        port: 4789,
        macs: vec![MacAddr::qemu([1, 1, number])],
    }
}

/// With leases and peers of the numbers from 2 on.
pub fn inhabited(number: u8, segment: Segment, egress: bool, members: u8) -> Network {
    let mut made = network(number, segment, egress);
    made.leases = (2..2 + members).map(|n| lease(&made, n).into()).collect();
    made.peers = (2..2 + members).map(|n| peer(&made, n).into()).collect();
    made
}
