//! The binary `rhyzome`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rhyzome_cli::main()
}
