//! Translation of what is said of a component's program.

use rhyzome_model::Size;
use rhyzome_model::upgrade::{Program, UpgradeOrder, UpgradePhase, UpgradeReport, UpgradeTo};

use crate::invalid::{Invalid, text};
use crate::pb;

impl From<Program> for pb::Program {
    fn from(program: Program) -> Self {
        Self {
            digest: program.digest.to_string(),
            machine: program.machine,
            previous: program.previous.map(|digest| digest.to_string()),
        }
    }
}

impl TryFrom<pb::Program> for Program {
    type Error = Invalid;

    fn try_from(program: pb::Program) -> Result<Self, Invalid> {
        let previous = program.previous.as_deref();
        Ok(Self {
            digest: text("digest", &program.digest)?,
            machine: program.machine,
            previous: previous
                .map(|digest| text("previous", digest))
                .transpose()?,
        })
    }
}

impl From<UpgradeOrder> for pb::UpgradeOrder {
    fn from(order: UpgradeOrder) -> Self {
        use pb::upgrade_order::To;
        Self {
            id: order.id.to_string(),
            to: Some(match order.to {
                UpgradeTo::Program { digest, size } => To::Program(pb::ProgramBytes {
                    digest: digest.to_string(),
                    size: size.as_bytes(),
                }),
                UpgradeTo::Previous => To::Previous(pb::Nothing {}),
            }),
            within: order.within,
        }
    }
}

impl TryFrom<pb::UpgradeOrder> for UpgradeOrder {
    type Error = Invalid;

    fn try_from(order: pb::UpgradeOrder) -> Result<Self, Invalid> {
        use pb::upgrade_order::To;
        let to = match order.to.ok_or_else(|| Invalid::missing("to"))? {
            To::Program(program) => UpgradeTo::Program {
                digest: text("digest", &program.digest).map_err(|e| e.within("program"))?,
                size: Size::bytes(program.size),
            },
            To::Previous(_) => UpgradeTo::Previous,
        };
        Ok(Self {
            id: text("id", &order.id)?,
            to,
            within: order.within,
        })
    }
}

impl From<UpgradeReport> for pb::UpgradeReport {
    fn from(report: UpgradeReport) -> Self {
        let phase = match report.phase {
            UpgradePhase::Asked => pb::UpgradePhase::Asked,
            UpgradePhase::Fetching => pb::UpgradePhase::Fetching,
            UpgradePhase::Checking => pb::UpgradePhase::Checking,
            UpgradePhase::Trying => pb::UpgradePhase::Trying,
            UpgradePhase::Done => pb::UpgradePhase::Done,
            UpgradePhase::Failed => pb::UpgradePhase::Failed,
        };
        Self {
            id: report.id.to_string(),
            phase: phase.into(),
            reason: report.reason,
            amount: report
                .amount
                .map(|(done, whole)| pb::Amount { done, whole }),
        }
    }
}

impl TryFrom<pb::UpgradeReport> for UpgradeReport {
    type Error = Invalid;

    fn try_from(report: pb::UpgradeReport) -> Result<Self, Invalid> {
        Ok(Self {
            id: text("id", &report.id)?,
            phase: phase(report.phase)?,
            reason: report.reason,
            amount: report.amount.map(|amount| (amount.done, amount.whole)),
        })
    }
}

fn phase(value: i32) -> Result<UpgradePhase, Invalid> {
    match pb::UpgradePhase::try_from(value) {
        Ok(pb::UpgradePhase::Asked) => Ok(UpgradePhase::Asked),
        Ok(pb::UpgradePhase::Fetching) => Ok(UpgradePhase::Fetching),
        Ok(pb::UpgradePhase::Checking) => Ok(UpgradePhase::Checking),
        Ok(pb::UpgradePhase::Trying) => Ok(UpgradePhase::Trying),
        Ok(pb::UpgradePhase::Done) => Ok(UpgradePhase::Done),
        Ok(pb::UpgradePhase::Failed) => Ok(UpgradePhase::Failed),
        Ok(pb::UpgradePhase::Unspecified) => Err(Invalid::missing("phase")),
        Err(_) => Err(Invalid::unknown("phase", value)),
    }
}
