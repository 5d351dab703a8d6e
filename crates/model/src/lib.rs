//! The words of Rhyzome as types: ids, names, specs, statuses and the rules that are true of the data
//! alone. No I/O, no clock, no randomness, no async: whoever needs those passes their results in.
//!
//! A resource has a *spec* (what was asked), a *generation* (raised by each change of the spec) and a
//! *status* (derived from what the components reported about its *placements*).

pub mod address;
pub mod audit;
pub mod component;
pub mod console;
pub mod digest;
pub mod event;
pub mod id;
pub mod image;
pub mod instance;
pub mod job;
pub mod lease;
pub mod mac;
pub mod name;
pub mod network;
pub mod peer;
pub mod placement;
pub mod quota;
pub mod resource;
pub mod role;
pub mod segment;
pub mod size;
pub mod ssh_key;
pub mod status;
pub mod template;
pub mod time;
pub mod token;
pub mod upgrade;
pub mod user;
pub mod user_data;

pub use digest::Digest;
pub use id::{
    ApiTokenId, ComponentId, InstanceId, InvitationId, JobId, LeaseId, NetworkId, PeerId,
    PlacementId, ProjectId, SessionId, SshKeyId, UserId,
};
pub use mac::MacAddr;
pub use name::Name;
pub use size::Size;
pub use time::Timestamp;
