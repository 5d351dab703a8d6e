//! The stand-ins for OpenWrt's own programs, one program under their names; and two names for the test's side of
//! them, `cage` and `enter`.

mod standins;

use std::process::ExitCode;

fn main() -> ExitCode {
    standins::run(std::env::args().collect())
}
