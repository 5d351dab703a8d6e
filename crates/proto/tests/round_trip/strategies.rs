//! Any message of the model, for tests that try what comes.

mod session;

pub use session::*;

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use rhyzome_model::component::{HostFacts, Trunk};
use rhyzome_model::console::{ConsoleFrom, ConsoleRequest};
use rhyzome_model::image::{
    DiskFirmware, DiskGuest, DiskLayout, ImageFormat, Solo5Device, Solo5DeviceKind,
};
use rhyzome_model::instance::{
    BlobPin, BridgeInterface, Disk, Firmware, Guest, ImagePin, InstanceObserved, InstancePlacement,
    InstanceState, Interface, MetadataAccess, Power, RestartPolicy, SshIdentity,
};
use rhyzome_model::job::{Action, FailureKind, Job, Outcome, Task};
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkObserved, NetworkPlacement, SegmentPlacement, VtepPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::segment::{Segment, Segmentation};
use rhyzome_model::upgrade::{Program, UpgradeOrder, UpgradePhase, UpgradeReport, UpgradeTo};
use rhyzome_model::user_data::UserData;
use rhyzome_model::{
    ComponentId, Digest, InstanceId, JobId, LeaseId, MacAddr, Name, NetworkId, PeerId, PlacementId,
    Size, Timestamp,
};
use rhyzome_proto::Version;
use rhyzome_proto::session::{
    Changed, FromComponent, FromCore, GoodbyeReason, Hello, JobOutcome, JobProgress, LedgerCounts,
    Welcome,
};
use uuid::Uuid;

pub fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

pub fn name() -> impl Strategy<Value = Name> {
    "[a-z]([a-z0-9-]{0,38}[a-z0-9])?".prop_map(|text| text.parse().expect("a name"))
}

pub fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 3]>().prop_map(MacAddr::qemu)
}

pub fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

pub fn size() -> impl Strategy<Value = Size> {
    any::<u64>().prop_map(Size::bytes)
}

pub fn ipv4_net() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 0u8..=32).prop_map(|(address, length)| {
        Ipv4Net::new(address.into(), length)
            .expect("a prefix length")
            .trunc()
    })
}

pub fn ipv6_net() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0u8..=128).prop_map(|(address, length)| {
        Ipv6Net::new(address.into(), length)
            .expect("a prefix length")
            .trunc()
    })
}

pub fn blob() -> impl Strategy<Value = BlobPin> {
    (any::<[u8; 32]>(), size()).prop_map(|(bytes, size)| BlobPin {
        digest: Digest::from_bytes(bytes),
        size,
    })
}

pub fn network() -> impl Strategy<Value = NetworkPlacement> {
    (
        ((uuid(), name(), name(), carrier()), ipv4_net(), ipv6_net()),
        (
            ".*",
            any::<u16>(),
            any::<bool>(),
            any::<u16>(),
            ipv4_net(),
            ipv6_net(),
        ),
    )
        .prop_map(
            |(((network, project, name, segment), ipv4, ipv6), rest)| NetworkPlacement {
                network: NetworkId(network),
                project,
                name,
                segment,
                ipv4,
                ipv6,
                domain: rest.0,
                mtu: rest.1,
                egress: rest.2,
                endpoint_port: rest.3,
                peers_ipv4: rest.4,
                peers_ipv6: rest.5,
            },
        )
}

pub fn segment() -> impl Strategy<Value = SegmentPlacement> {
    let numbers = (any::<u16>(), option::of(uuid()));
    (uuid(), name(), name(), carrier(), numbers).prop_map(
        |(network, project, name, segment, (mtu, router))| SegmentPlacement {
            network: NetworkId(network),
            project,
            name,
            segment,
            mtu,
            router: router.map(InstanceId),
        },
    )
}

fn carrier() -> impl Strategy<Value = Segment> {
    prop_oneof![
        (1..4095_u16).prop_map(|n| Segment::Vlan(n.try_into().expect("a VLAN"))),
        (1..1_u32 << 24).prop_map(|n| Segment::Vxlan(n.try_into().expect("24 bits"))),
        (1..1_u32 << 24).prop_map(|n| Segment::Port(n.try_into().expect("24 bits"))),
    ]
}

