//! What `cargo xtask fuzz` builds: libFuzzer around the target that `RHYZOME_FUZZ` names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rhyzome_fuzz::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("RHYZOME_FUZZ").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    *target.unwrap_or_else(|| panic!("RHYZOME_FUZZ={name:?} names no target"))
});

fuzz_target!(|text: &[u8]| (TARGET.run)(text));
