//! Every message survives the wire unchanged, and a wrong one names its field.

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::{
    BlobPin, ImagePin, InstanceObserved, InstancePlacement, InstanceState, Interface, Power,
    RestartPolicy,
};
use rhyzome_model::job::{Action, FailureKind, Job, Outcome, Task};
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkObserved, NetworkPlacement, SegmentPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::{
    ComponentId, Digest, InstanceId, JobId, LeaseId, MacAddr, Name, NetworkId, PeerId, PlacementId,
    Size, Timestamp,
};
use rhyzome_proto::enrollment::Join;
use rhyzome_proto::session::{
    FromComponent, FromCore, GoodbyeReason, Hello, JobOutcome, JobProgress, LedgerCounts, Welcome,
};
use rhyzome_proto::{Invalid, Version, pb};
use uuid::Uuid;

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn name() -> impl Strategy<Value = Name> {
    "[a-z]([a-z0-9-]{0,38}[a-z0-9])?".prop_map(|text| text.parse().expect("a name"))
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 3]>().prop_map(MacAddr::qemu)
}

fn size() -> impl Strategy<Value = Size> {
    any::<u64>().prop_map(Size::bytes)
}

fn ipv4_net() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 0u8..=32).prop_map(|(address, length)| {
        Ipv4Net::new(address.into(), length)
            .expect("a prefix length")
            .trunc()
    })
}

fn ipv6_net() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0u8..=128).prop_map(|(address, length)| {
        Ipv6Net::new(address.into(), length)
            .expect("a prefix length")
            .trunc()
    })
}

fn blob() -> impl Strategy<Value = BlobPin> {
    (any::<[u8; 32]>(), size()).prop_map(|(bytes, size)| BlobPin {
        digest: Digest::from_bytes(bytes),
        size,
    })
}

