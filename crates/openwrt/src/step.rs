//! The steps of the driver's workflows, by name: for people who watch a job, and for tests that end a workflow
//! between any two of them.

use std::sync::Arc;

use rhyzome_model::job::FailureKind;

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum Step {
        Look = "looking at the router",
        Plan = "planning the change",
        Snapshot = "keeping the configuration as it is",
        Journal = "noting that the change begins",
        Record = "recording what is asked of the router",
        Revoke = "taking peers off their tunnels",
        Firewall = "writing /etc/config/firewall",
        Network = "writing /etc/config/network",
        Dhcp = "writing /etc/config/dhcp",
        Reload = "having the router reload what changed",
        Verify = "looking whether the router runs as meant",
        Confirm = "looking whether the core can still be reached",
        Finish = "noting that the change is done",
        PutBack = "putting the configuration back",
        ReloadBack = "having the router reload what was put back",
        FinishBack = "noting that the change was put back",
    }
}

impl Step {
    /// The steps of a change that does not fail, in their order.
    pub const CHANGE: [Self; 13] = [
        Self::Look,
        Self::Plan,
        Self::Snapshot,
        Self::Journal,
        Self::Record,
        Self::Revoke,
        Self::Firewall,
        Self::Network,
        Self::Dhcp,
        Self::Reload,
        Self::Verify,
        Self::Confirm,
        Self::Finish,
    ];

    /// The steps of putting one back, in their order.
    pub const BACK: [Self; 3] = [Self::PutBack, Self::ReloadBack, Self::FinishBack];

    /// The step that writes a package's file.
    pub(crate) fn of_package(package: &str) -> Self {
        match package {
            "network" => Self::Network,
            "dhcp" => Self::Dhcp,
            _ => Self::Firewall,
        }
    }
}

/// What a test lets happen before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// The workflow ends there as if its process had been killed.
    Kill,
    /// The step goes wrong.
    Fail(FailureKind),
}

/// Asked before each step.
pub type Interrupt = Arc<dyn Fn(Step) -> Option<Hit> + Send + Sync>;

#[cfg(test)]
mod tests {
    use rhyzome_fault::Step as _;

    use super::*;

    /// What goes through the two lists (`tests/openwrt/kills.rs`) has gone through all there is.
    #[test]
    fn every_step_is_of_a_change_or_of_putting_one_back() {
        let listed = [&Step::CHANGE[..], &Step::BACK].concat();
        assert_eq!(listed, Step::ALL);
    }
}
