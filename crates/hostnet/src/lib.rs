//! What a hypervisor and a Linux router both keep on their host: bridges, segments, tunnels, port rules and
//! network namespaces.
//!
//! Everything acts on the network namespace that the calling thread is in; [`Namespace::run`] takes a
//! piece of work into another one. Nothing here decides what should be there: callers say so, and may
//! say it again. What is made carries a [`Mark`], so that it is found again without any record.

pub mod card;
pub mod carrying;
pub mod forwarding;
pub mod link;
pub mod lock;
pub mod mark;
pub mod namespace;
pub mod nft;
pub mod pair;
pub mod ports;
pub mod segment;
pub mod service;
pub mod sysctl;
pub mod tunnel;
pub mod underlay;
pub mod vlan;
pub mod warning;

pub use carrying::Carrying;
pub use link::{Link, LinkError, Links};
pub use mark::Mark;
pub use namespace::{Namespace, NamespaceError};
pub use nft::NftError;
pub use ports::{Port, PortError, Ports};
pub use segment::{Holder, Role, SegmentError};
pub use service::{ServiceError, Services};
pub use tunnel::{TunnelError, Tunnels};
pub use underlay::Underlay;
pub use vlan::{Vlan, VlanError};
pub use warning::host_warnings;
