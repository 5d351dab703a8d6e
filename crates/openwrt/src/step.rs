//! The steps of the driver's workflows, by name: for people who watch a job, and for tests that end a workflow
//! between any two of them.

use std::sync::Arc;

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

/// Asked before each step; where it says true, the workflow ends there as if its process had been killed.
pub type Interrupt = Arc<dyn Fn(Step) -> bool + Send + Sync>;
