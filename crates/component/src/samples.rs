//! Placements for this crate's tests.

use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::{
    BlobPin, Guest, ImagePin, InstancePlacement, Interface, MetadataAccess, Power, RestartPolicy,
};
use rhyzome_model::job::{Job, Task};
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, SegmentPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{Placement, PlacementSpec};
use rhyzome_model::segment::Segment;
use rhyzome_model::{
    Digest, InstanceId, JobId, LeaseId, MacAddr, Name, NetworkId, PeerId, PlacementId, Size,
};
use uuid::Uuid;

fn placement(kind: u128, number: u128, spec: PlacementSpec) -> Placement {
    Placement {
        id: PlacementId(Uuid::from_u128((kind << 64) + number)),
        generation: 1,
        spec,
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn network_id(number: u128) -> NetworkId {
    NetworkId(Uuid::from_u128(number))
}

fn carrier(number: u128) -> Segment {
    let vni = 5000 + u32::try_from(number).expect("a small number");
    Segment::Vxlan(vni.try_into().expect("24 bits"))
}

pub(crate) fn network(number: u128) -> Placement {
    let network = NetworkPlacement {
        network: network_id(number),
        project: name("default"),
        name: name("net"),
        segment: carrier(number),
        ipv4: "10.1.0.0/24".parse().expect("a prefix"),
        ipv6: "fd00:1::/64".parse().expect("a prefix"),
        domain: "net.default.rhyzome.internal".to_owned(),
        mtu: 1420,
        egress: false,
        endpoint_port: 51820,
        peers_ipv4: "100.64.0.0/16".parse().expect("a prefix"),
        peers_ipv6: "fd00:2::/64".parse().expect("a prefix"),
    };
    placement(1, number, PlacementSpec::Network(network))
}

pub(crate) fn segment(number: u128) -> Placement {
    let segment = SegmentPlacement {
        network: network_id(number),
        project: name("default"),
        name: name("net"),
        segment: carrier(number),
        mtu: 1420,
        router: None,
    };
    placement(2, number, PlacementSpec::Segment(segment))
}

/// In the network of the same number.
pub(crate) fn lease(number: u128) -> Placement {
    let lease = LeasePlacement {
        lease: LeaseId(Uuid::from_u128(number)),
        network: network_id(number),
        hostname: name("web"),
        mac: MacAddr::qemu([0, 0, 2]),
        ipv4: "10.1.0.2".parse().expect("an address"),
        ipv6: "fd00:1::2".parse().expect("an address"),
    };
    placement(3, number, PlacementSpec::Lease(lease))
}

/// In the network of the same number.
pub(crate) fn peer(number: u128) -> Placement {
    let peer = PeerPlacement {
        peer: PeerId(Uuid::from_u128(number)),
        network: network_id(number),
        public_key: "mEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=".to_owned(),
        ipv4: "100.64.0.2".parse().expect("an address"),
        ipv6: "fd00:2::2".parse().expect("an address"),
    };
    placement(4, number, PlacementSpec::Peer(peer))
}

/// With an interface in the segment of the same number.
pub(crate) fn instance(number: u128) -> Placement {
    let blob = BlobPin {
        digest: Digest::of(b"image"),
        size: Size::bytes(5),
    };
    let instance = InstancePlacement {
        instance: InstanceId(Uuid::from_u128(number)),
        project: name("default"),
        name: name("web"),
        cpus: 1,
        memory: Size::mib(64),
        image: ImagePin {
            blob,
            format: ImageFormat::Pvh,
        },
        initrd: None,
        command_line: String::new(),
        disk: None,
        bridges: Vec::new(),
        card_slots: 0,
        interfaces: vec![Interface {
            network: network_id(number),
            mac: MacAddr::qemu([0, 0, 2]),
            ipv4: "10.1.0.2".parse().expect("an address"),
            ipv6: "fd00:1::2".parse().expect("an address"),
            mtu: 1420,
            network_name: name("net"),
            subnet4: "10.1.0.0/24".parse().expect("a prefix"),
            subnet6: "fd00:1::/64".parse().expect("a prefix"),
            domain: "net.default.rhyzome.internal".to_owned(),
            egress: false,
            peers_ipv4: "100.64.0.0/16".parse().expect("a prefix"),
            peers_ipv6: "fd00:2::/64".parse().expect("a prefix"),
        }],
        power: Power::Running,
        restart: RestartPolicy::OnFailure,
        stop_timeout: 20,
        guest: Guest {
            fqdn: "web.net.default.rhyzome.internal".to_owned(),
            ssh_keys: Vec::new(),
            user_data: None,
            metadata: MetadataAccess::TokenRequired,
        },
    };
    placement(5, number, PlacementSpec::Instance(Box::new(instance)))
}

pub(crate) fn generation(generation: u64, placement: Placement) -> Placement {
    Placement {
        generation,
        ..placement
    }
}

pub(crate) fn job(number: u128, task: Task) -> Job {
    Job {
        id: JobId(Uuid::from_u128(number)),
        fence: 1,
        task,
    }
}

pub(crate) fn ensure(placement: &Placement) -> Task {
    Task::Ensure {
        placement: placement.clone(),
    }
}

pub(crate) fn remove(placement: &Placement, generation: u64) -> Task {
    Task::Remove {
        target: placement.reference(),
        generation,
    }
}
