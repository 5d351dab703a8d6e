//! Translation of what a component says.

use rhyzome_model::Size;
use rhyzome_model::Timestamp;
use rhyzome_model::component::HostFacts;
use rhyzome_model::job::{FailureKind, Outcome};
use rhyzome_model::placement::PlacementKind;

use super::{Changed, FromComponent, Hello, JobOutcome, JobProgress, LedgerCounts};
use crate::disk::firmware;
use crate::invalid::{Invalid, inner, list, narrow, optional, text};
use crate::pb;
use crate::pb::from_component::Message;
use crate::placement::placement_kind;
use crate::segments;

impl From<FromComponent> for pb::FromComponent {
    fn from(message: FromComponent) -> Self {
        let message = match message {
            FromComponent::Hello(hello) => Message::Hello((*hello).into()),
            FromComponent::Inventory { found, last } => Message::Inventory(pb::Inventory {
                found: found.into_iter().map(Into::into).collect(),
                last,
            }),
            FromComponent::Progress(progress) => Message::Progress(progress.into()),
            FromComponent::Outcome(outcome) => Message::Outcome(outcome.into()),
            FromComponent::Changed(changed) => Message::Changed(changed.into()),
            FromComponent::Heartbeat { time, ledger } => Message::Heartbeat(pb::Heartbeat {
                time: time.as_millis(),
                ledger: Some(pb::LedgerCounts {
                    accepted: ledger.accepted,
                    ensured: ledger.ensured,
                    removing: ledger.removing,
                }),
            }),
            FromComponent::Upgrade(report) => Message::Upgrade(report.into()),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<pb::FromComponent> for FromComponent {
    type Error = Invalid;

    fn try_from(message: pb::FromComponent) -> Result<Self, Invalid> {
        Ok(
            match message.message.ok_or_else(|| Invalid::missing("message"))? {
                Message::Hello(hello) => Self::Hello(Box::new(inner("hello", Some(hello))?)),
                Message::Inventory(inventory) => Self::Inventory {
                    found: list("found", inventory.found).map_err(|e| e.within("inventory"))?,
                    last: inventory.last,
                },
                Message::Progress(progress) => Self::Progress(inner("progress", Some(progress))?),
                Message::Outcome(outcome) => Self::Outcome(inner("outcome", Some(outcome))?),
                Message::Changed(changed) => Self::Changed(inner("changed", Some(changed))?),
                Message::Heartbeat(heartbeat) => Self::Heartbeat {
                    time: Timestamp::from_millis(heartbeat.time),
                    ledger: heartbeat.ledger.map(Into::into).unwrap_or_default(),
                },
                Message::Upgrade(report) => Self::Upgrade(inner("upgrade", Some(report))?),
            },
        )
    }
}

impl From<Changed> for pb::Changed {
    fn from(changed: Changed) -> Self {
        Self {
            placement: changed.placement.to_string(),
            generation: changed.generation,
            observed: Some(changed.observed.into()),
            mended: changed.mended,
        }
    }
}

impl TryFrom<pb::Changed> for Changed {
    type Error = Invalid;

    fn try_from(changed: pb::Changed) -> Result<Self, Invalid> {
        Ok(Self {
            placement: text("placement", &changed.placement)?,
            generation: changed.generation,
            observed: inner("observed", changed.observed)?,
            mended: changed.mended,
        })
    }
}

impl From<pb::LedgerCounts> for LedgerCounts {
    fn from(counts: pb::LedgerCounts) -> Self {
        Self {
            accepted: counts.accepted,
            ensured: counts.ensured,
            removing: counts.removing,
        }
    }
}

impl From<Hello> for pb::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            protocol: Some(hello.protocol.into()),
            software_version: hello.software_version,
            kinds: hello
                .kinds
                .into_iter()
                .map(|kind| pb::PlacementKind::from(kind).into())
                .collect(),
            capabilities: hello.capabilities,
            facts: Some(hello.facts.into()),
            epoch: hello.epoch.to_string(),
            program: hello.program.map(|program| (*program).into()),
            upgrade: hello.upgrade.map(|report| (*report).into()),
            jobs_at_once: hello.jobs_at_once,
        }
    }
}

impl TryFrom<pb::Hello> for Hello {
    type Error = Invalid;

    fn try_from(hello: pb::Hello) -> Result<Self, Invalid> {
        Ok(Self {
            protocol: hello
                .protocol
                .ok_or_else(|| Invalid::missing("protocol"))?
                .into(),
            software_version: hello.software_version,
            // A component of another version may know more kinds; the version decides about it.
            kinds: hello.kinds.into_iter().filter_map(known_kind).collect(),
            capabilities: hello.capabilities,
            facts: inner("facts", hello.facts)?,
            epoch: text("epoch", &hello.epoch)?,
            program: maybe_inner("program", hello.program)?.map(Box::new),
            upgrade: maybe_inner("upgrade", hello.upgrade)?.map(Box::new),
            jobs_at_once: hello.jobs_at_once,
        })
    }
}

/// A message within another one that may be missing.
fn maybe_inner<T, U: TryFrom<T, Error = Invalid>>(
    field: &'static str,
    message: Option<T>,
) -> Result<Option<U>, Invalid> {
    let read = message.map(|message| inner(field, Some(message)));
    read.transpose()
}

fn known_kind(value: i32) -> Option<PlacementKind> {
    placement_kind("kinds", value).ok()
}

