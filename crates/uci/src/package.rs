//! Packages and their sections.

use std::fmt;
use std::sync::Arc;

use crate::options::Options;
use crate::{Name, PackageName, SectionType, Value};

/// What one file of `/etc/config` says.
///
/// No two sections have the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    name: PackageName,
    pub(crate) sections: Vec<Section>,
}

/// A section: a type, a name or none, and options, of which no two have the same name.
///
/// Copies share what they say until one of them is changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Section(Arc<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    kind: SectionType,
    name: Option<Name>,
    options: Options,
}

/// There is a section of the name already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is a section {0} already")]
pub struct Taken(pub Name);

impl Package {
    pub fn new(name: PackageName) -> Self {
        Self {
            name,
            sections: Vec::new(),
        }
    }

    pub fn name(&self) -> &PackageName {
        &self.name
    }

    /// All of them, in their order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Those that have a name, in their order.
    pub fn named(&self) -> impl Iterator<Item = (&Name, &Section)> {
        self.sections
            .iter()
            .filter_map(|section| Some((section.name()?, section)))
    }

    /// Those of a type, in their order.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections
            .iter()
            .filter(move |section| section.kind().as_str() == kind)
    }

    pub fn section(&self, name: &Name) -> Option<&Section> {
        self.position(name).map(|at| &self.sections[at])
    }

    /// Adds a section behind the others.
    ///
    /// # Errors
    /// There is one of its name.
    pub fn add(&mut self, section: Section) -> Result<(), Taken> {
        if let Some(name) = section.name()
            && self.position(name).is_some()
        {
            return Err(Taken(name.clone()));
        }
        self.sections.push(section);
        Ok(())
    }

    /// Where the section is that libuci finds under a name: one without a name is found under its id.
    pub(crate) fn position(&self, name: &Name) -> Option<usize> {
        let is_id = name.as_str().starts_with("cfg");
        (1..).zip(&self.sections).position(|(number, section)| {
            section.name() == Some(name)
                || (is_id
                    && section.name().is_none()
                    && id(number, section.kind()) == name.as_str())
        })
    }
}

impl Section {
    pub fn named(kind: SectionType, name: Name) -> Self {
        Self::new(kind, Some(name))
    }

    /// One without a name, which nobody can speak of for long: its id changes with the sections before it.
    pub fn anonymous(kind: SectionType) -> Self {
        Self::new(kind, None)
    }

    fn new(kind: SectionType, name: Option<Name>) -> Self {
        let options = Options::default();
        Self(Arc::new(Parts {
            kind,
            name,
            options,
        }))
    }

    pub fn kind(&self) -> &SectionType {
        &self.0.kind
    }

    pub fn name(&self) -> Option<&Name> {
        self.0.name.as_ref()
    }

    /// All options, in their order.
    pub fn options(&self) -> impl Iterator<Item = (Name, Value)> {
        let all = self.0.options.iter();
        all.filter_map(|item| Some((Name::known(item.name), item.value()?)))
    }

    pub fn get(&self, option: &str) -> Option<Value> {
        self.0.options.get(option)?.value()
    }

    /// The text of an option that is no list.
    pub fn text_of(&self, option: &str) -> Option<&str> {
        self.0.options.get(option)?.as_one()
    }

    /// The items of a list, or the one text of an option; nothing where there is none.
    pub fn items_of(&self, option: &str) -> impl Iterator<Item = &str> {
        let found = self.0.options.get(option).into_iter();
        found.flat_map(|item| item.items())
    }

    /// Gives an option a value, in the place that it has.
    pub fn set(&mut self, option: Name, value: Value) {
        Arc::make_mut(&mut self.0).options.set(&option, &value);
    }

    /// Takes an option away. Returns what it was.
    pub fn remove(&mut self, option: &Name) -> Option<Value> {
        Arc::make_mut(&mut self.0).options.remove(option)
    }
}

/// The id of a section without a name, as libuci makes it of its number, from 1, and its type (`list.c`).
pub(crate) fn id(number: usize, kind: &SectionType) -> String {
    let hash = kind.as_str().bytes().fold(5381_u32, |hash, byte| {
        hash.wrapping_mul(33).wrapping_add(byte.into())
    });
    format!("cfg{number:02x}{:04x}", hash & 0xffff)
}

/// Whether nobody should see an option's value in a log.
pub(crate) fn is_secret(option: &Name) -> bool {
    let name = option.as_str();
    name == "key" || name.ends_with("_key") && name != "public_key" || name.contains("password")
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Shown<'a>(&'a Section);
        impl fmt::Debug for Shown<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut map = f.debug_map();
                for (name, value) in self.0.options() {
                    match is_secret(&name) {
                        true => map.entry(&name, &format_args!("…")),
                        false => map.entry(&name, &value.items()),
                    };
                }
                map.finish()
            }
        }
        f.debug_struct("Section")
            .field("kind", self.kind())
            .field("name", &self.name())
            .field("options", &Shown(self))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once() {
        let mut package = Package::new("network".parse().unwrap());
        let lan = Section::named("interface".parse().unwrap(), "lan".parse().unwrap());
        assert_eq!(package.add(lan.clone()), Ok(()));
        assert_eq!(package.add(lan), Err(Taken("lan".parse().unwrap())));
    }

    #[test]
    fn a_section_without_a_name_is_found_by_its_id() {
        let mut package = Package::new("system".parse().unwrap());
        let system = Section::anonymous("system".parse().unwrap());
        package.add(system).unwrap();
        // As routers have it everywhere.
        assert!(package.section(&"cfg01e48a".parse().unwrap()).is_some());
        assert!(package.section(&"cfg02e48a".parse().unwrap()).is_none());
    }

    #[test]
    fn an_option_that_is_set_again_keeps_its_place() {
        let mut section = Section::anonymous("x".parse().unwrap());
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            section.set(name.parse().unwrap(), Value::one(value).unwrap());
        }
        let names: Vec<String> = section
            .options()
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(section.text_of("a"), Some("3"));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let mut section = Section::anonymous("interface".parse().unwrap());
        for name in ["private_key", "preshared_key", "public_key"] {
            section.set(name.parse().unwrap(), Value::one(name).unwrap());
        }
        let text = format!("{section:?}");
        assert!(text.contains(r#""public_key": ["public_key"]"#), "{text}");
        assert!(
            !text.contains(r#"["private_key"]"#) && !text.contains(r#"["preshared_key"]"#),
            "{text}"
        );
    }
}
