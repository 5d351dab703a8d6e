//! What the tests of several modules look at.

use rhyzome_model::NetworkId;
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::segment::Segment;
use uuid::Uuid;

/// A network, as it is sent to its router.
pub fn network(egress: bool) -> NetworkPlacement {
    NetworkPlacement {
        network: NetworkId(Uuid::nil()),
        project: "default".parse().unwrap(),
        name: "lan".parse().unwrap(),
        segment: Segment::Vxlan(5000.try_into().unwrap()),
        ipv4: "10.1.2.0/24".parse().unwrap(),
        ipv6: "fd00:1:2:3::/64".parse().unwrap(),
        domain: "lan.default.rhyzome.internal".to_owned(),
        mtu: 1420,
        egress,
        endpoint_port: 51820,
        peers_ipv4: "10.200.0.0/16".parse().unwrap(),
        peers_ipv6: "fd00:1:2:ffff::/64".parse().unwrap(),
    }
}
