//! Putting back what a change did, in this process or after it.

use std::collections::BTreeSet;

use rhyzome_component::Progress;
use rhyzome_model::NetworkId;
use rhyzome_uci::Package;

use super::{Apply, Request};
use crate::disk::{self, Digest};
use crate::error::Error;
use crate::journal::{self, Journal, Stage, Stages};
use crate::names::Names;
use crate::plan::{Within, plan_back};
use crate::record::{self, Records};
use crate::step::Step;
use crate::store::{self, Content, StoreError};

/// How often somebody else may come between.
const ATTEMPTS: usize = 10;

impl Apply {
    /// Puts back a change that failed, and says both.
    pub(super) async fn undo(
        &self,
        journal: &Journal,
        why: Error,
        was_reached: bool,
        progress: &Progress,
    ) -> Error {
        tracing::warn!(
            why = &why as &dyn std::error::Error,
            "a change of the router is put back"
        );
        if let Err(back) = self.put_back(journal, progress).await {
            return Error::NotPutBack {
                back: Box::new(back),
                why: Box::new(why),
            };
        }
        let why = match why {
            // Where it can be reached again, it was the change.
            Error::Unreachable { .. } if was_reached => Error::Unreachable {
                guilty: self.core_is_reached().await,
            },
            why => why,
        };
        Error::PutBack(Box::new(why))
    }

    /// Puts back a change that was interrupted, if there is one. Returns whether there was.
    pub async fn recover(&self, progress: &Progress) -> Result<bool, Error> {
        let journal = journal::read(&self.settings.state_dir).map_err(Error::Journal)?;
        let Some(journal) = journal else {
            return Ok(false);
        };
        tracing::warn!("a change of the router was interrupted and is put back");
        self.put_back(&journal, progress).await.map(|()| true)
    }

    async fn put_back(&self, journal: &Journal, progress: &Progress) -> Result<(), Error> {
        self.reach(Step::PutBack, progress)?;
        self.put_files_back(journal).await?;
        self.reach(Step::ReloadBack, progress)?;
        let packages: Vec<&str> = journal.files.keys().map(String::as_str).collect();
        self.reload(&packages).await?;
        self.settle_back(journal).await?;
        self.reach(Step::FinishBack, progress)?;
        journal::end(&self.settings.state_dir).map_err(|e| Error::Journal(e.into()))
    }

    /// The files and the records, without anything that runs: also before the router's services have started.
    pub async fn put_files_back(&self, journal: &Journal) -> Result<(), Error> {
        for (package, stages) in &journal.files {
            let package = match package.as_str() {
                "network" => "network",
                "dhcp" => "dhcp",
                _ => "firewall",
            };
            self.put_file_back(package, stages, &journal.networks)
                .await?;
        }
        record::put_back(&self.settings.state_dir, &journal.records).map_err(Error::Records)
    }

    async fn put_file_back(
        &self,
        package: &'static str,
        stages: &Stages,
        networks: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let system = &self.settings.system;
        let kept = journal::snapshot(&self.settings.state_dir, package);
        for _ in 0..ATTEMPTS {
            let now = store::read(system, package).map_err(Error::Configuration)?;
            // Who took it away meant to.
            let Some(now) = now else {
                return Ok(());
            };
            let was = disk::read(&kept).map_err(Error::Snapshot)?;
            let is_whole = was
                .as_ref()
                .is_some_and(|was| Digest::of(was) == stages.before);
            let text;
            let content = match stages.of(&now.digest) {
                Stage::Before => return Ok(()),
                Stage::After if is_whole => Content::Kept(&kept),
                Stage::After | Stage::Foreign => {
                    text = merged(package, &now.text, &was.unwrap_or_default(), networks)?;
                    match text == now.text {
                        true => return Ok(()),
                        false => Content::Text(&text),
                    }
                }
            };
            match store::replace(system, package, &now.digest, content).await {
                Err(StoreError::Changed(_)) => {}
                replaced => return replaced.map_err(Error::Store),
            }
        }
        Err(Error::Restless)
    }

    /// Waits until the networks of the change run as they did, as far as they can. What does not is told, and mended
    /// like any other difference.
    async fn settle_back(&self, journal: &Journal) -> Result<(), Error> {
        let records = Records::read(&self.settings.state_dir).map_err(Error::Records)?;
        let is_of = |id: &NetworkId| {
            let kept = &records.networks[id];
            let name = Names::new(kept.network.spec.segment).network();
            journal.networks.contains(&name)
        };
        let networks: BTreeSet<NetworkId> =
            records.networks.keys().copied().filter(is_of).collect();
        let request = Request {
            before: &records,
            after: &records,
            networks,
        };
        let current = self.current()?;
        let planned = match self.plan(&request, &current) {
            Ok(mut planned) => {
                planned.names.extend(journal.networks.iter().cloned());
                planned
            }
            Err(error) => {
                tracing::warn!(
                    why = &error as &dyn std::error::Error,
                    "what was put back is not looked at"
                );
                return Ok(());
            }
        };
        let before = crate::running::Running::default();
        match self.settle(&request, &planned, &before, &["network"]).await {
            Err(Error::NotAsMeant(what)) => {
                tracing::warn!(what, "the router does not run yet as it did");
                Ok(())
            }
            settled => settled,
        }
    }
}

/// What somebody else wrote, with our sections of some networks as they were.
fn merged(
    package: &'static str,
    now: &str,
    was: &str,
    networks: &BTreeSet<String>,
) -> Result<String, Error> {
    let read = |text: &str| {
        let name = package.parse().expect("packages are constants");
        Package::read(name, text).map_err(|e| Error::Foreign(package, e))
    };
    let (mut merged, was) = (read(now)?, read(was)?);
    let within = Within::These(networks.clone());
    let changes = plan_back(package, &merged, &was, &within).map_err(Error::Plan)?;
    if changes.is_empty() {
        return Ok(now.to_owned());
    }
    merged
        .apply(&changes, |section| within.has(package, section))
        .map_err(|e| Error::Change(package, e))?;
    Ok(merged.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAS: &str = "\nconfig interface 'lan'\n\toption device 'br-lan'\n\n";
    const OURS: &str = "config interface 'rz_v1'\n\toption rhyzome 'id'\n";

    fn check(now: &str, was: &str, expect: &str) {
        let networks = BTreeSet::from(["rz_v1".to_owned()]);
        assert_eq!(merged("network", now, was, &networks).unwrap(), expect);
    }

    #[test]
    fn what_somebody_else_wrote_stays_and_ours_is_as_it_was() {
        let theirs = "\nconfig interface 'guest'\n\toption device 'eth9'\n";
        // Ours goes where it was not.
        let both = format!("{WAS}{theirs}{OURS}");
        check(
            &both,
            WAS,
            &format!("{}{theirs}\n", WAS.trim_end_matches('\n').to_owned() + "\n"),
        );
        // And comes back where it was.
        let without = format!("{WAS}{theirs}");
        let before = format!("{WAS}{OURS}");
        let back = merged(
            "network",
            &without,
            &before,
            &BTreeSet::from(["rz_v1".to_owned()]),
        );
        let back = back.unwrap();
        assert!(
            back.contains("'guest'") && back.contains("'rz_v1'"),
            "{back}"
        );
    }

    #[test]
    fn where_nothing_of_ours_differs_not_a_byte_changes() {
        let commented = format!("# by hand\n{WAS}");
        check(&commented, WAS, &commented);
    }
}