fn network() -> impl Strategy<Value = NetworkPlacement> {
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

fn segment() -> impl Strategy<Value = SegmentPlacement> {
    (uuid(), name(), name(), any::<u16>()).prop_map(|(network, project, name, mtu)| {
        SegmentPlacement {
            network: NetworkId(network),
            project,
            name,
            mtu,
        }
    })
}

fn lease() -> impl Strategy<Value = LeasePlacement> {
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

fn peer() -> impl Strategy<Value = PeerPlacement> {
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

fn image_format() -> impl Strategy<Value = ImageFormat> {
    prop_oneof![
        Just(ImageFormat::Linux),
        Just(ImageFormat::Pvh),
        Just(ImageFormat::Multiboot),
        any::<(u8, u8)>().prop_map(|(networks, blocks)| ImageFormat::Solo5 { networks, blocks }),
        Just(ImageFormat::Unikraft),
        Just(ImageFormat::Hermit),
    ]
}

fn interface() -> impl Strategy<Value = Interface> {
    (uuid(), mac(), any::<u32>(), any::<u128>(), any::<u16>()).prop_map(
        |(network, mac, ipv4, ipv6, mtu)| Interface {
            network: NetworkId(network),
            mac,
            ipv4: ipv4.into(),
            ipv6: ipv6.into(),
            mtu,
        },
    )
}

fn instance() -> impl Strategy<Value = InstancePlacement> {
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
            ".*",
            vec(interface(), 0..4),
            power,
            restart,
            any::<u32>(),
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
                command_line: rest.1,
                interfaces: rest.2,
                power: rest.3,
                restart: rest.4,
                stop_timeout: rest.5,
            },
        )
}

fn placement() -> impl Strategy<Value = Placement> {
    let spec = prop_oneof![
        network().prop_map(PlacementSpec::Network),
        segment().prop_map(PlacementSpec::Segment),
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

fn placement_kind() -> impl Strategy<Value = PlacementKind> {
    proptest::sample::select(PlacementKind::ALL.to_vec())
}

fn target() -> impl Strategy<Value = PlacementRef> {
    (uuid(), placement_kind(), uuid(), option::of(uuid())).prop_map(
        |(id, kind, resource, network)| PlacementRef {
            id: PlacementId(id),
            kind,
            resource,
            network: network.map(NetworkId),
        },
    )
}

fn observed() -> impl Strategy<Value = Observed> {
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
        Just(Observed::Lease),
        Just(Observed::Peer),
        (state, ".*", any::<i64>(), any::<u32>(), any::<bool>(), ".*").prop_map(
            |(state, reason, since, restarts, needs_restart, accelerator)| {
                Observed::Instance(InstanceObserved {
                    state,
                    reason,
                    since: Timestamp::from_millis(since),
                    restarts,
                    needs_restart,
                    accelerator,
                })
            }
        ),
    ]
}

fn found() -> impl Strategy<Value = Found> {
    (target(), any::<u64>(), option::of(observed())).prop_map(
        |(placement, generation, observed)| Found {
            placement,
            generation,
            observed,
        },
    )
}

fn facts() -> impl Strategy<Value = HostFacts> {
    (
        ".*",
        any::<u32>(),
        size(),
        option::of(".*"),
        option::of(any::<(u16, u16)>()),
        option::of(any::<u16>()),
        btree_map(".*", ".*", 0..3),
    )
        .prop_map(
            |(hostname, cpus, memory, public_address, endpoint_ports, mtu, details)| HostFacts {
                hostname,
                cpus,
                memory,
                public_address,
                endpoint_ports,
                mtu,
                details,
            },
        )
}

fn hello() -> impl Strategy<Value = Hello> {
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

fn outcome() -> impl Strategy<Value = Outcome> {
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

fn from_component() -> impl Strategy<Value = FromComponent> {
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

fn job() -> impl Strategy<Value = Job> {
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

fn from_core() -> impl Strategy<Value = FromCore> {
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
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_component_says_arrives_unchanged(message in from_component()) {
        let bytes = pb::FromComponent::from(message.clone()).encode_to_vec();
        let read = pb::FromComponent::decode(bytes.as_slice()).expect("what was encoded");
        prop_assert_eq!(FromComponent::try_from(read), Ok(message));
    }

    #[test]
    fn what_a_core_says_arrives_unchanged(message in from_core()) {
        let bytes = pb::FromCore::from(message.clone()).encode_to_vec();
        let read = pb::FromCore::decode(bytes.as_slice()).expect("what was encoded");
        prop_assert_eq!(FromCore::try_from(read), Ok(message));
    }

    #[test]
    fn a_wish_to_join_arrives_unchanged(
        token in ".*",
        csr in vec(any::<u8>(), 0..50),
        kind in proptest::sample::select(ComponentKind::ALL.to_vec()),
        name in option::of(name()),
        hostname in ".*",
    ) {
        let join = Join { token, csr, kind, name, hostname };
        let bytes = pb::JoinRequest::from(join.clone()).encode_to_vec();
        let read = pb::JoinRequest::decode(bytes.as_slice()).expect("what was encoded");
        prop_assert_eq!(Join::try_from(read), Ok(join));
    }
}

/// An instance's placement in a job, spoiled by `spoil`, is refused with `expect`.
fn check(spoil: impl FnOnce(&mut pb::Instance), expect: &str) {
    let interface = pb::Interface {
        network: Uuid::nil().to_string(),
        mac: "52:54:00:12:34:56".to_owned(),
        ipv4: "10.0.0.2".to_owned(),
        ipv6: "fd00::2".to_owned(),
        mtu: 1500,
    };
    let mut instance = pb::Instance {
        instance: Uuid::nil().to_string(),
        project: "default".to_owned(),
        name: "web".to_owned(),
        image: Some(pb::Image {
            blob: Some(pb::Blob {
                digest: "0".repeat(64),
                size: 1,
            }),
            format: Some(pb::image::Format::Linux(pb::Nothing {})),
        }),
        interfaces: vec![interface.clone(), interface],
        power: pb::Power::Running.into(),
        restart: pb::RestartPolicy::Never.into(),
        ..pb::Instance::default()
    };
    spoil(&mut instance);
    let placement = pb::Placement {
        id: Uuid::nil().to_string(),
        generation: 1,
        spec: Some(pb::placement::Spec::Instance(instance)),
    };
    let job = pb::Job {
        id: Uuid::nil().to_string(),
        fence: 1,
        task: Some(pb::job::Task::Ensure(placement)),
    };
    let message = pb::FromCore {
        message: Some(pb::from_core::Message::Job(job)),
    };
    let got = FromCore::try_from(message)
        .map(drop)
        .map_err(|error: Invalid| error.to_string());
    assert_eq!(
        got,
        if expect.is_empty() {
            Ok(())
        } else {
            Err(expect.to_owned())
        }
    );
}

#[test]
fn a_wrong_message_names_the_field_and_what_is_wrong() {
    check(|_| (), "");
    check(
        |i| i.interfaces[1].mac = "ff:ff:ff:ff:ff:ff".to_owned(),
        "job.ensure.instance.interfaces[1].mac: \"ff:ff:ff:ff:ff:ff\" is not a unicast Ethernet \
         address like 52:54:00:12:34:56",
    );
    check(
        |i| i.interfaces[0].ipv4 = "10.0.0".to_owned(),
        "job.ensure.instance.interfaces[0].ipv4: \"10.0.0\": invalid IPv4 address syntax",
    );
    check(
        |i| i.interfaces[0].mtu = 70_000,
        "job.ensure.instance.interfaces[0].mtu: 70000 is more than 65535",
    );
    check(|i| i.image = None, "job.ensure.instance.image: is missing");
    check(
        |i| i.image.as_mut().expect("it has one").format = None,
        "job.ensure.instance.image.format: is missing",
    );
    check(|i| i.power = 0, "job.ensure.instance.power: is missing");
    check(
        |i| i.restart = 9,
        "job.ensure.instance.restart: 9 is no value known here",
    );
    check(
        |i| i.name = "Web".to_owned(),
        "job.ensure.instance.name: the name \"Web\" contains 'W'; a-z, 0-9 and - are allowed",
    );
}
