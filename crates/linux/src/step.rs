//! The steps of the driver's workflows, by name: for people who watch a job, and for tests that end a
//! workflow between any two of them.

use std::sync::Arc;

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum Step {
        Record = "recording what is asked",
        Namespace = "making the router's namespace",
        Rules = "writing the firewall",
        Segment = "making the segment",
        Port = "plugging the router into the segment",
        Addresses = "giving the router its addresses",
        Egress = "setting up the way out",
        Leases = "writing the leases",
        Tunnel = "setting the tunnel to another host",
        Dnsmasq = "starting DHCP and DNS",
        Endpoint = "starting the WireGuard endpoint",
        Peers = "setting the peers",
        Verify = "looking whether all is there",
        Finish = "marking it as done",
        StopEndpoint = "stopping the WireGuard endpoint",
        StopDnsmasq = "stopping DHCP and DNS",
        DropEgress = "closing the way out",
        DropPort = "unplugging the router",
        DropSegment = "letting go of the segment",
        DropNamespace = "removing the router's namespace",
        DropRecord = "removing the records",
    }
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
}

/// Asked before each step; where it says true, the workflow ends there as if its process had been killed.
pub type Interrupt = Arc<dyn Fn(Step) -> bool + Send + Sync>;
