//! A section of the package, and what fw4 says of what is wrong with it.

use super::super::config::{Options, Section};

/// A section with the number that it has among those of its type.
pub struct Described<'a> {
    pub section: &'a Section,
    number: usize,
    quiet: bool,
}

impl<'a> Described<'a> {
    pub fn all(sections: &'a [Section], kind: &'a str, quiet: bool) -> impl Iterator<Item = Self> {
        let of_kind = sections.iter().filter(move |section| section.kind == kind);
        of_kind.enumerate().map(move |(number, section)| Self {
            section,
            number,
            quiet,
        })
    }

    pub fn name(&self) -> &str {
        self.section.one("name").unwrap_or("")
    }

    /// The whole text of an option, which may have spaces.
    pub fn title(&self) -> String {
        self.section.list("name").join(" ")
    }

    pub fn warn(&self, text: &str) {
        if self.quiet {
            return;
        }
        let section = match self.section.anonymous {
            true => format!("@{}[{}]", self.section.kind, self.number),
            false => self.section.name.clone(),
        };
        match self.title() {
            title if title.is_empty() => eprintln!("[!] Section {section} {text}"),
            title => eprintln!("[!] Section {section} ({title}) {text}"),
        }
    }

    /// Says which options are not known; they are passed over.
    pub fn warn_of_unknown(&self, known: &[&str]) {
        for (option, _) in &self.section.options {
            if !known.contains(&option.as_str()) {
                self.warn(&format!("specifies unknown option '{option}'"));
            }
        }
    }

    pub fn is_enabled(&self) -> bool {
        self.section.flag("enabled", true)
    }

    /// A value that is not understood: the section is left out.
    pub fn skip(&self, option: &str, value: &str) {
        self.warn(&format!(
            "option '{option}' specifies invalid value '{value}'"
        ));
        self.warn("skipped due to invalid options");
    }
}
