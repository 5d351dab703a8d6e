//! Changing a router, as a transaction.
//!
//! ```text
//!   look ─ plan ─ snapshot ─ journal ─┬─ records ─ files ─ reload ─ verify ─ confirm ─┬─ end of the journal
//!                                     │                                               │
//!                                     └──── whatever goes wrong, or a kill ───────────┴► put back
//! ```
//!
//! Before the journal nothing is touched; with its end the change is done. In between, whoever comes next (this
//! process, its next start, the router's) puts back what was there. Somebody else's change in between is seen by the
//! files' digests: nothing of it is lost, and ours is made anew on top of it.

mod back;
mod draft;
mod revoke;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use rhyzome_component::{DriverError, Progress};
use rhyzome_model::NetworkId;

use crate::error::Error;
use crate::goal::{self, Goal};
use crate::journal::{self, Journal};
use crate::plan::Plan;
use crate::record::{self, FileChange, Records};
use crate::running::{self, Running};
use crate::settings::Settings;
use crate::step::{Hit, Interrupt, Step};
use crate::store::{self, Content};

pub(crate) use draft::{Current, Draft, ReadCache};
pub(crate) use settle::Look;

/// How often a change is begun anew because somebody else came between.
const ATTEMPTS: usize = 10;

/// What changes a router needs.
pub(crate) struct Apply {
    pub settings: Settings,
    pub interrupt: Option<Interrupt>,
    pub meant: settle::MeantCache,
    pub files: ReadCache,
}

/// From what is recorded to what is asked, of some networks.
pub(crate) struct Request<'a> {
    pub before: &'a Records,
    pub after: &'a Records,
    /// The networks that are changed, or looked at and mended.
    pub networks: BTreeSet<NetworkId>,
}

/// A change that is planned.
struct Planned {
    goal: Goal,
    /// The names of all that is or was of its networks.
    names: BTreeSet<String>,
    drafts: Vec<Draft>,
    plan: Plan,
    records: Vec<FileChange>,
}

impl Apply {
    pub fn new(settings: Settings, interrupt: Option<Interrupt>) -> Self {
        Self {
            settings,
            interrupt,
            meant: settle::MeantCache::default(),
            files: ReadCache::default(),
        }
    }

    fn reach(&self, step: Step, progress: &Progress) -> Result<(), Error> {
        progress.begin(step).map_err(Error::Injected)?;
        let hit = self.interrupt.as_ref().and_then(|hits| hits(step));
        match hit {
            None => Ok(()),
            Some(Hit::Kill) => Err(Error::Interrupted(step.as_str())),
            Some(Hit::Fail(kind)) => Err(Error::Injected(DriverError {
                kind,
                message: format!("this was made to fail at {:?}", step.as_str()),
                source: None,
            })),
        }
    }

