//! What a package's file says, as libuci reads it.

use std::fs;

pub use rhyzome_uci_reference::{Package, Section, Value};

/// Reads a package. Nothing where there is no file, or libuci does not read it.
pub fn read(package: &str) -> Option<Package> {
    let text = fs::read_to_string(format!("/etc/config/{package}")).ok()?;
    if text.trim().is_empty() {
        return Some(Package {
            name: package.to_owned(),
            sections: Vec::new(),
            text: String::new(),
        });
    }
    rhyzome_uci_reference::read(package, &text).ok()
}

/// Options of a section.
pub trait Options {
    /// The text of an option, or the first item of a list.
    fn one(&self, option: &str) -> Option<&str>;
    /// The items of a list; an option's words.
    fn list(&self, option: &str) -> Vec<&str>;
    fn flag(&self, option: &str, default: bool) -> bool;
}

impl Options for Section {
    fn one(&self, option: &str) -> Option<&str> {
        self.list(option).first().copied()
    }

    fn list(&self, option: &str) -> Vec<&str> {
        let found = self.options.iter().find(|(name, _)| name == option);
        match found.map(|(_, value)| value) {
            None => Vec::new(),
            Some(Value::One(text)) => text.split_whitespace().collect(),
            Some(Value::List(items)) => items.iter().map(String::as_str).collect(),
        }
    }

    fn flag(&self, option: &str, default: bool) -> bool {
        match self.one(option) {
            Some("1" | "yes" | "on" | "true" | "enabled") => true,
            Some("0" | "no" | "off" | "false" | "disabled") => false,
            _ => default,
        }
    }
}
