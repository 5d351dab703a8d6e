//! A component's program, and putting another one in its place without the host's noticing: what it made
//! there is processes and rules of their own.
//!
//! ```text
//!   installed program ──start──► the record says ──┬─ nothing ──► it runs itself
//!          ▲                                       ├─ a current one ──► exec
//!          │ exec                                  └─ one on trial ──► exec, counted, under an alarm
//!          │                                                 │
//!          └── it could not start, had no session in time ───┤
//!          └── back ◄── the current one from now on ◄── session settled
//! ```
//!
//! What runs a component (systemd, procd, `rhyzome up`) always starts the program that was installed. That
//! one alone decides which is run, by a record beside the programs that the core has sent: so whatever ends,
//! by a crash, a kill or the machine's, the next start goes on from what is written. A package that brings
//! another program than upgrades were made on wins over them.
//!
//! Left out on purpose: what the core notes of it, and supervising a process. A program that hangs is ended by
//! an alarm that the one before has set.

mod candidate;
mod folder;
mod launch;
mod order;
mod record;

pub use launch::{LaunchError, Launched, give_up, go_over, launch, start_installed};
pub use order::Upgrader;
