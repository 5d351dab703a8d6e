//! Reads the text of a file of `/etc/config`, and what `uci export` writes.
//!
//! A line is a command and its arguments, as `file.c` of libuci reads it:
//!
//! ```text
//!   package NAME                starts another package; in a file, it says nothing
//!   config TYPE [NAME]          starts a section, or goes on with the one of that name
//!   option NAME [VALUE]         gives an option a value; without one, nothing happens
//!   list NAME [ITEM]            adds an item, also an empty one, and makes a list of what was none
//! ```
//!
//! `p`, `c`, `o` and `l` are short for them. How a line is parted is in [`line`]. Any error makes the whole
//! text unreadable, as it does for libuci: a router with such a file is without it.

mod line;
mod places;

pub use places::Places;

use crate::package::{Package, Section};
use crate::{InvalidName, Name, PackageName, SectionType, Value};
use line::Lines;

/// What cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ReadError {
    /// From 1.
    pub line: usize,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    #[error("{0:?} is none of package, config, option and list")]
    Command(String),
    #[error("{0} without a name or a type")]
    Missing(&'static str),
    #[error("there is more behind it than {0} takes: {1:?}")]
    TooMuch(&'static str, String),
    #[error(transparent)]
    Name(InvalidName),
    #[error("an option before the first section")]
    NoSection,
    #[error("the section {name} is a {before} above, and a {now} here")]
    AnotherType {
        name: Name,
        before: SectionType,
        now: SectionType,
    },
    #[error("the {0} that opens here is never closed")]
    Unterminated(char),
    #[error("a zero byte")]
    Zero,
    #[error("a section before the first package")]
    NoPackage,
    #[error("the package {0} is there twice")]
    PackageTwice(PackageName),
    #[error("{0:?} is not as uci show writes")]
    Shown(String),
}

impl Package {
    /// Reads what the file of a package holds.
    ///
    /// # Errors
    /// What libuci does not read; and zero bytes, with which it loses lines.
    pub fn read(name: PackageName, text: &str) -> Result<Self, ReadError> {
        let mut reader = Reader::of_file(name, text)?;
        reader.run()?;
        Ok(reader.packages.remove(0))
    }

    /// The same, and where in the text things stand.
    ///
    /// # Errors
    /// As [`Package::read`].
    pub fn read_placed(name: PackageName, text: &str) -> Result<(Self, Places), ReadError> {
        let mut reader = Reader::of_file(name, text)?;
        reader.places = Some(Places::default());
        reader.run()?;
        Ok((reader.packages.remove(0), reader.places.unwrap_or_default()))
    }

    /// Reads what `uci export` writes, of one package or of several.
    ///
    /// # Errors
    /// As [`Package::read`]; and sections that are in no package.
    pub fn read_export(text: &str) -> Result<Vec<Self>, ReadError> {
        let mut reader = Reader {
            lines: Lines::new(text)?,
            packages: Vec::new(),
            section: None,
            places: None,
            single: false,
        };
        reader.run()?;
        Ok(reader.packages)
    }
}

struct Reader<'a> {
    lines: Lines<'a>,
    packages: Vec<Package>,
    /// Which section of the last package the options are of.
    section: Option<usize>,
    /// None where nobody asks for them.
    places: Option<Places>,
    /// Whether it is one file, in which `package` says nothing.
    single: bool,
}

impl<'a> Reader<'a> {
    fn of_file(name: PackageName, text: &'a str) -> Result<Self, ReadError> {
        Ok(Self {
            lines: Lines::new(text)?,
            packages: vec![Package::new(name)],
            section: None,
            places: None,
            single: true,
        })
    }

    fn run(&mut self) -> Result<(), ReadError> {
        while self.lines.advance() {
            while let Some(command) = self.lines.command() {
                match &*command {
                    _ if command.starts_with('#') => break,
                    "p" | "package" => self.package()?,
                    "c" | "config" => self.config()?,
                    "o" | "option" => self.option()?,
                    "l" | "list" => self.list()?,
                    _ => return Err(self.wrong(What::Command(command))),
                }
            }
        }
        Ok(())
    }

    fn wrong(&self, what: What) -> ReadError {
        ReadError {
            line: self.lines.number(),
            what,
        }
    }

    fn name<T>(&self, parsed: Result<T, InvalidName>) -> Result<T, ReadError> {
        parsed.map_err(|e| self.wrong(What::Name(e)))
    }

    fn required(&mut self, command: &'static str) -> Result<String, ReadError> {
        let argument = self.lines.argument()?;
        match argument.is_empty() {
            true => Err(self.wrong(What::Missing(command))),
            false => Ok(argument),
        }
    }

    /// Of what is behind the last argument, one argument is looked at; an empty one is fine.
    fn end(&mut self, command: &'static str) -> Result<(), ReadError> {
        let more = self.lines.argument()?;
        match more.is_empty() {
            true => Ok(()),
            false => Err(self.wrong(What::TooMuch(command, more))),
        }
    }

    fn package(&mut self) -> Result<(), ReadError> {
        let name = self.required("package")?;
        let name: PackageName = self.name(name.parse())?;
        self.end("package")?;
        if self.single {
            return Ok(());
        }
        if self.packages.iter().any(|package| *package.name() == name) {
            return Err(self.wrong(What::PackageTwice(name)));
        }
        self.packages.push(Package::new(name));
        self.section = None;
        Ok(())
    }

    fn config(&mut self) -> Result<(), ReadError> {
        let kind = self.required("config")?;
        let kind = self.name(SectionType::read(&kind))?;
        let name = self.lines.argument()?;
        let name: Option<Name> = match &*name {
            "" => None,
            name => Some(self.name(name.parse())?),
        };
        self.end("config")?;
        let Some(package) = self.packages.last_mut() else {
            return Err(self.wrong(What::NoPackage));
        };
        let known = name.as_ref().and_then(|name| package.position(name));
        let Some(at) = known else {
            package.sections.push(match name {
                Some(name) => Section::named(kind, name),
                None => Section::anonymous(kind),
            });
            let at = package.sections.len() - 1;
            self.section = Some(at);
            if let Some(places) = &mut self.places {
                places.sections.push(self.lines.number());
            }
            return Ok(());
        };
        self.section = Some(at);
        let before = package.sections[at].kind().clone();
        match name {
            Some(name) if before != kind => {
                let now = kind;
                Err(self.wrong(What::AnotherType { name, before, now }))
            }
            _ => Ok(()),
        }
    }

    /// The section that an option is in, its name and its value.
    fn assignment(
        &mut self,
        command: &'static str,
    ) -> Result<(&mut Section, Name, String), ReadError> {
        let Some(at) = self.section else {
            return Err(self.wrong(What::NoSection));
        };
        let name = self.required(command)?;
        let name = self.name(name.parse())?;
        let value = self.lines.argument()?;
        self.end(command)?;
        if let Some(places) = &mut self.places {
            places.note(at, &name, self.lines.number());
        }
        let none = self.wrong(What::NoPackage);
        let package = self.packages.last_mut().ok_or(none)?;
        Ok((&mut package.sections[at], name, value))
    }

    fn option(&mut self) -> Result<(), ReadError> {
        let (section, name, value) = self.assignment("option")?;
        if let Some(value) = Value::read_one(value) {
            section.set(name, value);
        }
        Ok(())
    }

    fn list(&mut self) -> Result<(), ReadError> {
        let (section, name, item) = self.assignment("list")?;
        let value = match section.get(name.as_str()) {
            Some(before) => Some(before.clone().and(item)),
            None => Value::read_list(vec![item]),
        };
        if let Some(value) = value {
            section.set(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
