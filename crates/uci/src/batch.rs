//! Changes as lines for `uci batch`.
//!
//! That program ends with 0 and goes on where a line fails: whoever uses it reads back what came of it.

use std::fmt::Write;

use crate::write::escape;
use crate::{Change, PackageName};

/// The lines that make changes in a package, without committing it.
pub fn batch(package: &PackageName, changes: &[Change]) -> String {
    let mut lines = String::new();
    for change in changes {
        let section = format!("{package}.{}", change.section());
        match change {
            Change::SetSection { kind, .. } => {
                let _ = writeln!(lines, "set {section}='{kind}'");
            }
            Change::SetOption { option, value, .. } => {
                // Nothing, where there is nothing before: items would be added to what is there.
                if value.is_list() {
                    let _ = writeln!(lines, "set {section}.{option}=''");
                }
                let command = if value.is_list() { "add_list" } else { "set" };
                for item in value.items() {
                    let _ = writeln!(lines, "{command} {section}.{option}='{}'", escape(item));
                }
            }
            Change::DeleteOption { option, .. } => {
                let _ = writeln!(lines, "delete {section}.{option}");
            }
            Change::DeleteSection { .. } => {
                let _ = writeln!(lines, "delete {section}");
            }
        }
    }
    lines
}
