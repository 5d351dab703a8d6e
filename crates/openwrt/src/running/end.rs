//! Where the kernel sends what is for a MAC of a VXLAN, by the command `bridge`, which the package `ip-bridge` brings.
//! OpenWrt's own script for such interfaces needs it, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::LookError;
use crate::system::{CommandError, System};

/// A MAC, and the other end behind which it is; [`ALL`] for what is for all.
pub(crate) type End = (String, IpAddr);

/// No MAC of anybody's.
pub(crate) const ALL: &str = "00:00:00:00:00:00";

/// By device; none where there is no such command.
pub(crate) type Ends = Option<BTreeMap<String, BTreeSet<End>>>;

/// What a shell, and what enters a router, end with where there is no such program.
const NOT_FOUND: i32 = 127;

pub(super) async fn look(system: &System) -> Result<Ends, LookError> {
    match system.run("bridge", &["fdb", "show"]).await {
        Err(CommandError::Start(..)) => Ok(None),
        Ok(output) if output.code == Some(NOT_FOUND) => Ok(None),
        shown => Ok(Some(read(&shown?.good()?))),
    }
}

/// `00:00:00:00:00:00 dev rz_x1_vx dst 192.0.2.9 self permanent`
fn read(text: &str) -> BTreeMap<String, BTreeSet<End>> {
    let mut ends: BTreeMap<String, BTreeSet<End>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|found| *found == word)?;
            words.get(at + 1).copied()
        };
        let address = after("dst").and_then(|address| address.parse().ok());
        if let (Some(mac), Some(device), Some(address)) = (words.first(), after("dev"), address) {
            let end = ((*mac).to_owned(), address);
            ends.entry(device.to_owned()).or_default().insert(end);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_and_what_has_none_is_left_out() {
        let text = "33:33:00:00:00:01 dev eth0 self permanent\n\
                    00:00:00:00:00:00 dev rz_x1_vx dst 192.0.2.9 self permanent\n\
                    52:54:00:00:00:01 dev rz_x1_vx dst fd00::9 self permanent\n";
        let read = read(text);
        assert_eq!(read.len(), 1);
        let ends = &read["rz_x1_vx"];
        assert!(ends.contains(&(ALL.to_owned(), [192, 0, 2, 9].into())));
        assert_eq!(ends.len(), 2);
    }
}
