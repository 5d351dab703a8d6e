//! Decisions, computed from data alone: which address, which host, what to repair. No I/O, no clock,
//! no randomness: the same arguments give the same answer, on any machine and at any time.

pub mod allocate;
pub mod place;
pub mod repair;
pub mod route;
