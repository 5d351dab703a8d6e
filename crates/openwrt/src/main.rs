//! The network component for OpenWrt: `rhyzome-openwrt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rhyzome_openwrt::agent::main()
}
