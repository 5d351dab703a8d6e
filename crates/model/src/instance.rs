//! Instances: VMs and unikernels, which are the same thing here.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::image::ImageFormat;
use crate::user_data::{InvalidUserData, UserData};
use crate::{Digest, InstanceId, MacAddr, Name, NetworkId, Size, Timestamp, address};

/// What is asked of an instance. What is left out is chosen by the core and returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// The image, by name, by tag as in `debian:12`, or as `sha256:…`; pinned to its digest when the
    /// instance is created, wherever the name or tag points later.
    pub image: String,
    /// Virtual processors, 1 to 64. A change needs a restart.
    #[serde(default = "one")]
    pub cpus: u32,
    /// Memory, from 16 MiB, in whole MiB. A change needs a restart.
    #[serde(default = "default_memory")]
    pub memory: Size,
    /// The networks it has an interface in, in the order of the interfaces. Cannot be changed later.
    #[serde(default)]
    pub networks: Vec<Name>,
    /// Bridges of the hypervisor's own that it has an interface on, after those of its networks, in this
    /// order: for routers and for what else belongs to the site, not to a project. Nothing that passes there is
    /// filtered. Cannot be changed later.
    #[serde(default)]
    pub bridges: Vec<Attachment>,
    /// For how many network cards there is a slot that are plugged in while it runs: one for each network of a router
    /// whose networks are carried so (`port`); at most 32. Only who may give it bridges may give it these. Cannot be
    /// changed later.
    #[serde(default)]
    pub card_slots: u32,
    /// The kernel's command line; for a unikernel, the arguments of the application too. By default the
    /// image's own; where that is empty, the network settings that the image's family has to be told.
    ///
    /// `{{network_settings}}` stands for the settings of all interfaces in the family's own syntax:
    /// `--ipv4=10.0.0.2/24 --ipv4-gateway=10.0.0.1` for Solo5 (MirageOS), `netdev.ip=…` and `--` for
    /// Unikraft, `ip=…` for Linux, `-ip … -mask … -gateway …` for Hermit, `--ip=eth0,… --defaultgw=…` for
    /// OSv. So `{{network_settings}} --port=80` keeps the settings and adds an argument, and an empty text
    /// gives no settings.
    ///
    /// `{{hostname}}` is the instance's name. `{{ip}} {{prefix}} {{netmask}} {{gateway}} {{dns}} {{mac}}
    /// {{ip6}} {{prefix6}} {{gateway6}} {{network}} {{domain}} {{fqdn}}` are of the first interface, and
    /// `{{ip.1}}` and its like of the second. A change needs a restart.
    #[serde(default)]
    pub command_line: Option<String>,
    /// The size of its disk, in whole MiB up to 16 TiB: that of the image by default, or larger. It grows
    /// later, at once where the guest runs, which enlarges its own partitions and file systems, and otherwise at
    /// the next start; it never shrinks. An instance of a kernel has a disk only if one is asked for: an empty one.
    #[serde(default)]
    pub disk: Option<Size>,
    /// The firmware that boots its disk; by default one that the image has a boot loader for. A change
    /// needs a restart.
    #[serde(default)]
    pub firmware: Option<Firmware>,
    /// Whether it should run.
    #[serde(default)]
    pub power: Power,
    /// What happens when it ends by itself.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// How long a stop waits for the guest before it is forced, in seconds: 0 to 600.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout: u32,
    /// The hypervisor it has to be on; by default one that the core chooses. Cannot be changed later.
    #[serde(default)]
    pub host: Option<Name>,
    /// Labels that its hypervisor has to have. Cannot be changed later.
    #[serde(default)]
    pub require: BTreeMap<String, String>,
    /// A word for instances of the project that have to be on one hypervisor together. Cannot be changed
    /// later.
    #[serde(default)]
    pub affinity: Option<Name>,
    /// A word for instances of the project of which no two may be on one hypervisor. Cannot be changed
    /// later.
    #[serde(default)]
    pub anti_affinity: Option<Name>,
    /// What the guest's cloud-init is to do: `#cloud-config`, a script, MIME multi-part, `#include`, or a
    /// JSON object; at most 64 KiB. The metadata service has a change at once, the seed disk at the
    /// next start: an instance of a disk image says then that it needs a restart. What cloud-init does
    /// once for an instance it does not do again.
    #[serde(default)]
    pub user_data: Option<UserData>,
    /// The project's SSH keys that the guest is told of, by name; by default all that the project has
    /// when the instance is created. Later changes of the project's keys do not reach the instance
    /// until its own are set again. They are told as the user data is.
    #[serde(default)]
    pub ssh_keys: Option<Vec<Name>>,
    /// Whether the metadata service at 169.254.169.254 answers the guest, and whom.
    #[serde(default)]
    pub metadata: MetadataAccess,
}