pub fn vtep() -> impl Strategy<Value = VtepPlacement> {
    let address = any::<std::net::IpAddr>();
    (
        uuid(),
        uuid(),
        address,
        any::<u32>(),
        any::<u16>(),
        vec(mac(), 0..4),
    )
        .prop_map(|(network, host, address, vni, port, macs)| VtepPlacement {
            network: NetworkId(network),
            host: ComponentId(host),
            address,
            vni,
            port,
            macs,
        })
}

pub fn lease() -> impl Strategy<Value = LeasePlacement> {
    (uuid(), uuid(), name(), mac(), any::<u32>(), any::<u128>()).prop_map(
        |(lease, network, hostname, mac, ipv4, ipv6)| LeasePlacement {
            lease: LeaseId(lease),
            network: NetworkId(network),
            hostname,
            mac,
            ipv4: ipv4.into(),
            ipv6: ipv6.into(),
        },
    )
}

pub fn peer() -> impl Strategy<Value = PeerPlacement> {
    (uuid(), uuid(), ".*", any::<u32>(), any::<u128>()).prop_map(
        |(peer, network, public_key, ipv4, ipv6)| PeerPlacement {
            peer: PeerId(peer),
            network: NetworkId(network),
            public_key,
            ipv4: ipv4.into(),
            ipv6: ipv6.into(),
        },
    )
}

pub fn image_format() -> impl Strategy<Value = ImageFormat> {
    prop_oneof![
        Just(ImageFormat::Linux),
        Just(ImageFormat::Pvh),
        Just(ImageFormat::Multiboot),
        (any::<(u8, u8)>(), vec(solo5_device(), 0..4)).prop_map(|((networks, blocks), devices)| {
            ImageFormat::Solo5 {
                networks,
                blocks,
                devices,
            }
        }),
        any::<bool>().prop_map(|parameters| ImageFormat::Unikraft { parameters }),
        Just(ImageFormat::Hermit),
        Just(ImageFormat::Osv),
        disk_image(),
    ]
}

fn solo5_device() -> impl Strategy<Value = Solo5Device> {
    let kind = prop_oneof![Just(Solo5DeviceKind::Network), Just(Solo5DeviceKind::Block)];
    ("[a-z]{1,8}", kind).prop_map(|(name, kind)| Solo5Device { name, kind })
}

pub fn interface() -> impl Strategy<Value = Interface> {
    (
        (uuid(), mac(), any::<u32>(), any::<u128>(), any::<u16>()),
        (name(), ipv4_net(), ipv6_net(), ".*", any::<bool>()),
        (ipv4_net(), ipv6_net()),
    )
        .prop_map(|((network, mac, ipv4, ipv6, mtu), of, peers)| Interface {
            network: NetworkId(network),
            mac,
            ipv4: ipv4.into(),
            ipv6: ipv6.into(),
            mtu,
            network_name: of.0,
            subnet4: of.1,
            subnet6: of.2,
            domain: of.3,
            egress: of.4,
            peers_ipv4: peers.0,
            peers_ipv6: peers.1,
        })
}

pub fn guest() -> impl Strategy<Value = Guest> {
    let metadata = prop_oneof![
        Just(MetadataAccess::TokenRequired),
        Just(MetadataAccess::TokenOptional),
        Just(MetadataAccess::Off)
    ];
    (".*", vec(".*", 0..3), option::of(".*"), metadata).prop_map(
        |(fqdn, ssh_keys, user_data, metadata)| Guest {
            fqdn,
            ssh_keys,
            user_data: user_data.map(UserData::new),
            metadata,
        },
    )
}

fn firmware() -> impl Strategy<Value = Firmware> {
    prop_oneof![Just(Firmware::Bios), Just(Firmware::Uefi)]
}

fn disk() -> impl Strategy<Value = Disk> {
    (size(), option::of(firmware())).prop_map(|(size, firmware)| Disk { size, firmware })
}

fn disk_image() -> impl Strategy<Value = ImageFormat> {
    let layout = prop_oneof![Just(DiskLayout::Raw), Just(DiskLayout::Qcow2)];
    let firmware = prop_oneof![
        Just(DiskFirmware::Bios),
        Just(DiskFirmware::Uefi),
        Just(DiskFirmware::Both)
    ];
    let guest = option::of(prop_oneof![Just(DiskGuest::Nanos), Just(DiskGuest::Osv)]);
    (layout, size(), firmware, guest).prop_map(|(layout, size, firmware, guest)| {
        ImageFormat::Disk {
            layout,
            size,
            firmware,
            guest,
        }
    })
}

