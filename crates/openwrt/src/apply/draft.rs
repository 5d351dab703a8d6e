//! The router's files as they are, and as they are to become.

use rhyzome_uci::Package;

use super::Planned;
use crate::disk::Digest;
use crate::error::Error;
use crate::journal::Stages;
use crate::plan::{Plan, Within, plan_back};
use crate::present::{Files, Present};
use crate::store;
use crate::system::System;

/// What the files say now.
pub(crate) struct Current {
    pub present: Present,
    digests: [Option<Digest>; 3],
}

/// The packages that are ours to change.
const PACKAGES: [&str; 3] = ["firewall", "network", "dhcp"];

/// A file's new text.
pub(crate) struct Draft {
    pub package: &'static str,
    pub was: Digest,
    pub text: String,
    /// What the new text says.
    after: Package,
}

impl Current {
    /// # Errors
    /// What makes the router's files unusable as a whole.
    pub fn read(system: &System) -> Result<Self, Error> {
        let mut texts = Vec::new();
        for package in PACKAGES {
            texts.push(store::read(system, package).map_err(Error::Configuration)?);
        }
        let text = |at: usize| {
            let current: &Option<store::Current> = &texts[at];
            current.as_ref().map(|current| current.text.as_str())
        };
        let files = Files {
            firewall: text(0),
            network: text(1),
            dhcp: text(2),
        };
        let present = Present::read(files).map_err(Error::Unusable)?;
        let digest = |at: usize| {
            let current: &Option<store::Current> = &texts[at];
            current.as_ref().map(|current| current.digest.clone())
        };
        Ok(Self {
            present,
            digests: [digest(0), digest(1), digest(2)],
        })
    }

    /// The new texts of the files that a plan changes.
    pub fn drafts(&self, plan: &Plan, within: &Within) -> Result<Vec<Draft>, Error> {
        let mut drafts = Vec::new();
        for (package, changes) in plan.packages() {
            if changes.is_empty() {
                continue;
            }
            let mut after = self.present.package(package).clone();
            after
                .apply(changes, |section| within.has(package, section))
                .map_err(|e| Error::Change(package, e))?;
            drafts.push(Draft {
                package,
                was: self.digest(package),
                text: after.text(),
                after,
            });
        }
        Ok(drafts)
    }

    fn digest(&self, package: &str) -> Digest {
        let at = PACKAGES.iter().position(|known| *known == package);
        let digest = at.and_then(|at| self.digests[at].clone());
        digest.expect("a router without one of the files is left alone")
    }

    /// Whether all that a change was to make of its networks is there, whoever wrote the files since.
    pub(super) fn has(&self, planned: &Planned) -> bool {
        let within = Within::These(planned.names.clone());
        planned.drafts.iter().all(|draft| {
            let now = self.present.package(draft.package);
            let back = plan_back(draft.package, now, &draft.after, &within);
            back.is_ok_and(|changes| changes.is_empty())
        })
    }

    /// By which the rules that fw4 makes are known.
    pub fn key(&self) -> [Option<Digest>; 3] {
        self.digests.clone()
    }
}

impl Draft {
    pub fn stages(&self) -> Stages {
        Stages {
            before: self.was.clone(),
            after: Digest::of(&self.text),
        }
    }
}
