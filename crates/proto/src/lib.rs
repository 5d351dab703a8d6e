//! The component protocol: the messages of `proto/rhyzome/component/v1`, and their translation into
//! the types of the model.
//!
//! [`pb`] is generated and stops at the edge: whoever receives a message turns it at once into a type
//! of the model or of this crate with `TryFrom`, which names the field that is wrong ([`Invalid`]).
//! Left out on purpose: connections, TLS, and what is done about a message.

mod disk;
pub mod enrollment;
pub mod invalid;
mod observed;
mod placement;
pub mod refusal;
mod resource;
mod segments;
pub mod session;
pub mod version;

/// The generated messages and services.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod pb {
    tonic::include_proto!("rhyzome.component.v1");
}

pub use invalid::{Invalid, Problem};
pub use refusal::Refusal;
pub use version::Version;
