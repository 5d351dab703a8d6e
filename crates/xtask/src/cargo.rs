//! cargo, as somebody at a terminal would call it.

use std::path::Path;
use std::process::Command;

/// Without what `cargo run` has told this program about itself: build scripts that look at it (ring's, for one) would
/// take all for changed, and be run again, each time that cargo is called from here and then from a terminal.
pub fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}