/// An interface on a bridge of the hypervisor's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// What the hypervisor's configuration calls the bridge, such as `uplink` or `trunk`.
    pub bridge: Name,
    /// The interface's Ethernet address; by default one that the core chooses.
    #[schema(value_type = Option<String>, example = "52:54:00:12:34:56")]
    #[serde(default)]
    pub mac: Option<MacAddr>,
}

/// The most interfaces of an instance: those of its networks and those on bridges each.
const MAX_INTERFACES: usize = 8;

/// The most slots for network cards that are plugged in while an instance runs.
pub const MAX_CARD_SLOTS: u32 = 32;

/// The largest disk of an instance, in bytes.
pub const MAX_DISK: u64 = 16 << 40;

fn is_none(slots: &u32) -> bool {
    *slots == 0
}

fn one() -> u32 {
    1
}

fn default_memory() -> Size {
    Size::mib(128)
}

fn default_stop_timeout() -> u32 {
    20
}

/// What starts a disk's boot loader.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    Bios,
    /// Without secure boot.
    Uefi,
}

impl Firmware {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    #[default]
    Running,
    Stopped,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// It stays ended, and its status says why.
    Never,
    /// Started again, with growing pauses, if it crashed; left ended if it shut itself down.
    #[default]
    OnFailure,
    /// Started again, with growing pauses, however it ended.
    Always,
}

/// To whom inside the guest the metadata service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetadataAccess {
    /// Who has asked for a token with a PUT first (IMDSv2): a program in the guest that can be made to
    /// fetch addresses for strangers gives nothing away.
    #[default]
    TokenRequired,
    /// Also who has no token, for programs that do not know of them.
    TokenOptional,
    /// Nobody: there is only the seed disk.
    Off,
}

/// The most SSH keys that an instance is told of.
pub const MAX_SSH_KEYS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstance {
    #[error("{0} processors: 1 to 64 are possible")]
    Cpus(u32),
    #[error("{0} of memory: from 16MiB to 1TiB, in whole MiB, is possible")]
    Memory(Size),
    #[error("a disk of {0}: from 1MiB to 16TiB, in whole MiB, is possible")]
    Disk(Size),
    #[error("a stop timeout of {0} s: 0 to 600 is possible")]
    StopTimeout(u32),
    #[error("{0} networks: at most {MAX_INTERFACES} are possible")]
    TooManyNetworks(usize),
    #[error("the network {0} is named twice")]
    NetworkTwice(Name),
    #[error("{0} bridges: at most {MAX_INTERFACES} are possible")]
    TooManyBridges(usize),
    #[error("the bridge {0} is named twice")]
    BridgeTwice(Name),
    #[error("{0} is given to two interfaces")]
    MacTwice(MacAddr),
    #[error("slots for {0} network cards: at most {MAX_CARD_SLOTS} are possible")]
    TooManyCards(u32),
    #[error(transparent)]
    CommandLine(#[from] crate::template::InvalidTemplate),
    #[error(transparent)]
    UserData(#[from] InvalidUserData),
    #[error("{0} SSH keys: at most {MAX_SSH_KEYS} are possible")]
    TooManySshKeys(usize),
    #[error("the SSH key {0} is named twice")]
    SshKeyTwice(Name),
}

impl InvalidInstance {
    /// The field of [`InstanceSpec`] that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Cpus(_) => "cpus",
            Self::Memory(_) => "memory",
            Self::Disk(_) => "disk",
            Self::StopTimeout(_) => "stop_timeout",
            Self::TooManyNetworks(_) | Self::NetworkTwice(_) => "networks",
            Self::TooManyBridges(_) | Self::BridgeTwice(_) | Self::MacTwice(_) => "bridges",
            Self::TooManyCards(_) => "card_slots",
            Self::CommandLine(_) => "command_line",
            Self::UserData(_) => "user_data",
            Self::TooManySshKeys(_) | Self::SshKeyTwice(_) => "ssh_keys",
        }
    }
}

