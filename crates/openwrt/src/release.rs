//! Which OpenWrt it is, and which kernel.

use std::os::unix::fs::MetadataExt;

use uuid::Uuid;

use crate::disk;
use crate::system::System;

/// As in `OpenWrt 24.10.8 r28000-d8a0df1c3b`; none where it does not say.
pub(crate) fn read(system: &System) -> Option<String> {
    let text = disk::read(&system.path("/etc/openwrt_release")).ok()??;
    described(&text)
}

fn described(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("DISTRIB_DESCRIPTION="))?;
    Some(line.trim_matches(['\'', '"']).to_owned())
}

/// Names the running kernel and the network namespace: components that say the same share their links.
pub(crate) fn host_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino());
    format!("{}:{namespace}", boot.trim())
}

/// The VM that this is, as its firmware says (SMBIOS): the instance's id, where that is one of ours.
pub(crate) fn machine() -> Option<Uuid> {
    let text = std::fs::read_to_string("/sys/class/dmi/id/product_uuid").ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_as_openwrt_writes_it() {
        let text = "DISTRIB_ID='OpenWrt'\nDISTRIB_DESCRIPTION='OpenWrt 24.10.8 r1-abc'\n";
        assert_eq!(described(text).as_deref(), Some("OpenWrt 24.10.8 r1-abc"));
        assert!(described("").is_none());
    }
}
