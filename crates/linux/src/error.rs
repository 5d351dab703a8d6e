//! Why the driver could not do what it was asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rhyzome_component::DriverError;
use rhyzome_hostnet::forwarding::ForwardingError;
use rhyzome_hostnet::lock::LockError;
use rhyzome_hostnet::sysctl::SysctlError;
use rhyzome_hostnet::{LinkError, NamespaceError, NftError, SegmentError, TunnelError, VlanError};
use rhyzome_model::NetworkId;
use rhyzome_model::job::FailureKind;
use rhyzome_model::segment::Segment;
use rhyzome_wireguard::endpoint::{ControlError, SpawnError, StopError};
use rhyzome_wireguard::key::KeyError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    #[error("cannot remove {0}")]
    Remove(PathBuf, #[source] io::Error),
    #[error("the record {0} cannot be understood")]
    Record(PathBuf, #[source] serde_json::Error),
    #[error("the router's namespace")]
    Namespace(#[source] NamespaceError),
    #[error("the router's links")]
    Link(#[source] LinkError),
    #[error(
        "there is a link {0} that is not this component's: it is left alone; rename or remove it"
    )]
    Foreign(String),
    #[error("the router's kernel parameters")]
    Sysctl(#[source] SysctlError),
    #[error("the router's firewall")]
    Rules(#[source] NftError),
    #[error("the network's segment on this host")]
    Segment(#[source] SegmentError),
    #[error("the segment's VLAN")]
    Vlan(#[source] VlanError),
    #[error("{0} cannot be here: set segmentation, and trunk for VLANs")]
    Segmentation(Segment),
    #[error("the segment's tunnel to another host")]
    Tunnel(#[source] TunnelError),
    #[error("the host's forwarding")]
    Forwarding(#[source] ForwardingError),
    #[error("the host's addresses for egress")]
    Lock(#[source] LockError),
    #[error("the pool {0} has no free addresses for another network with egress")]
    PoolFull(ipnet::Ipv4Net),
    #[error("cannot look at the processes of this host")]
    Processes(#[source] io::Error),
    #[error("cannot start dnsmasq (Debian and Ubuntu: dnsmasq-base)")]
    StartDnsmasq(#[source] io::Error),
    #[error("dnsmasq did not start: {0}")]
    Dnsmasq(String),
    #[error("dnsmasq (process {0}) does not end")]
    Immortal(i32),
    #[error("dnsmasq does not answer with the leases that it was just given")]
    Unloaded,
    #[error("cannot ask the network's DNS")]
    Ask(#[source] io::Error),
    #[error("the WireGuard endpoint did not start")]
    Endpoint(#[source] SpawnError),
    #[error("the WireGuard endpoint did not end")]
    EndpointStop(#[source] StopError),
    #[error("the WireGuard endpoint did not acknowledge the peers")]
    Control(#[source] ControlError),
    #[error("{0:?} is no WireGuard public key")]
    Key(String, #[source] KeyError),
    #[error("the peer was refused: {0}")]
    Refused(String),
    #[error("the network {0} is not on this router yet")]
    NoNetwork(NetworkId),
    #[error("{0} is not inside the network's prefix, or is the router's")]
    Outside(std::net::IpAddr),
    #[error("the network is not as it was just made: {0}")]
    NotApplied(String),
    #[error("it is still there: {0}")]
    NotRemoved(String),
    #[error("the workflow was ended before {0}")]
    Interrupted(&'static str),
    /// What was done for several at once failed.
    #[error(transparent)]
    OfAll(Arc<Self>),
    /// By a test.
    #[error(transparent)]
    Injected(DriverError),
    #[error("this component does not make any {0}")]
    Kind(rhyzome_model::placement::PlacementKind),
}

impl Error {
    fn is_permanent(&self) -> bool {
        match self {
            Self::Foreign(_) | Self::Key(..) | Self::Outside(_) | Self::Segmentation(_) => true,
            Self::Segment(e) => e.is_permanent(),
            Self::Tunnel(e) => e.is_permanent(),
            Self::Vlan(e) => e.is_permanent(),
            Self::OfAll(e) => e.is_permanent(),
            Self::Injected(e) => e.kind == FailureKind::Permanent,
            _ => false,
        }
    }

    /// As the job loop needs it.
    pub(crate) fn into_driver(self, what: &str) -> DriverError {
        if matches!(self, Self::Kind(_)) {
            return DriverError::unsupported(self.to_string());
        }
        if self.is_permanent() {
            return DriverError::permanent(what).with_source(self);
        }
        DriverError::transient(what).with_source(self)
    }
}
