//! The router's files as they are, and as they are to become.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rhyzome_uci::Package;

use super::{Apply, Planned};
use crate::disk::Digest;
use crate::error::Error;
use crate::journal::Stages;
use crate::plan::{Plan, Within, plan_back};
use crate::present::{self, Obstacle, Present};
use crate::store;

/// What the files say now.
pub(crate) struct Current {
    pub present: Present,
    digests: Digests,
}

/// By which files are known.
pub(super) type Digests = [Option<Digest>; 3];

/// The packages that are ours to change.
const PACKAGES: [&str; 3] = ["network", "dhcp", "firewall"];

/// What is known of files by their digests, of each the two that were read or drafted last: where there are many peers
/// they are long, and copies of a package share its sections.
#[derive(Default)]
pub(crate) struct ReadCache(Mutex<[VecDeque<(Digest, Package)>; 3]>);

/// The one that is there, and the one that it is to become.
const KEPT: usize = 2;

/// What a file is to become.
pub(crate) struct Draft {
    pub package: &'static str,
    pub was: Digest,
    /// Of its text, which is long and made only where it is written.
    becomes: Digest,
    after: Package,
}

impl Current {
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
                becomes: Digest::of(&after.text()),
                after,
            });
        }
        Ok(drafts)
    }

    fn digest(&self, package: &str) -> Digest {
        let digest = position(package).and_then(|at| self.digests[at].clone());
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
}

impl ReadCache {
    fn read(&self, at: usize, current: Option<&store::Current>) -> Result<Package, Obstacle> {
        let Some(current) = current else {
            return present::read(PACKAGES[at], None);
        };
        let known = self.known(at, &current.digest);
        known.map_or_else(
            || {
                let package = present::read(PACKAGES[at], Some(&current.text))?;
                self.keep(at, current.digest.clone(), package.clone());
                Ok(package)
            },
            Ok,
        )
    }

    fn known(&self, at: usize, digest: &Digest) -> Option<Package> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = cache[at].iter().filter(|(of, _)| of == digest);
        known.next().map(|(_, package)| package.clone())
    }

    fn keep(&self, at: usize, digest: Digest, package: Package) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache[at].retain(|(of, _)| *of != digest);
        cache[at].truncate(KEPT - 1);
        cache[at].push_front((digest, package));
    }

    /// Notes what a draft will be read as once it is there.
    pub fn expect(&self, draft: &Draft) {
        // What libuci would read otherwise is read again.
        if let Some(at) = position(draft.package).filter(|_| draft.after.survives_a_commit()) {
            self.keep(at, draft.becomes.clone(), draft.after.clone());
        }
    }
}

fn position(package: &str) -> Option<usize> {
    PACKAGES.iter().position(|known| *known == package)
}

impl Apply {
    /// # Errors
    /// What makes the router's files unusable as a whole.
    pub(crate) fn current(&self) -> Result<Current, Error> {
        let mut digests = Digests::default();
        let mut parts = Vec::new();
        for (at, package) in PACKAGES.into_iter().enumerate() {
            let current =
                store::read(&self.settings.system, package).map_err(Error::Configuration)?;
            parts.push(self.files.read(at, current.as_ref()));
            digests[at] = current.map(|current| current.digest);
        }
        let parts = parts.try_into().expect("there is one of each");
        let present = Present::of(parts).map_err(Error::Unusable)?;
        Ok(Current { present, digests })
    }

    /// By which the router's files are known now.
    pub(super) fn digests(&self) -> Result<Digests, Error> {
        let mut digests = Digests::default();
        for (digest, package) in digests.iter_mut().zip(PACKAGES) {
            let current =
                store::read(&self.settings.system, package).map_err(Error::Configuration)?;
            *digest = current.map(|current| current.digest);
        }
        Ok(digests)
    }
}

impl Draft {
    pub fn text(&self) -> String {
        self.after.text()
    }

    pub fn stages(&self) -> Stages {
        Stages {
            before: self.was.clone(),
            after: self.becomes.clone(),
        }
    }
}
