//! The seed disk: what cloud-init's NoCloud finds by its label, without any network.

use rhyzome_model::instance::InstancePlacement;

use crate::documents;
use crate::iso::{self, File};

/// The bytes of an instance's seed disk. The same instance always has the same.
pub fn seed(told: &InstancePlacement) -> Vec<u8> {
    let meta_data = documents::meta_data(told);
    let network_config = documents::network_config(told);
    let user_data = documents::user_data(told);
    let files = [
        File {
            name: "meta-data",
            short: "META_DAT.;1",
            bytes: meta_data.as_bytes(),
        },
        File {
            name: "network-config",
            short: "NETWORK_.;1",
            bytes: network_config.as_bytes(),
        },
        File {
            name: "user-data",
            short: "USER_DAT.;1",
            bytes: user_data.as_bytes(),
        },
    ];
    iso::write("cidata", &files)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::samples::web;

    #[test]
    fn a_seed_is_found_by_its_label_and_holds_what_the_guest_is_told() {
        let bytes = seed(&web());
        assert_eq!(bytes, seed(&web()));
        assert_eq!(bytes.len() % 2048, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        std::fs::write(&path, &bytes).unwrap();
        // What guests, too, find disks with.
        let found = Command::new("blkid")
            .args(["-p", "-o", "export"])
            .arg(&path)
            .output();
        let found = String::from_utf8(found.unwrap().stdout).unwrap();
        assert!(
            found.contains("\nLABEL=cidata\n") && found.contains("\nTYPE=iso9660\n"),
            "{found}"
        );
        for text in [
            documents::meta_data(&web()),
            documents::network_config(&web()),
            documents::user_data(&web()).to_owned(),
        ] {
            let sector = bytes
                .chunks(2048)
                .find(|sector| sector.starts_with(&text.as_bytes()[..20]));
            assert!(sector.is_some(), "{text}");
        }
    }
}
