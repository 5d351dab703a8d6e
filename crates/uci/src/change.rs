//! The difference between two packages, and applying it.
//!
//! Both take a predicate that says which sections are the caller's own. What is not is neither looked at nor
//! touched; sections without names never are, as nobody can say for long which one is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::package::{Package, Section, is_secret};
use crate::write::escape;
use crate::{Name, SectionType, Value};

/// One step from a package to another.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes a section, without options.
    SetSection {
        section: Name,
        kind: SectionType,
    },
    SetOption {
        section: Name,
        option: Name,
        value: Value,
    },
    DeleteOption {
        section: Name,
        option: Name,
    },
    /// With all its options.
    DeleteSection {
        section: Name,
    },
}

/// Why a difference cannot be made or applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("the section {0} is somebody else's")]
    Foreign(Name),
    #[error("a section without a name is wanted: it has to have one")]
    Anonymous,
    #[error("there is no section {0}")]
    NoSection(Name),
    #[error("there is a section {0} already")]
    Taken(Name),
}

impl Change {
    pub fn section(&self) -> &Name {
        match self {
            Self::SetSection { section, .. }
            | Self::SetOption { section, .. }
            | Self::DeleteOption { section, .. }
            | Self::DeleteSection { section } => section,
        }
    }
}

/// The steps that bring the caller's sections in a package to those that are wanted, deletions first. A section
/// whose type changes is made anew.
///
/// # Errors
/// A section that is wanted has no name, or the name of one that is somebody else's.
pub fn difference(
    have: &Package,
    want: &Package,
    ours: impl Fn(&Section) -> bool,
) -> Result<Vec<Change>, ChangeError> {
    let there: BTreeMap<&Name, &Section> = have.named().collect();
    let wanted: BTreeMap<&Name, &Section> = want.named().collect();
    if wanted.len() < want.sections().len() {
        return Err(ChangeError::Anonymous);
    }
    let stays = |name: &Name, section: &Section| {
        wanted
            .get(name)
            .is_some_and(|wanted| wanted.kind() == section.kind())
    };
    let mut changes: Vec<Change> = have
        .named()
        .filter(|(name, section)| ours(section) && !stays(name, section))
        .map(|(name, _)| Change::DeleteSection {
            section: name.clone(),
        })
        .collect();
    for (name, section) in want.named() {
        match there.get(name) {
            Some(before) if !ours(before) => return Err(ChangeError::Foreign(name.clone())),
            Some(before) if stays(name, before) => {
                changes.extend(within(name, Some(before), section));
            }
            _ => {
                changes.push(Change::SetSection {
                    section: name.clone(),
                    kind: section.kind().clone(),
                });
                changes.extend(within(name, None, section));
            }
        }
    }
    Ok(changes)
}

fn within(name: &Name, have: Option<&Section>, want: &Section) -> Vec<Change> {
    if have == Some(want) {
        return Vec::new();
    }
    let gone = have
        .into_iter()
        .flat_map(Section::options)
        .filter(|(option, _)| want.get(option.as_str()).is_none())
        .map(|(option, _)| Change::DeleteOption {
            section: name.clone(),
            option,
        });
    let is_new = |option: &Name, value: &Value| {
        let before = have.and_then(|have| have.get(option.as_str()));
        before.as_ref() != Some(value)
    };
    let set = want
        .options()
        .filter(|(option, value)| is_new(option, value))
        .map(|(option, value)| Change::SetOption {
            section: name.clone(),
            option,
            value,
        });
    gone.chain(set).collect()
}

impl Package {
    /// Applies changes, all or none. Whose a section is, is decided as the package is now; one that is made on
    /// the way is the caller's.
    ///
    /// # Errors
    /// A change of a section that is somebody else's or not there, and making one that is there. Deleting
    /// what is not there is no error.
    pub fn apply(
        &mut self,
        changes: &[Change],
        ours: impl Fn(&Section) -> bool,
    ) -> Result<(), ChangeError> {
        let foreign: BTreeSet<&Name> = self
            .named()
            .filter(|(_, section)| !ours(section))
            .map(|(name, _)| name)
            .collect();
        let mut changed = self.clone();
        for change in changes {
            let at = changed.position(change.section());
            let anonymous = at.is_some_and(|at| changed.sections[at].name().is_none());
            if foreign.contains(change.section()) || anonymous {
                return Err(ChangeError::Foreign(change.section().clone()));
            }
            changed.step(change, at)?;
        }
        *self = changed;
        Ok(())
    }

    /// One change, of the section at a place.
    fn step(&mut self, change: &Change, at: Option<usize>) -> Result<(), ChangeError> {
        match (change, at) {
            (Change::SetSection { section, .. }, Some(_)) => {
                return Err(ChangeError::Taken(section.clone()));
            }
            (Change::SetSection { section, kind }, None) => {
                let made = Section::named(kind.clone(), section.clone());
                self.sections.push(made);
            }
            (Change::SetOption { section, .. }, None) => {
                return Err(ChangeError::NoSection(section.clone()));
            }
            (Change::SetOption { option, value, .. }, Some(at)) => {
                self.sections[at].set(option.clone(), value.clone());
            }
            (Change::DeleteOption { option, .. }, Some(at)) => {
                self.sections[at].remove(option);
            }
            (Change::DeleteSection { .. }, Some(at)) => {
                self.sections.remove(at);
            }
            (Change::DeleteOption { .. } | Change::DeleteSection { .. }, None) => {}
        }
        Ok(())
    }
}

/// As one would tell it to `uci`, without the package, and without secrets.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSection { section, kind } => write!(f, "set {section}={kind}"),
            Self::SetOption {
                section, option, ..
            } if is_secret(option) => write!(f, "set {section}.{option}=…"),
            Self::SetOption {
                section,
                option,
                value,
            } => {
                let command = if value.is_list() { "set list" } else { "set" };
                write!(f, "{command} {section}.{option}=")?;
                for (number, item) in value.items().iter().enumerate() {
                    let space = if number == 0 { "" } else { " " };
                    write!(f, "{space}'{}'", escape(item))?;
                }
                Ok(())
            }
            Self::DeleteOption { section, option } => write!(f, "delete {section}.{option}"),
            Self::DeleteSection { section } => write!(f, "delete {section}"),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