    /// Brings the router to what is asked, all of it or nothing.
    pub async fn change(&self, request: &Request<'_>, progress: &Progress) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            match self.attempt(request, progress).await {
                Err(error) if error.is_race() => {
                    tracing::info!(
                        why = &error as &dyn std::error::Error,
                        "the change is made anew on top of somebody else's"
                    );
                }
                ended => return ended,
            }
        }
        Err(Error::Restless)
    }

    async fn attempt(&self, request: &Request<'_>, progress: &Progress) -> Result<(), Error> {
        self.reach(Step::Look, progress)?;
        let current = self.current()?;
        let before = self.look().await?;
        self.reach(Step::Plan, progress)?;
        let planned = self.plan(request, &current)?;
        if planned.drafts.is_empty() {
            return self
                .without_files(request, &planned, &before, progress)
                .await;
        }
        let asks = self
            .settings
            .confirm
            .as_ref()
            .filter(|_| planned.moves_links());
        let was_reached = match asks {
            Some(core) => core.core_is_reached().await,
            None => false,
        };
        self.reach(Step::Snapshot, progress)?;
        let files = planned.drafts.iter().map(|draft| {
            let package = draft.package.to_owned();
            (package, self.settings.system.config(draft.package))
        });
        let state_dir = &self.settings.state_dir;
        journal::keep(state_dir, files).map_err(Error::Snapshot)?;
        self.reach(Step::Journal, progress)?;
        let journal = planned.journal();
        journal::begin(state_dir, &journal).map_err(|e| Error::Journal(e.into()))?;
        let made = self.make(request, &planned, &before, was_reached, progress);
        match made.await {
            Ok(()) => Ok(()),
            Err(error) if error.is_interruption() => Err(error),
            Err(error) => Err(self.undo(&journal, error, was_reached, progress).await),
        }
    }

    pub(crate) async fn look(&self) -> Result<Running, Error> {
        let bridge = match &self.settings.router.trunk {
            Some(crate::router::Trunk::Bridge { device, .. }) => Some(device.as_str()),
            _ => None,
        };
        running::look(&self.settings.system, bridge)
            .await
            .map_err(Error::Look)
    }

    fn plan(&self, request: &Request<'_>, current: &Current) -> Result<Planned, Error> {
        let router = &self.settings.router;
        let networks = goal::networks(request.after, &request.networks);
        let title = |id: &NetworkId| {
            let found = networks.iter().find(|network| network.spec.network == *id);
            found.map_or_else(|| id.to_string(), crate::router::Network::title)
        };
        let titles: BTreeMap<NetworkId, String> =
            request.networks.iter().map(|id| (*id, title(id))).collect();
        let mut goal = Goal::new(router, networks, &current.present);
        for id in &request.networks {
            if let Some(why) = goal.blocked.remove(id) {
                let title = titles[id].clone();
                return Err(Error::Blocked { title, why });
            }
        }
        let names = goal::within(
            &[request.before, request.after],
            &current.present,
            &request.networks,
        );
        let within = crate::plan::Within::These(names.clone());
        let plan = goal
            .plan(router, &current.present, &request.networks, &within)
            .map_err(Error::Plan)?;
        let drafts = current.drafts(&plan, &within)?;
        drafts.iter().for_each(|draft| self.files.expect(draft));
        Ok(Planned {
            drafts,
            records: record::differences(request.before, request.after),
            goal,
            names,
            plan,
        })
    }

    /// Where no file of the configuration changes: what runs may still differ.
    async fn without_files(
        &self,
        request: &Request<'_>,
        planned: &Planned,
        before: &Running,
        progress: &Progress,
    ) -> Result<(), Error> {
        self.reach(Step::Record, progress)?;
        record::write(&self.settings.state_dir, &planned.records).map_err(Error::Records)?;
        self.reach(Step::Verify, progress)?;
        self.settle(request, planned, before, &[]).await
    }

    async fn make(
        &self,
        request: &Request<'_>,
        planned: &Planned,
        before: &Running,
        was_reached: bool,
        progress: &Progress,
    ) -> Result<(), Error> {
        self.reach(Step::Record, progress)?;
        record::write(&self.settings.state_dir, &planned.records).map_err(Error::Records)?;
        self.reach(Step::Revoke, progress)?;
        self.revoke(request, before).await?;
        for draft in &planned.drafts {
            self.reach(Step::of_package(draft.package), progress)?;
            let text = draft.text();
            let content = Content::Text(&text);
            store::replace(&self.settings.system, draft.package, &draft.was, content)
                .await
                .map_err(Error::Store)?;
        }
        self.reach(Step::Reload, progress)?;
        let reloads = planned.reloads();
        self.reload(&reloads).await?;
        self.reach(Step::Verify, progress)?;
        self.settle(request, planned, before, &reloads).await?;
        self.still_there(planned)?;
        self.reach(Step::Confirm, progress)?;
        if was_reached {
            self.confirmed().await?;
        }
        self.reach(Step::Finish, progress)?;
        journal::end(&self.settings.state_dir).map_err(|e| Error::Journal(e.into()))
    }

    /// A commit that began before ours may have come after it.
    fn still_there(&self, planned: &Planned) -> Result<(), Error> {
        let current = self.current()?;
        match current.has(planned) {
            true => Ok(()),
            false => Err(Error::Overwritten),
        }
    }

    async fn confirmed(&self) -> Result<(), Error> {
        match self.core_is_reached().await {
            true => Ok(()),
            false => Err(Error::Unreachable { guilty: false }),
        }
    }

    /// Whether the core can be reached within the window.
    async fn core_is_reached(&self) -> bool {
        let Some(core) = &self.settings.confirm else {
            return true;
        };
        let asking = async {
            while !core.core_is_reached().await {
                tokio::time::sleep(settle::PAUSE).await;
            }
        };
        tokio::time::timeout(self.settings.times.confirm, asking)
            .await
            .is_ok()
    }
}

impl Planned {
    fn journal(&self) -> Journal {
        let files = self.drafts.iter();
        Journal {
            files: files
                .map(|draft| (draft.package.to_owned(), draft.stages()))
                .collect(),
            records: self.records.clone(),
            networks: self.names.clone(),
        }
    }

    /// Whether more changes than peers and leases.
    fn moves_links(&self) -> bool {
        !self.plan.firewall.is_empty() || self.plan.network.iter().any(|change| !is_member(change))
    }

    /// The packages whose services are told. An interface goes before its rules do, and comes after them.
    fn reloads(&self) -> Vec<&'static str> {
        let mut packages: Vec<&'static str> =
            self.drafts.iter().map(|draft| draft.package).collect();
        // No reload applies peers and ends; they are set on their devices.
        packages.retain(|package| {
            *package != "network" || self.plan.network.iter().any(|change| !is_member(change))
        });
        if self.plan.takes_away() {
            packages.sort_by_key(|package| *package == "firewall");
        }
        packages
    }
}

/// Whether a change is one of a peer's section, or of another end's of a VXLAN.
fn is_member(change: &rhyzome_uci::Change) -> bool {
    let is_member = |part: &str| part.starts_with("peer_") || part.starts_with("end_");
    crate::names::part_of(change.section()).is_some_and(is_member)
}
