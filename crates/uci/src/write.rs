//! Writes a package as libuci does.

use std::fmt::Write;

use crate::package::{Package, Section};

impl Package {
    /// The text of its file in `/etc/config`, as a commit writes it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for section in self.sections() {
            text.push_str(&section_text(section));
        }
        text.push('\n');
        text
    }

    /// What `uci export` writes.
    pub fn export(&self) -> String {
        format!("package {}\n{}", self.name(), self.text())
    }

    /// Whether libuci reads what it writes of this. Where not, the next commit, whoever makes it, changes or
    /// destroys the file: a section's type is written without quotes, whatever is in it.
    pub fn survives_a_commit(&self) -> bool {
        // One by one, since files may be long: a section is read alike wherever it is.
        self.sections().iter().all(|section| {
            let again = Self::read(self.name().clone(), &section_text(section));
            again.is_ok_and(|again| again.sections() == [section.clone()])
        })
    }
}

fn section_text(section: &Section) -> String {
    let mut text = format!("\nconfig {}", escape(section.kind().as_str()));
    if let Some(name) = section.name() {
        let _ = write!(text, " '{name}'");
    }
    text.push('\n');
    for (name, value) in section.options() {
        let command = if value.is_list() { "list" } else { "option" };
        for item in value.items() {
            let _ = writeln!(text, "\t{command} {name} '{}'", escape(item));
        }
    }
    text
}

/// A quote inside single quotes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\'', r"'\''")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn a_package_is_written_as_libuci_does() {
        let mut package = Package::new("network".parse().unwrap());
        let mut lan = Section::named("interface".parse().unwrap(), "lan".parse().unwrap());
        lan.set("proto".parse().unwrap(), Value::one("it's").unwrap());
        lan.set("dns".parse().unwrap(), Value::list(["a b", ""]).unwrap());
        package.add(lan).unwrap();
        let vlan = Section::anonymous("bridge-vlan".parse().unwrap());
        package.add(vlan).unwrap();
        assert_eq!(
            package.export(),
            "package network\n\nconfig interface 'lan'\n\toption proto 'it'\\''s'\n\tlist dns 'a b'\n\
             \tlist dns ''\n\nconfig bridge-vlan\n\n"
        );
        assert!(package.survives_a_commit());
    }

    #[test]
    fn a_type_with_a_quote_is_the_files_end() {
        let name = "x".parse().unwrap();
        let package = Package::read(name, "config \"it's\"\n\toption a b\n").unwrap();
        assert!(!package.survives_a_commit());
    }
}
