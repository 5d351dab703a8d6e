//! From what is there to what is wanted, within our sections.

use std::collections::BTreeSet;
use std::fmt;

use rhyzome_uci::{Change, ChangeError, Name, Package, Section, difference};

use crate::desired::Sections;
use crate::mark::is_ours;
use crate::names::{network_of, part_of};
use crate::present::Present;

/// The changes to each package. What they are in is committed and reloaded as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub network: Vec<Change>,
    pub dhcp: Vec<Change>,
    pub firewall: Vec<Change>,
}

/// A section that is wanted has the name of somebody else's, or no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("/etc/config/{package}")]
pub struct PlanError {
    pub package: &'static str,
    #[source]
    pub source: ChangeError,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.packages()
            .iter()
            .all(|(_, changes)| changes.is_empty())
    }

    /// Whether an interface goes.
    pub(crate) fn takes_away(&self) -> bool {
        let is_gone = |change: &Change| matches!(change, Change::DeleteSection { section } if part_of(section) == Some(""));
        self.network.iter().any(is_gone)
    }

    /// By the packages' names, in the order in which they should be made: a zone without its interface does nothing,
    /// an interface without its zone is open.
    pub fn packages(&self) -> [(&'static str, &[Change]); 3] {
        [
            ("firewall", &self.firewall),
            ("network", &self.network),
            ("dhcp", &self.dhcp),
        ]
    }
}

/// Which networks' sections are compared, by [`crate::Names::network`]; the others stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    All,
    These(BTreeSet<String>),
}

impl Within {
    /// Whether a section of a package is ours, and of these networks.
    pub fn has(&self, package: &str, section: &Section) -> bool {
        let of_these = match self {
            Self::All => true,
            Self::These(networks) => section
                .name()
                .and_then(network_of)
                .is_some_and(|network| networks.contains(network)),
        };
        of_these && is_ours(package, section)
    }
}

/// Compares what is there with what is wanted of these networks.
///
/// # Errors
/// A name of ours is somebody else's, or of another network than these.
pub fn plan(present: &Present, wanted: &Sections, within: &Within) -> Result<Plan, PlanError> {
    Ok(Plan {
        network: changes("network", &present.network, &wanted.network, within)?,
        dhcp: changes("dhcp", &present.dhcp, &wanted.dhcp, within)?,
        firewall: in_order("firewall", &present.firewall, &wanted.firewall, within)?,
    })
}

/// What brings some networks' sections of a package back to what they were.
pub(crate) fn plan_back(
    package: &'static str,
    have: &Package,
    was: &Package,
    within: &Within,
) -> Result<Vec<Change>, PlanError> {
    let mut wanted = Package::new(was.name().clone());
    for section in was
        .sections()
        .iter()
        .filter(|section| within.has(package, section))
    {
        // No two sections of a package have the same name.
        let _ = wanted.add(section.clone());
    }
    match package {
        "firewall" => in_order(package, have, &wanted, within),
        _ => changes(package, have, &wanted, within),
    }
}

fn changes(
    package: &'static str,
    have: &Package,
    want: &Package,
    within: &Within,
) -> Result<Vec<Change>, PlanError> {
    difference(have, want, |section| within.has(package, section))
        .map_err(|source| PlanError { package, source })
}

/// A section that is made is put behind all others. Where that would put rules of a network in another order, all of
/// them are made anew.
fn in_order(
    package: &'static str,
    have: &Package,
    want: &Package,
    within: &Within,
) -> Result<Vec<Change>, PlanError> {
    let failed = |source| PlanError { package, source };
    let direct = changes(package, have, want, within)?;
    let ours = |section: &Section| within.has(package, section);
    let mut after = have.clone();
    after.apply(&direct, ours).map_err(failed)?;
    let disordered: BTreeSet<&str> = networks(want)
        .into_iter()
        .filter(|network| rules(&after, network) != rules(want, network))
        .collect();
    if disordered.is_empty() {
        return Ok(direct);
    }
    let mut all: Vec<Change> = have
        .named()
        .filter(|(name, section)| {
            ours(section) && network_of(name).is_some_and(|network| disordered.contains(network))
        })
        .map(|(name, _)| Change::DeleteSection {
            section: name.clone(),
        })
        .collect();
    let mut without = have.clone();
    without.apply(&all, ours).map_err(failed)?;
    all.extend(changes(package, &without, want, within)?);
    Ok(all)
}

fn networks(package: &Package) -> BTreeSet<&str> {
    package
        .named()
        .filter_map(|(name, _)| network_of(name))
        .collect()
}

/// The names of a network's rules, in their order.
fn rules<'a>(package: &'a Package, network: &str) -> Vec<&'a Name> {
    package
        .named()
        .filter(|(name, section)| {
            section.kind().as_str() == "rule" && network_of(name) == Some(network)
        })
        .map(|(name, _)| name)
        .collect()
}

/// A line for each change.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (package, changes) in self.packages() {
            for change in changes {
                writeln!(f, "{package}: {change}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
