//! The guest itself, and what its kernel can do that this crate is for. Needs root.

#![expect(clippy::unwrap_used, reason = "what the tests share are tests, too")]

#[path = "lab/kernel.rs"]
mod kernel;
#[path = "lab/machine.rs"]
mod machine;

use rhyzome_lab::Lab;

static LAB: Lab = Lab::with(&["ip", "bridge", "nft", "wg"]);
