//! Any message of the model, for tests that try what comes.

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use rhyzome_model::component::HostFacts;
use rhyzome_model::console::{ConsoleFrom, ConsoleRequest};
use rhyzome_model::image::{
    DiskFirmware, DiskGuest, DiskLayout, ImageFormat, Solo5Device, Solo5DeviceKind,
};
use rhyzome_model::instance::{
    BlobPin, Disk, Firmware, Guest, ImagePin, InstanceObserved, InstancePlacement, InstanceState,
    Interface, MetadataAccess, Power, RestartPolicy, SshIdentity,
};
use rhyzome_model::job::{Action, FailureKind, Job, Outcome, Task};
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkObserved, NetworkPlacement, SegmentPlacement, VtepPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::user_data::UserData;
use rhyzome_model::{
    ComponentId, Digest, InstanceId, JobId, LeaseId, MacAddr, Name, NetworkId, PeerId, PlacementId,
    Size, Timestamp,
};
use rhyzome_proto::Version;
use rhyzome_proto::session::{
    FromComponent, FromCore, GoodbyeReason, Hello, JobOutcome, JobProgress, LedgerCounts, Welcome,
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
        (uuid(), name(), name(), ipv4_net(), ipv6_net()),
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
            |((network, project, name, ipv4, ipv6), rest)| NetworkPlacement {
                network: NetworkId(network),
                project,
                name,
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
    (uuid(), name(), name(), any::<u16>()).prop_map(|(network, project, name, mtu)| {
        SegmentPlacement {
            network: NetworkId(network),
            project,
            name,
            mtu,
        }
    })
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
            vec(interface(), 0..4),
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
                interfaces: rest.2,
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
    (target(), any::<u64>(), option::of(observed())).prop_map(
        |(placement, generation, observed)| Found {
            placement,
            generation,
            observed,
        },
    )
}

pub fn facts() -> impl Strategy<Value = HostFacts> {
    (
        ".*",
        any::<u32>(),
        size(),
        option::of(".*"),
        option::of(any::<(u16, u16)>()),
        option::of(any::<u16>()),
        vec(firmware(), 0..3),
        btree_map(".*", ".*", 0..3),
        option::of(any::<std::net::IpAddr>()),
    )
        .prop_map(
            |(
                hostname,
                cpus,
                memory,
                public_address,
                endpoint_ports,
                mtu,
                firmware,
                details,
                tunnel,
            )| {
                HostFacts {
                    firmware,
                    host: hostname.chars().rev().collect(),
                    tunnel_address: tunnel,
                    tunnel_address_guessed: cpus % 2 == 1,
                    hostname,
                    cpus,
                    memory,
                    public_address,
                    endpoint_ports,
                    mtu,
                    details,
                }
            },
        )
}

pub fn hello() -> impl Strategy<Value = Hello> {
    let version = any::<(u32, u32)>().prop_map(|(major, minor)| Version { major, minor });
    (
        version,
        ".*",
        vec(placement_kind(), 0..5),
        vec(".*", 0..3),
        facts(),
        uuid(),
    )
        .prop_map(
            |(protocol, software_version, kinds, capabilities, facts, epoch)| Hello {
                protocol,
                software_version,
                kinds,
                capabilities,
                facts,
                epoch,
            },
        )
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    let kind = prop_oneof![
        Just(FailureKind::Transient),
        Just(FailureKind::Permanent),
        Just(FailureKind::Unsupported)
    ];
    prop_oneof![
        observed().prop_map(|observed| Outcome::Ensured { observed }),
        Just(Outcome::Removed),
        vec(any::<u8>(), 0..50).prop_map(|output| Outcome::Acted { output }),
        (kind, ".*").prop_map(|(kind, message)| Outcome::Failed { kind, message }),
    ]
}

pub fn from_component() -> impl Strategy<Value = FromComponent> {
    prop_oneof![
        hello().prop_map(FromComponent::Hello),
        (vec(found(), 0..3), any::<bool>())
            .prop_map(|(found, last)| FromComponent::Inventory { found, last }),
        (uuid(), any::<u64>(), ".*", option::of(any::<(u64, u64)>())).prop_map(
            |(job, fence, step, amount)| {
                FromComponent::Progress(JobProgress {
                    job: JobId(job),
                    fence,
                    step,
                    amount,
                })
            }
        ),
        (uuid(), any::<u64>(), outcome()).prop_map(|(job, fence, outcome)| {
            FromComponent::Outcome(JobOutcome {
                job: JobId(job),
                fence,
                outcome,
            })
        }),
        (uuid(), any::<u64>(), observed()).prop_map(|(id, generation, observed)| {
            FromComponent::Changed {
                placement: PlacementId(id),
                generation,
                observed,
            }
        }),
        (any::<i64>(), any::<(u32, u32, u32)>()).prop_map(
            |(time, (accepted, ensured, removing))| FromComponent::Heartbeat {
                time: Timestamp::from_millis(time),
                ledger: LedgerCounts {
                    accepted,
                    ensured,
                    removing
                },
            }
        ),
    ]
}

pub fn job() -> impl Strategy<Value = Job> {
    let action = prop_oneof![
        Just(Action::Reboot),
        any::<u32>().prop_map(|bytes| Action::ConsoleLog { bytes })
    ];
    let task = prop_oneof![
        placement().prop_map(|placement| Task::Ensure { placement }),
        (target(), any::<u64>())
            .prop_map(|(target, generation)| Task::Remove { target, generation }),
        (target(), action).prop_map(|(target, action)| Task::Act { target, action }),
    ];
    (uuid(), any::<u64>(), task).prop_map(|(id, fence, task)| Job {
        id: JobId(id),
        fence,
        task,
    })
}

fn console_from() -> impl Strategy<Value = ConsoleFrom> {
    prop_oneof![
        any::<u64>().prop_map(ConsoleFrom::Position),
        any::<u32>().prop_map(ConsoleFrom::Last),
    ]
}

pub fn from_core() -> impl Strategy<Value = FromCore> {
    let reason = prop_oneof![
        Just(GoodbyeReason::Stopping),
        Just(GoodbyeReason::Replaced),
        Just(GoodbyeReason::Revoked),
        Just(GoodbyeReason::Expired),
        Just(GoodbyeReason::Unsupported),
        Just(GoodbyeReason::Malformed),
        Just(GoodbyeReason::Failed)
    ];
    prop_oneof![
        (uuid(), name(), any::<u32>(), any::<i64>()).prop_map(
            |(component, name, heartbeat_interval, time)| FromCore::Welcome(Welcome {
                component: ComponentId(component),
                name,
                heartbeat_interval,
                time: Timestamp::from_millis(time),
            })
        ),
        job().prop_map(|job| FromCore::Job(Box::new(job))),
        (uuid(), any::<u64>()).prop_map(|(job, fence)| FromCore::OutcomeRecorded {
            job: JobId(job),
            fence
        }),
        (reason, ".*").prop_map(|(reason, message)| FromCore::Goodbye { reason, message }),
        (uuid(), target(), console_from()).prop_map(|(stream, target, from)| {
            FromCore::OpenConsole(ConsoleRequest {
                stream,
                target,
                from,
            })
        }),
    ]
}
