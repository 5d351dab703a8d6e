//! The real libuci and the real `uci`, for tests to compare with. It knows nothing of our own reader.
//!
//! `libuci-sys` brings their sources, of 2021; `build.rs` compiles them, without what is for ubus. Routers have later
//! ones, which differ in two things that tests have to know: an option that is set again keeps its place, and a section
//! that is named a third time goes on like the second, where this one loses it
//! ([`Refusal::is_third_mention`]).

mod library;
mod program;

pub use library::{Package, Refusal, Section, Value, read, read_export};
pub use program::{command, program, run_batch};
