//! Resources as the API shows them: what each has in common, and one type a resource, whole and as a
//! row of a list.
//!
//! These are also the JSON shapes: a field's name here is its name on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::component::{ComponentKind, ComponentSpec, HostFacts};
use crate::image::{Blob, ImageFormat, ImageSpec, Tag};
use crate::instance::{Disk, InstanceObserved, InstanceSpec, InstanceState};
use crate::job::{FailureKind, JobState};
use crate::network::NetworkSpec;
use crate::peer::PeerSpec;
use crate::placement::PlacementKind;
use crate::role::Role;
use crate::segment::Segmentation;
use crate::ssh_key::SshKeySpec;
use crate::status::{Condition, Phase};
use crate::upgrade::{Program, Upgrade};
use crate::{Digest, JobId, MacAddr, Name, Size, Timestamp};

/// What every resource has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// The project it belongs to; none for what belongs to the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    pub name: Name,
    /// Raised by each change of the spec.
    pub generation: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    #[serde(flatten)]
    pub meta: Meta,
}

/// A component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    #[serde(flatten)]
    pub meta: Meta,
    pub kind: ComponentKind,
    pub spec: ComponentSpec,
    /// Whether it has a session now.
    pub connected: bool,
    /// Whether it was revoked: it can never connect again.
    pub revoked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Its last sign of life, where that is longer ago than a component may be silent: what is on it is
    /// unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
    /// When its certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The address that its latest session came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "192.0.2.7")]
    pub seen_from: Option<IpAddr>,
    /// The program that it runs; none where the core cannot replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
    /// The latest upgrade that was asked of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    pub facts: HostFacts,
    pub used: Used,
    /// What an operator should look at, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What runs there and what is wanted there, where they differ.
    #[serde(default)]
    pub differing: Differing,
}

/// What a component has yet to make, to change or to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Differing {
    pub total: u32,
    /// The first of them, those that failed before the others: at most 100.
    pub first: Vec<Difference>,
}

/// A resource's part on a component that is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    pub kind: PlacementKind,
    /// None where nobody knows of it, or where the caller may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// Of the resource; of a segment and a tunnel, of their network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The network that it is in, where it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Name>,
    /// Whether it is to be there; to be removed otherwise.
    pub wanted: bool,
    pub reason: String,
    pub message: String,
    pub since: Timestamp,
}

impl Component {
    /// What does not fit together in what is known of it.
    pub fn find_warnings(&self) -> Vec<String> {
        let guess = self.facts.tunnel_address_guessed;
        match (self.facts.tunnel_address, self.seen_from) {
            (Some(end), Some(from)) if guess && end != from => vec![format!(
                "other hosts may not reach its tunnels at {end}: that was guessed, and its session comes from {from}; \
                 set tunnel_address in its configuration to what they reach it at"
            )],
            _ => Vec::new(),
        }
    }
}

/// What is promised to placements on a component, in sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    pub cpus: u32,
    pub memory: Size,
    pub instances: u32,
    pub networks: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    #[serde(flatten)]
    pub meta: Meta,
    pub spec: ImageSpec,
    pub format: ImageFormat,
    pub blob: Blob,
    /// The tags that point at it, in their order.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// A tag: a name that points at an image, and may point at another one later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageTag {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    pub project: Name,
    pub tag: Tag,
    /// Raised each time that it is moved.
    pub generation: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The image that it points at.
    pub image: Name,
    /// What that image's bytes are at present.
    pub digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    #[serde(flatten)]
    pub meta: Meta,
    pub spec: NetworkSpec,
    pub status: NetworkStatus,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkStatus {
    pub phase: Phase,
    pub observed_generation: u64,
    #[schema(value_type = String)]
    pub ipv4: Ipv4Net,
    #[schema(value_type = String)]
    pub ipv6: Ipv6Net,
    #[schema(value_type = String)]
    pub router_ipv4: Ipv4Addr,
    #[schema(value_type = String)]
    pub router_ipv6: Ipv6Addr,
    pub domain: String,
    pub mtu: u16,
    pub segment: NetworkSegment,
    pub router: Name,
    pub endpoint: Endpoint,
    pub conditions: Vec<Condition>,
}

/// What carries a network between its hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkSegment {
    pub kind: Segmentation,
    /// The VLAN (802.1Q), or the number on the wire (VXLAN, RFC 7348).
    pub number: u32,
    /// The router's device that the VLAN is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
}

