//! What opkg keeps of installed packages: a paragraph of each in one file, and files in a folder.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::Package;
use crate::files::{Entry, Kind};

const INFO: &str = "/usr/lib/opkg/info";

/// Fields that the paragraph takes over from the description, in their order.
const KEPT: [&str; 5] = ["Package", "Version", "Depends", "Provides", "Alternatives"];

impl Package {
    /// The files in opkg's folder: what was installed, the description, the scripts.
    pub(crate) fn records(&self) -> Vec<Entry> {
        let at = |ending: &str| format!("{INFO}/{}.{ending}", self.name());
        let files = self.entries.iter().filter(|entry| !is_folder(entry));
        let list: String = files.map(|entry| format!("{}\n", entry.path)).collect();
        let mut records = vec![Entry::file(&at("list"), 0o644, list)];
        for (name, bytes) in &self.scripts {
            let mode = match name.as_str() {
                "control" | "conffiles" => 0o644,
                _ => 0o755,
            };
            records.push(Entry::file(&at(name), mode, bytes.clone()));
        }
        records
    }

    /// Its own script that runs when it is installed, beside the usual one: nothing runs it here.
    pub(crate) fn has_own_script(&self) -> bool {
        self.scripts.iter().any(|(name, _)| name == "postinst-pkg")
    }

    fn paragraph(&self) -> String {
        let mut text = String::new();
        for field in KEPT {
            if let Some(value) = self.control.get(field) {
                let _ = writeln!(text, "{field}: {value}");
            }
        }
        let architecture = self.control.get("Architecture").unwrap_or_default();
        let _ = writeln!(
            text,
            "Status: install user installed\nArchitecture: {architecture}"
        );
        let configuration = self.configuration();
        if !configuration.is_empty() {
            let _ = writeln!(text, "Conffiles:");
            for (path, digest) in configuration {
                let _ = writeln!(text, " {path} {digest}");
            }
        }
        text
    }

    /// The files that an operator may change, and the SHA-256 that each has now.
    fn configuration(&self) -> Vec<(String, String)> {
        let named = self.scripts.iter().find(|(name, _)| name == "conffiles");
        let text = named.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        let digest = |path: &str| {
            let entry = self.entries.iter().find(|entry| entry.path == path)?;
            match &entry.kind {
                Kind::File { bytes, .. } => Some(hex::encode(Sha256::digest(bytes))),
                _ => None,
            }
        };
        let paths = text.iter().flat_map(|text| text.lines()).map(str::trim);
        paths
            .filter_map(|path| Some((path.to_owned(), digest(path)?)))
            .collect()
    }
}

/// opkg's file with more packages in it.
pub(crate) fn status_with(before: &str, packages: &[Package]) -> String {
    let mut text = before.trim_end().to_owned();
    for package in packages {
        text.push_str("\n\n");
        text.push_str(package.paragraph().trim_end());
    }
    text.push_str("\n\n");
    text
}

/// The links that start the services of a package at boot, as `/etc/init.d/NAME enable` makes them.
pub(crate) fn enabled(package: &Package) -> Vec<Entry> {
    let mut links = Vec::new();
    for entry in &package.entries {
        let (Some(name), Kind::File { bytes, .. }) =
            (entry.path.strip_prefix("/etc/init.d/"), &entry.kind)
        else {
            continue;
        };
        let text = String::from_utf8_lossy(bytes);
        for (letter, variable) in [("S", "START="), ("K", "STOP=")] {
            let order = text.lines().find_map(|line| line.strip_prefix(variable));
            let order = order.map(|order| order.trim_matches(['"', '\'', ' ']));
            if let Some(order) = order.filter(|order| order.parse::<u8>().is_ok()) {
                let path = format!("/etc/rc.d/{letter}{order}{name}");
                links.push(Entry::link(&path, &format!("../init.d/{name}")));
            }
        }
    }
    links
}

fn is_folder(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Folder { .. })
}