impl From<HostFacts> for pb::HostFacts {
    fn from(facts: HostFacts) -> Self {
        Self {
            hostname: facts.hostname,
            host: facts.host,
            cpus: facts.cpus,
            memory: facts.memory.as_bytes(),
            public_address: facts.public_address,
            endpoint_ports: facts.endpoint_ports.map(|(first, last)| pb::PortRange {
                first: first.into(),
                last: last.into(),
            }),
            mtu: facts.mtu.map(Into::into),
            firmware: facts
                .firmware
                .into_iter()
                .map(|firmware| pb::Firmware::from(firmware).into())
                .collect(),
            bridges: facts.bridges.into_iter().map(Into::into).collect(),
            details: facts.details,
            tunnel_address: facts.tunnel_address.map(|address| address.to_string()),
            tunnel_address_guessed: facts.tunnel_address_guessed,
            segmentations: Some(segments::segmentations(&facts.segmentations)),
            trunk: facts.trunk.map(Into::into),
            machine: facts.machine.map(|machine| machine.to_string()),
            one_routing_domain: !facts.overlapping_prefixes,
        }
    }
}

impl TryFrom<pb::HostFacts> for HostFacts {
    type Error = Invalid;

    fn try_from(facts: pb::HostFacts) -> Result<Self, Invalid> {
        let ports = facts
            .endpoint_ports
            .map(|range| {
                let first = narrow("first", range.first, u16::MAX)?;
                Ok((first, narrow("last", range.last, u16::MAX)?))
            })
            .transpose()
            .map_err(|error: Invalid| error.within("endpoint_ports"))?;
        Ok(Self {
            hostname: facts.hostname,
            host: facts.host,
            cpus: facts.cpus,
            memory: Size::bytes(facts.memory),
            public_address: facts.public_address,
            endpoint_ports: ports,
            mtu: facts
                .mtu
                .map(|mtu| narrow("mtu", mtu, u16::MAX))
                .transpose()?,
            firmware: facts
                .firmware
                .into_iter()
                .filter_map(|value| firmware(value).ok())
                .collect(),
            bridges: facts
                .bridges
                .iter()
                .map(|name| text("bridges", name))
                .collect::<Result<_, _>>()?,
            details: facts.details,
            tunnel_address: facts
                .tunnel_address
                .map(|address| text("tunnel_address", &address))
                .transpose()?,
            tunnel_address_guessed: facts.tunnel_address_guessed,
            segmentations: match facts.segmentations {
                Some(told) => segments::known(&told),
                None => HostFacts::default().segmentations,
            },
            trunk: optional("trunk", facts.trunk)?,
            machine: facts
                .machine
                .map(|machine| text("machine", &machine))
                .transpose()?,
            overlapping_prefixes: !facts.one_routing_domain,
        })
    }
}

impl From<JobProgress> for pb::Progress {
    fn from(progress: JobProgress) -> Self {
        Self {
            job: progress.job.to_string(),
            fence: progress.fence,
            step: progress.step,
            amount: progress
                .amount
                .map(|(done, whole)| pb::Amount { done, whole }),
        }
    }
}

impl TryFrom<pb::Progress> for JobProgress {
    type Error = Invalid;

    fn try_from(progress: pb::Progress) -> Result<Self, Invalid> {
        Ok(Self {
            job: text("job", &progress.job)?,
            fence: progress.fence,
            step: progress.step,
            amount: progress.amount.map(|amount| (amount.done, amount.whole)),
        })
    }
}

impl From<JobOutcome> for pb::JobOutcome {
    fn from(ended: JobOutcome) -> Self {
        use pb::job_outcome::Result as Wire;
        let result = match ended.outcome {
            Outcome::Ensured { observed } => Wire::Ensured(observed.into()),
            Outcome::Removed => Wire::Removed(pb::Nothing {}),
            Outcome::Acted { output } => Wire::Acted(output),
            Outcome::Failed { kind, message } => Wire::Failed(pb::Failure {
                kind: match kind {
                    FailureKind::Transient => pb::FailureKind::Transient,
                    FailureKind::Permanent => pb::FailureKind::Permanent,
                    FailureKind::Unsupported => pb::FailureKind::Unsupported,
                }
                .into(),
                message,
            }),
        };
        Self {
            job: ended.job.to_string(),
            fence: ended.fence,
            result: Some(result),
        }
    }
}

impl TryFrom<pb::JobOutcome> for JobOutcome {
    type Error = Invalid;

    fn try_from(ended: pb::JobOutcome) -> Result<Self, Invalid> {
        use pb::job_outcome::Result as Wire;
        let outcome = match ended.result.ok_or_else(|| Invalid::missing("result"))? {
            Wire::Ensured(observed) => Outcome::Ensured {
                observed: inner("ensured", Some(observed))?,
            },
            Wire::Removed(_) => Outcome::Removed,
            Wire::Acted(output) => Outcome::Acted { output },
            Wire::Failed(failure) => Outcome::Failed {
                kind: failure_kind(failure.kind).map_err(|error| error.within("failed"))?,
                message: failure.message,
            },
        };
        Ok(Self {
            job: text("job", &ended.job)?,
            fence: ended.fence,
            outcome,
        })
    }
}

fn failure_kind(value: i32) -> Result<FailureKind, Invalid> {
    match pb::FailureKind::try_from(value) {
        Ok(pb::FailureKind::Transient) => Ok(FailureKind::Transient),
        Ok(pb::FailureKind::Permanent) => Ok(FailureKind::Permanent),
        Ok(pb::FailureKind::Unsupported) => Ok(FailureKind::Unsupported),
        Ok(pb::FailureKind::Unspecified) => Err(Invalid::missing("kind")),
        Err(_) => Err(Invalid::unknown("kind", value)),
    }
}
