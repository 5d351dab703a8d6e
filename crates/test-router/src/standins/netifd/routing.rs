//! Rules of routing: `config rule` and `config rule6`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::super::config::{Options, Package};
use super::kernel::ip;

/// The rules of a package, each as `ip` takes it, with the family before it.
pub fn wanted(package: &Package) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for section in &package.sections {
        let family = match section.kind.as_str() {
            "rule" => "-4",
            "rule6" => "-6",
            _ => continue,
        };
        let mut words = String::new();
        for (option, word) in [
            ("src", "from"),
            ("dest", "to"),
            ("lookup", "lookup"),
            ("priority", "priority"),
        ] {
            if let Some(value) = section.one(option) {
                let _ = write!(words, " {word} {value}");
            }
        }
        found.insert((family, words));
    }
    found
}

pub fn change(before: &BTreeSet<(&'static str, String)>, now: &BTreeSet<(&'static str, String)>) {
    for (family, words) in before.difference(now) {
        ip(&format!("{family} rule del{words}"));
    }
    for (family, words) in now.difference(before) {
        ip(&format!("{family} rule add{words}"));
    }
}
