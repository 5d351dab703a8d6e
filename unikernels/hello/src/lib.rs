//! What needs no machine under it: reading the command line, ACPI tables, DHCP options and HTTP, telling which frames
//! open connections, and writing the page.
//!
//! Nothing here allocates or does I/O, so all of it is tested on the host. The kernel is `main.rs`.

#![cfg_attr(not(test), no_std)]

pub mod acpi;
pub mod cmdline;
pub mod http;
pub mod opening;
pub mod options;
pub mod page;
pub mod text;