/// A network's WireGuard endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// `host:port`; none until the router has said its public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub port: u16,
    /// In base64; none until the router has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    #[serde(flatten)]
    pub meta: Meta,
    /// The person whose device it is, where one made it who had logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    pub spec: PeerSpec,
    pub status: PeerStatus,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerStatus {
    pub phase: Phase,
    pub observed_generation: u64,
    #[schema(value_type = String)]
    pub ipv4: Ipv4Addr,
    #[schema(value_type = String)]
    pub ipv6: Ipv6Addr,
    pub networks: Vec<PeerNetwork>,
    pub conditions: Vec<Condition>,
}

/// What a device has to know of a network that it may reach: one `[Peer]` of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerNetwork {
    pub network: Name,
    #[schema(value_type = String)]
    pub ipv4: Ipv4Net,
    #[schema(value_type = String)]
    pub ipv6: Ipv6Net,
    pub mtu: u16,
    pub domain: String,
    #[schema(value_type = String)]
    pub dns: Ipv4Addr,
    pub endpoint: Endpoint,
    /// Whether the endpoint has acknowledged this peer.
    pub ready: bool,
    /// When the core asked the endpoint for the present state, and when the endpoint had applied it.
    pub asked_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    #[serde(flatten)]
    pub meta: Meta,
    pub spec: InstanceSpec,
    pub status: InstanceStatus,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceStatus {
    pub phase: Phase,
    pub observed_generation: u64,
    /// The hypervisor it is on.
    pub host: Name,
    pub image: Digest,
    pub format: ImageFormat,
    /// With its placeholders filled in.
    pub command_line: String,
    /// Its disk, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    pub interfaces: Vec<InstanceInterface>,
    /// What the hypervisor reported last; none before its first report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<InstanceObserved>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceInterface {
    pub network: Name,
    pub mac: MacAddr,
    #[schema(value_type = String)]
    pub ipv4: Ipv4Addr,
    #[schema(value_type = String)]
    pub ipv6: Ipv6Addr,
    pub dns_name: String,
}

/// Why an instance is where it is, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceWhy {
    /// In one sentence.
    pub summary: String,
    /// The hypervisor that was chosen when it was placed and others that were looked at, 16 in all, and what
    /// spoke for or against each.
    pub placing: Vec<HostVerdict>,
    pub conditions: Vec<Condition>,
    /// The jobs that concern it, the latest first.
    pub jobs: Vec<Job>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostVerdict {
    pub host: Name,
    pub chosen: bool,
    pub reason: String,
}

/// An API token. What is shown to prove that one has it is told once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiToken {
    #[serde(flatten)]
    pub meta: Meta,
    pub role: Role,
    /// None where it is good for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// To the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshKey {
    #[serde(flatten)]
    pub meta: Meta,
    pub spec: SshKeySpec,
    /// As `ssh-keygen -l` shows it: `SHA256:…`.
    pub fingerprint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    pub id: JobId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// `ensure`, `remove`, `reboot` or `console_log`.
    pub verb: String,
    pub placement_kind: PlacementKind,
    #[schema(value_type = String, format = "uuid")]
    pub resource_id: Uuid,
    pub resource_name: String,
    pub component: Name,
    pub generation: u64,
    pub state: JobState,
    pub attempts: u32,
    /// The step it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Done and whole of the step, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<(u64, u64)>,
    /// What it waits for, if it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobFailure {
    pub kind: FailureKind,
    pub message: String,
}

/// Rows of lists: what a table shows, nothing that takes a look at other tables' many rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceSummary {
    #[serde(flatten)]
    pub meta: Meta,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<InstanceState>,
    pub host: Name,
    pub image: String,
    pub cpus: u32,
    pub memory: Size,
    /// Its first interface's.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkSummary {
    #[serde(flatten)]
    pub meta: Meta,
    pub phase: Phase,
    #[schema(value_type = String)]
    pub ipv4: Ipv4Net,
    #[schema(value_type = String)]
    pub ipv6: Ipv6Net,
    pub egress: bool,
    pub router: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerSummary {
    #[serde(flatten)]
    pub meta: Meta,
    pub phase: Phase,
    #[schema(value_type = String)]
    pub ipv4: Ipv4Addr,
    pub networks: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageSummary {
    #[serde(flatten)]
    pub meta: Meta,
    pub digest: Digest,
    pub size: Size,
    pub format: ImageFormat,
    /// The tags that point at it, in their order.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentSummary {
    #[serde(flatten)]
    pub meta: Meta,
    pub kind: ComponentKind,
    pub connected: bool,
    pub revoked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
    /// Nothing new is placed on it.
    pub cordoned: bool,
}
