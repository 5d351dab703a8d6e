//! What `uci show` writes, and reading it.
//!
//! ```text
//!   network.lan=interface
//!   network.lan.dns='192.0.2.1' '192.0.2.2'
//!   network.@bridge-vlan[0]=bridge-vlan
//! ```
//!
//! It says less than `uci export`: a list of one item looks like a text, and is read as one. Types with a dot,
//! an equals sign or a bracket in them could not be told from what is around them, and are refused.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::package::{Package, Section};
use crate::write::escape;
use crate::{Name, PackageName, ReadError, SectionType, Value, What};

impl Package {
    /// What `uci show` writes of it.
    pub fn show(&self) -> String {
        let (mut text, mut counts) = (String::new(), BTreeMap::new());
        for section in self.sections() {
            let (kind, count) = (section.kind(), counts.entry(section.kind()).or_insert(0));
            let reference = match section.name() {
                Some(name) => format!("{}.{name}", self.name()),
                None => format!("{}.@{kind}[{count}]", self.name()),
            };
            *count += 1;
            let _ = writeln!(text, "{reference}={kind}");
            for (name, value) in section.options() {
                let items: Vec<String> = value
                    .items()
                    .iter()
                    .map(|item| format!("'{}'", escape(item)))
                    .collect();
                let _ = writeln!(text, "{reference}.{name}={}", items.join(" "));
            }
        }
        text
    }

    /// Reads what `uci show` writes of one package or several; those without sections are not in it.
    ///
    /// # Errors
    /// Any other text.
    pub fn read_show(text: &str) -> Result<Vec<Self>, ReadError> {
        let mut reader = Reader {
            unread: text,
            line: 1,
            packages: Vec::new(),
            reference: String::new(),
        };
        while !reader.unread.is_empty() {
            reader.entry()?;
        }
        Ok(reader.packages)
    }
}

struct Reader<'a> {
    unread: &'a str,
    line: usize,
    packages: Vec<Package>,
    /// How the last section is called in its options.
    reference: String,
}

impl Reader<'_> {
    fn wrong(&self) -> ReadError {
        let line = self.unread.lines().next().unwrap_or_default();
        ReadError {
            line: self.line,
            what: What::Shown(line.to_owned()),
        }
    }

    fn entry(&mut self) -> Result<(), ReadError> {
        let wrong = self.wrong();
        let (key, rest) = self.unread.split_once('=').ok_or_else(|| wrong.clone())?;
        if rest.starts_with('\'') {
            let (items, length) = quoted(rest).ok_or_else(|| wrong.clone())?;
            let done = self.option(key, items);
            self.skip(key.len() + 1 + length);
            return done.ok_or(wrong);
        }
        let kind = rest.lines().next().unwrap_or_default();
        let done = self.section(key, kind);
        self.skip(key.len() + 1 + kind.len() + 1);
        done.ok_or(wrong)
    }

    fn skip(&mut self, length: usize) {
        let (read, unread) = self.unread.split_at(length.min(self.unread.len()));
        self.line += read.matches('\n').count();
        self.unread = unread;
    }

    fn section(&mut self, key: &str, kind: &str) -> Option<()> {
        let (package, name) = key.split_once('.')?;
        let package: PackageName = package.parse().ok()?;
        if kind.contains(['.', '=', '[', ']']) {
            return None;
        }
        let kind: SectionType = kind.parse().ok()?;
        if self.packages.last().is_none_or(|p| *p.name() != package) {
            if self.packages.iter().any(|p| *p.name() == package) {
                return None;
            }
            self.packages.push(Package::new(package));
        }
        let package = self.packages.last_mut()?;
        let section = match name.strip_prefix('@') {
            None => Section::named(kind, name.parse().ok()?),
            Some(indexed) => {
                let index = package.of_type(kind.as_str()).count();
                (indexed == format!("{kind}[{index}]")).then_some(())?;
                Section::anonymous(kind)
            }
        };
        package.add(section).ok()?;
        self.reference = key.to_owned();
        Some(())
    }

    fn option(&mut self, key: &str, items: Vec<String>) -> Option<()> {
        let name = key.strip_prefix(&self.reference)?.strip_prefix('.')?;
        let name: Name = name.parse().ok()?;
        let section = self.packages.last_mut()?.sections.last_mut()?;
        if section.get(name.as_str()).is_some() {
            return None;
        }
        // No text is empty: a single empty item is a list's.
        let value = match &*items {
            [item] if !item.is_empty() => Value::read_one(item.clone()),
            _ => Value::read_list(items),
        };
        section.set(name, value?);
        Some(())
    }
}

/// Quoted items with a space between them up to the end of a line, and how many bytes they are with it.
fn quoted(text: &str) -> Option<(Vec<String>, usize)> {
    let (mut items, mut rest) = (Vec::new(), text);
    loop {
        let mut item = String::new();
        rest = rest.strip_prefix('\'')?;
        loop {
            let (piece, after) = rest.split_once('\'')?;
            item.push_str(piece);
            rest = after;
            let Some(after) = rest.strip_prefix(r"\''") else {
                break;
            };
            item.push('\'');
            rest = after;
        }
        items.push(item);
        if rest.is_empty() {
            return Some((items, text.len()));
        }
        if let Some(after) = rest.strip_prefix('\n') {
            return Some((items, text.len() - after.len()));
        }
        rest = rest.strip_prefix(' ')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        let text = "network.lan=interface\nnetwork.lan.dns='192.0.2.1' 'it'\\''s\ntwo'\n\
                    network.@bridge-vlan[0]=bridge-vlan\nnetwork.@bridge-vlan[0].vlan='1'\n\
                    network.named=bridge-vlan\nnetwork.@bridge-vlan[2]=bridge-vlan\ndhcp.x=dnsmasq\n";
        let packages = Package::read_show(text).unwrap();
        assert_eq!(packages.len(), 2);
        let shown: String = packages.iter().map(Package::show).collect();
        assert_eq!(shown, text);
    }

    #[test]
    fn what_uci_show_never_writes_is_refused_with_its_line() {
        for (line, text) in [
            (1, "network"),
            (1, "network=x\n"),
            (1, "network.lan.proto='x'\n"),
            (2, "network.lan=interface\nnetwork.wan.proto='x'\n"),
            (2, "network.lan=interface\nnetwork.lan.proto=x\n"),
            (2, "network.lan=interface\nnetwork.lan.proto='x\n"),
            (1, "network.@a[1]=a\n"),
        ] {
            let error = Package::read_show(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
    }
}