impl InstanceSpec {
    /// The size of the disk of an instance of an image: as it was asked for, or as the image is.
    pub fn disk_size(&self, format: &ImageFormat) -> Option<Size> {
        match format {
            ImageFormat::Disk { size, .. } => Some(self.disk.unwrap_or(*size)),
            _ => self.disk,
        }
    }

    /// What can be said of a spec without knowing anything else.
    pub fn validate(&self) -> Result<(), InvalidInstance> {
        if !(1..=64).contains(&self.cpus) {
            return Err(InvalidInstance::Cpus(self.cpus));
        }
        let memory = self.memory.as_bytes();
        if !(16 << 20..=1 << 40).contains(&memory) || !memory.is_multiple_of(1 << 20) {
            return Err(InvalidInstance::Memory(self.memory));
        }
        if let Some(disk) = self.disk
            && (!(1 << 20..=MAX_DISK).contains(&disk.as_bytes())
                || !disk.as_bytes().is_multiple_of(1 << 20))
        {
            return Err(InvalidInstance::Disk(disk));
        }
        if self.stop_timeout > 600 {
            return Err(InvalidInstance::StopTimeout(self.stop_timeout));
        }
        if self.networks.len() > MAX_INTERFACES {
            return Err(InvalidInstance::TooManyNetworks(self.networks.len()));
        }
        for (index, network) in self.networks.iter().enumerate() {
            if self.networks[..index].contains(network) {
                return Err(InvalidInstance::NetworkTwice(network.clone()));
            }
        }
        self.check_bridges()?;
        if self.card_slots > MAX_CARD_SLOTS {
            return Err(InvalidInstance::TooManyCards(self.card_slots));
        }
        if let Some(text) = &self.command_line {
            crate::template::check(text)?;
        }
        if let Some(user_data) = &self.user_data {
            user_data.check()?;
        }
        self.check_ssh_keys()
    }

    fn check_bridges(&self) -> Result<(), InvalidInstance> {
        if self.bridges.len() > MAX_INTERFACES {
            return Err(InvalidInstance::TooManyBridges(self.bridges.len()));
        }
        for (index, Attachment { bridge, mac }) in self.bridges.iter().enumerate() {
            let before = &self.bridges[..index];
            if before.iter().any(|other| other.bridge == *bridge) {
                return Err(InvalidInstance::BridgeTwice(bridge.clone()));
            }
            if let Some(mac) = *mac
                && before.iter().any(|other| other.mac == Some(mac))
            {
                return Err(InvalidInstance::MacTwice(mac));
            }
        }
        Ok(())
    }

    fn check_ssh_keys(&self) -> Result<(), InvalidInstance> {
        let keys = self.ssh_keys.as_deref().unwrap_or_default();
        if keys.len() > MAX_SSH_KEYS {
            return Err(InvalidInstance::TooManySshKeys(keys.len()));
        }
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].contains(key) {
                return Err(InvalidInstance::SshKeyTwice(key.clone()));
            }
        }
        Ok(())
    }
}

