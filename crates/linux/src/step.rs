//! The steps of the driver's workflows, by name: for people who watch a job, and for tests that end a
//! workflow between any two of them.

use std::sync::Arc;

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Record,
    Namespace,
    Rules,
    Segment,
    Port,
    Addresses,
    Egress,
    Leases,
    Tunnel,
    Dnsmasq,
    Endpoint,
    Peers,
    Verify,
    Finish,
    StopEndpoint,
    StopDnsmasq,
    DropEgress,
    DropPort,
    DropSegment,
    DropNamespace,
    DropRecord,
}

impl Step {
    /// The steps of bringing a network up, in their order.
    pub const UP: [Self; 12] = [
        Self::Record,
        Self::Namespace,
        Self::Rules,
        Self::Segment,
        Self::Port,
        Self::Addresses,
        Self::Egress,
        Self::Dnsmasq,
        Self::Endpoint,
        Self::Peers,
        Self::Verify,
        Self::Finish,
    ];

    /// The steps of taking a network down, in their order.
    pub const DOWN: [Self; 7] = [
        Self::StopEndpoint,
        Self::StopDnsmasq,
        Self::DropEgress,
        Self::DropPort,
        Self::DropSegment,
        Self::DropNamespace,
        Self::DropRecord,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "recording what is asked",
            Self::Namespace => "making the router's namespace",
            Self::Rules => "writing the firewall",
            Self::Segment => "making the segment",
            Self::Port => "plugging the router into the segment",
            Self::Addresses => "giving the router its addresses",
            Self::Egress => "setting up the way out",
            Self::Tunnel => "setting the tunnel to another host",
            Self::Leases => "writing the leases",
            Self::Dnsmasq => "starting DHCP and DNS",
            Self::Endpoint => "starting the WireGuard endpoint",
            Self::Peers => "setting the peers",
            Self::Verify => "looking whether all is there",
            Self::Finish => "marking it as done",
            Self::StopEndpoint => "stopping the WireGuard endpoint",
            Self::StopDnsmasq => "stopping DHCP and DNS",
            Self::DropEgress => "closing the way out",
            Self::DropPort => "unplugging the router",
            Self::DropSegment => "letting go of the segment",
            Self::DropNamespace => "removing the router's namespace",
            Self::DropRecord => "removing the records",
        }
    }
}

/// Asked before each step; where it says true, the workflow ends there as if its process had been killed.
pub type Interrupt = Arc<dyn Fn(Step) -> bool + Send + Sync>;
