//! Prepares official OpenWrt images for x86-64, so that they join a core by themselves: the component's program and its
//! init script, the configuration with the join token, network cards by name, the uplink, and packages that the image
//! lacks, written into the ext4 file system inside the image file. No root, no loop device, no mount.
//!
//! ```text
//!   Opened::open      unpacks a copy, finds the partition with OpenWrt's root and looks at what is there
//!   Opened::ready     refuses whatever cannot come to a working router, with all that is missing
//!   Ready::write      writes, reads back what it has written, and checks the file system
//!   Draft::finish     gives the copy its name; until then there is none
//! ```
//!
//! e2fsprogs' `debugfs`, `e2fsck` and `resize2fs` do the work on the file system ([`Tools`]). `debugfs` says that it did
//! well whatever happened, so nothing of what it is told counts until it has been read back.
//!
//! Left out on purpose: getting an image or a token, speaking with a core, and other file systems.

mod agent;
mod card;
mod configuration;
mod disk;
mod draft;
mod error;
mod files;
mod filesystem;
mod found;
mod needs;
mod open;
mod package;
mod ready;
mod release;
mod service;
mod tools;
mod unpack;
mod watch;

pub use card::{Card, Role};
pub use configuration::{Settings, Uplink};
pub use disk::Table;
pub use draft::Draft;
pub use error::Error;
pub use found::Found;
pub use needs::Missing;
pub use open::Opened;
pub use package::PackageError;
pub use ready::{Done, Ready, Wanted};
pub use service::{archive, check_program};
pub use tools::Tools;
pub use watch::{Listen, Watch};

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