/// An instance as its hypervisor is told to keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePlacement {
    pub instance: InstanceId,
    pub project: Name,
    pub name: Name,
    pub cpus: u32,
    pub memory: Size,
    pub image: ImagePin,
    /// The initial RAM disk, where the image has one.
    pub initrd: Option<BlobPin>,
    /// The kernel's command line, filled in.
    pub command_line: String,
    /// Its disk: made from the image where that is one, otherwise empty.
    pub disk: Option<Disk>,
    pub interfaces: Vec<Interface>,
    /// Its interfaces on the host's own bridges, after the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridges: Vec<BridgeInterface>,
    /// For how many network cards there is a slot that are plugged in while it runs.
    #[serde(default, skip_serializing_if = "is_none")]
    pub card_slots: u32,
    pub power: Power,
    pub restart: RestartPolicy,
    /// Seconds.
    pub stop_timeout: u32,
    pub guest: Guest,
}

/// What a guest is told of itself, by its seed disk and by the metadata service, besides its id, its name
/// (which is its host name) and its interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Its name in its first network's domain; the bare name without a network.
    pub fqdn: String,
    /// Lines as in `authorized_keys`.
    pub ssh_keys: Vec<String>,
    pub user_data: Option<UserData>,
    pub metadata: MetadataAccess,
}

/// The exact bytes that an instance boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePin {
    pub blob: BlobPin,
    pub format: ImageFormat,
}

/// Bytes by their digest and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPin {
    pub digest: Digest,
    pub size: Size,
}

/// An instance's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    pub size: Size,
    /// What boots it; none where a kernel is booted instead.
    pub firmware: Option<Firmware>,
}

/// An instance's interface with all that its hypervisor needs: the tap is
/// [`tap_name`](crate::network::tap_name), on the bridge [`bridge_name`](crate::network::bridge_name).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub network: NetworkId,
    pub mac: MacAddr,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
    pub mtu: u16,
    pub network_name: Name,
    /// The network's prefixes. Its router has the first address of each and is its resolver.
    pub subnet4: Ipv4Net,
    pub subnet6: Ipv6Net,
    /// The network's DNS domain, which names are searched in.
    pub domain: String,
    /// Whether the network had a way out when this was told.
    pub egress: bool,
    /// Where the members' devices are; reached through the router.
    pub peers_ipv4: Ipv4Net,
    pub peers_ipv6: Ipv6Net,
}

/// An instance's interface on a bridge of its host's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeInterface {
    /// What the hypervisor's configuration calls the bridge.
    pub bridge: Name,
    pub mac: MacAddr,
}

impl Interface {
    /// The router of its network, which is its resolver too.
    pub fn gateway4(&self) -> Ipv4Addr {
        address::router_ipv4(self.subnet4)
    }

    pub fn gateway6(&self) -> Ipv6Addr {
        address::router_ipv6(self.subnet6)
    }
}

/// What a hypervisor reports of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceObserved {
    pub state: InstanceState,
    /// How it came to be in this state, in a sentence: how it ended, with the console's last lines.
    pub reason: String,
    /// When it came to be in this state.
    pub since: Timestamp,
    /// How often it was started again by the restart policy since its spec last changed.
    pub restarts: u32,
    /// Whether what runs is older than the spec in something that only a restart changes.
    pub needs_restart: bool,
    /// `kvm` or `qemu`.
    pub accelerator: String,
    /// What its console said of its SSH server at its first boot. Kept until it is created anew, whatever
    /// a hypervisor says later.
    #[serde(default, skip_serializing_if = "SshIdentity::is_unknown")]
    pub ssh: SshIdentity,
}

/// Whom to find at an instance's SSH port, as cloud-init prints it on the console at the first boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshIdentity {
    /// The server's public keys: type and base64, without a comment.
    #[serde(default)]
    pub host_keys: Vec<String>,
    /// The user that may log in with the project's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl SshIdentity {
    pub fn is_unknown(&self) -> bool {
        self.host_keys.is_empty()
    }
}

/// ```text
///   stopped ──start──► running ──stop asked, guest obeyed or forced──► stopped
///                       │   ▲
///        ended by itself│   │restart policy, start
///                       ▼   │
///              ended (shut down) · crashed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    Running,
    /// As asked.
    Stopped,
    /// Shut itself down.
    Ended,
    /// Ended in a way that was no shutdown.
    Crashed,
}

impl InstanceState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
            Self::Crashed => "crashed",
        }
    }
}