fn bridge_interface() -> impl Strategy<Value = BridgeInterface> {
    (name(), mac()).prop_map(|(bridge, mac)| BridgeInterface { bridge, mac })
}

pub fn instance() -> impl Strategy<Value = InstancePlacement> {
    let power = prop_oneof![Just(Power::Running), Just(Power::Stopped)];
    let restart = prop_oneof![
        Just(RestartPolicy::Never),
        Just(RestartPolicy::OnFailure),
        Just(RestartPolicy::Always)
    ];
    (
        (
            uuid(),
            name(),
            name(),
            any::<u32>(),
            size(),
            blob(),
            image_format(),
        ),
        (
            option::of(blob()),
            (".*", option::of(disk())),
            (
                vec(interface(), 0..4),
                vec(bridge_interface(), 0..3),
                any::<u32>(),
            ),
            power,
            restart,
            any::<u32>(),
            guest(),
        ),
    )
        .prop_map(
            |((instance, project, name, cpus, memory, blob, format), rest)| InstancePlacement {
                instance: InstanceId(instance),
                project,
                name,
                cpus,
                memory,
                image: ImagePin { blob, format },
                initrd: rest.0,
                command_line: rest.1.0,
                disk: rest.1.1,
                interfaces: rest.2.0,
                bridges: rest.2.1,
                card_slots: rest.2.2,
                power: rest.3,
                restart: rest.4,
                stop_timeout: rest.5,
                guest: rest.6,
            },
        )
}

pub fn placement() -> impl Strategy<Value = Placement> {
    let spec = prop_oneof![
        network().prop_map(PlacementSpec::Network),
        segment().prop_map(PlacementSpec::Segment),
        vtep().prop_map(PlacementSpec::Vtep),
        lease().prop_map(PlacementSpec::Lease),
        peer().prop_map(PlacementSpec::Peer),
        instance().prop_map(|instance| PlacementSpec::Instance(Box::new(instance))),
    ];
    (uuid(), any::<u64>(), spec).prop_map(|(id, generation, spec)| Placement {
        id: PlacementId(id),
        generation,
        spec,
    })
}

pub fn placement_kind() -> impl Strategy<Value = PlacementKind> {
    proptest::sample::select(PlacementKind::ALL.to_vec())
}

pub fn target() -> impl Strategy<Value = PlacementRef> {
    (uuid(), placement_kind(), uuid(), option::of(uuid())).prop_map(
        |(id, kind, resource, network)| PlacementRef {
            id: PlacementId(id),
            kind,
            resource,
            network: network.map(NetworkId),
        },
    )
}

pub fn observed() -> impl Strategy<Value = Observed> {
    let state = prop_oneof![
        Just(InstanceState::Running),
        Just(InstanceState::Stopped),
        Just(InstanceState::Ended),
        Just(InstanceState::Crashed)
    ];
    prop_oneof![
        (".*", ".*").prop_map(
            |(endpoint_key, endpoint_kind)| Observed::Network(NetworkObserved {
                endpoint_key,
                endpoint_kind
            })
        ),
        Just(Observed::Segment),
        Just(Observed::Vtep),
        Just(Observed::Lease),
        Just(Observed::Peer),
        (
            (state, ".*", any::<i64>()),
            any::<u32>(),
            any::<bool>(),
            ".*",
            ssh()
        )
            .prop_map(
                |((state, reason, since), restarts, needs_restart, accelerator, ssh)| {
                    Observed::Instance(InstanceObserved {
                        state,
                        reason,
                        since: Timestamp::from_millis(since),
                        restarts,
                        needs_restart,
                        accelerator,
                        ssh,
                    })
                }
            ),
    ]
}

fn ssh() -> impl Strategy<Value = SshIdentity> {
    (vec(".*", 0..3), option::of(".*"))
        .prop_map(|(host_keys, user)| SshIdentity { host_keys, user })
}

pub fn found() -> impl Strategy<Value = Found> {
    (target(), any::<u64>(), option::of(observed()), ".*").prop_map(
        |(placement, generation, observed, differs)| Found {
            placement,
            generation,
            observed,
            differs,
        },
    )
}
