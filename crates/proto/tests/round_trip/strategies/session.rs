//! Any message of a session.

use super::*;

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
        (
            option::of(any::<std::net::IpAddr>()),
            vec(proptest::sample::select(&Segmentation::ALL), 0..3),
            option::of((".*", any::<u16>())),
            option::of(uuid()),
            vec(name(), 0..3),
        ),
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
                (tunnel, segmentations, trunk, machine, bridges),
            )| {
                HostFacts {
                    firmware,
                    bridges,
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
                    segmentations,
                    trunk: trunk.map(|(device, mtu)| Trunk { device, mtu }),
                    machine,
                    overlapping_prefixes: cpus % 3 == 1,
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
        option::of(program().prop_map(Box::new)),
        option::of(upgrade_report().prop_map(Box::new)),
        any::<Option<u32>>(),
    )
        .prop_map(
            |(
                protocol,
                software_version,
                kinds,
                capabilities,
                facts,
                epoch,
                program,
                upgrade,
                jobs_at_once,
            )| {
                Hello {
                    protocol,
                    software_version,
                    kinds,
                    capabilities,
                    facts,
                    epoch,
                    program,
                    upgrade,
                    jobs_at_once,
                }
            },
        )
}

fn program() -> impl Strategy<Value = Program> {
    (digest(), ".*", option::of(digest())).prop_map(|(digest, machine, previous)| Program {
        digest,
        machine,
        previous,
    })
}

fn upgrade_report() -> impl Strategy<Value = UpgradeReport> {
    (
        uuid(),
        proptest::sample::select(&UpgradePhase::ALL[..]),
        ".*",
        option::of(any::<(u64, u64)>()),
    )
        .prop_map(|(id, phase, reason, amount)| UpgradeReport {
            id,
            phase,
            reason,
            amount,
        })
}

fn upgrade_order() -> impl Strategy<Value = UpgradeOrder> {
    let to = prop_oneof![
        (digest(), size()).prop_map(|(digest, size)| UpgradeTo::Program { digest, size }),
        Just(UpgradeTo::Previous),
    ];
    (uuid(), to, any::<u32>()).prop_map(|(id, to, within)| UpgradeOrder { id, to, within })
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
        hello().prop_map(|hello| FromComponent::Hello(Box::new(hello))),
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
        (uuid(), any::<u64>(), observed(), ".*").prop_map(|(id, generation, observed, mended)| {
            FromComponent::Changed(Changed {
                placement: PlacementId(id),
                generation,
                observed,
                mended,
            })
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
        upgrade_report().prop_map(FromComponent::Upgrade),
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
        upgrade_order().prop_map(FromCore::Upgrade),
        uuid().prop_map(|id| FromCore::UpgradeNoted { id }),
    ]
}
