//! Refusals are counted, not written one by one: who is refused all the time fills no disk. The first is
//! written at once; those like it, once a minute with how many they were.
//!
//! How many kinds are told apart is bounded: beyond that they are counted together. What was counted and not
//! written is lost with its core, which is a minute of repetitions at most.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhyzome_model::audit::{Actor, ActorKind, AuditResult};
use rhyzome_model::{Name, Timestamp};
use rhyzome_store::{Tx, audit, project};

use super::entry;
use crate::{Core, Result};

/// How many kinds are told apart.
const KINDS: usize = 256;
/// How long those like one that was written are counted. Milliseconds.
const COUNTED: i64 = 60_000;

/// What makes two refusals alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub actor: Actor,
    pub from: Option<String>,
    pub operation: String,
    pub project: Option<Name>,
    pub reason: String,
    /// Whether the caller may not know of the project: its owners may not know of the caller either.
    pub hidden: bool,
}

type Key = (
    ActorKind,
    String,
    Option<String>,
    String,
    Option<Name>,
    String,
);

impl Refusal {
    fn key(&self) -> Key {
        let Self {
            actor,
            from,
            operation,
            project,
            reason,
            hidden: _,
        } = self;
        (
            actor.kind,
            actor
                .id
                .map_or_else(|| actor.name.clone(), |id| id.to_string()),
            from.clone(),
            operation.clone(),
            project.clone(),
            reason.clone(),
        )
    }

    /// With all that are too many to be told apart.
    fn among_many() -> Self {
        Self {
            actor: Actor {
                kind: ActorKind::Nobody,
                id: None,
                name: "several".to_owned(),
                person: None,
            },
            from: None,
            operation: "several".to_owned(),
            project: None,
            reason: "more kinds of refusals than are told apart".to_owned(),
            hidden: true,
        }
    }
}

#[derive(Debug)]
struct Counted {
    refusal: Refusal,
    request_id: Option<String>,
    count: u64,
    first: Timestamp,
    last: Timestamp,
    written: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Key, Counted>>);

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, refusal: Refusal, request_id: Option<String>, now: Timestamp) {
        let mut all = self.lock();
        let mut refusal = refusal;
        if all.len() >= KINDS && !all.contains_key(&refusal.key()) {
            refusal = Refusal::among_many();
        }
        match all.entry(refusal.key()) {
            Entry::Occupied(mut counted) => {
                let counted = counted.get_mut();
                if counted.count == 0 {
                    counted.first = now;
                }
                counted.count += 1;
                counted.last = now;
                counted.request_id = request_id;
            }
            Entry::Vacant(free) => {
                free.insert(Counted {
                    refusal,
                    request_id,
                    count: 1,
                    first: now,
                    last: now,
                    written: None,
                });
            }
        }
    }

    /// Takes what has to be written now, and forgets what nothing was counted of for long.
    fn due(&self, now: Timestamp, all_of_it: bool) -> Vec<Counted> {
        let mut all = self.lock();
        let is_old = |counted: &Counted| {
            counted
                .written
                // Also where the clock went back.
                .is_none_or(|at| now >= at.plus_millis(COUNTED) || now < at)
        };
        all.retain(|_, counted| counted.count > 0 || !is_old(counted));
        let mut due = Vec::new();
        for counted in all.values_mut() {
            if counted.count == 0 || !(all_of_it || is_old(counted)) {
                continue;
            }
            due.push(Counted {
                refusal: counted.refusal.clone(),
                request_id: counted.request_id.take(),
                ..*counted
            });
            counted.count = 0;
            counted.written = Some(now);
        }
        due
    }

    /// Counts again what could not be written.
    fn give_back(&self, due: Vec<Counted>) {
        let mut all = self.lock();
        for lost in due {
            if let Some(counted) = all.get_mut(&lost.refusal.key()) {
                counted.count += lost.count;
                counted.first = lost.first;
                counted.written = lost.written;
            } else {
                all.insert(lost.refusal.key(), lost);
            }
        }
    }
}

/// Writes the refusals whose time it is, or all of them.
pub(super) async fn write(core: &Core, all_of_it: bool) -> Result<()> {
    let due = core.audit.refusals.due(core.now(), all_of_it);
    if due.is_empty() {
        return Ok(());
    }
    let written = append(core, &due).await;
    if written.is_err() {
        core.audit.refusals.give_back(due);
    }
    written
}

async fn append(core: &Core, due: &[Counted]) -> Result<()> {
    let mut tx = core.store.write().await?;
    for counted in due {
        let chain = chain_of(&mut tx, &counted.refusal).await?;
        let refusal = counted.refusal.clone();
        let mut entry = entry(core.uuid(), counted.last, refusal.actor, &refusal.operation);
        entry.from = refusal.from;
        entry.request_id = counted.request_id.clone();
        entry.project = refusal.project;
        entry.result = AuditResult::Refused;
        entry.reason = Some(refusal.reason);
        entry.count = counted.count;
        entry.since = (counted.count > 1).then_some(counted.first);
        audit::append(&mut tx, &chain, &entry).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// To whose owners a refusal is told: those of the project that the caller belongs to, else to the site's
/// auditors alone.
async fn chain_of(tx: &mut Tx, refusal: &Refusal) -> Result<String> {
    let known = match &refusal.project {
        Some(name) if !refusal.hidden => project::get(tx, name).await?,
        _ => None,
    };
    let id = known.map(|project| rhyzome_model::ProjectId(project.meta.id));
    Ok(audit::chain_of(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> Refusal {
        Refusal {
            actor: Actor {
                name: name.to_owned(),
                ..Refusal::among_many().actor
            },
            ..Refusal::among_many()
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn told(due: &[Counted]) -> Vec<(&str, u64, i64, i64)> {
        due.iter()
            .map(|counted| {
                let (first, last) = (counted.first.as_millis(), counted.last.as_millis());
                (
                    counted.refusal.actor.name.as_str(),
                    counted.count,
                    first,
                    last,
                )
            })
            .collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_those_like_it_once_a_minute() {
        let refusals = Refusals::default();
        refusals.count(refusal("eve"), None, at(0));
        assert_eq!(told(&refusals.due(at(1), false)), [("eve", 1, 0, 0)]);
        for time in 10..1010 {
            refusals.count(refusal("eve"), None, at(time));
        }
        assert!(refusals.due(at(59_000), false).is_empty());
        assert_eq!(
            told(&refusals.due(at(60_001), false)),
            [("eve", 1000, 10, 1009)]
        );
        // Nothing is kept of who has stopped.
        assert!(refusals.due(at(130_000), false).is_empty());
        assert!(refusals.lock().is_empty());
    }

    #[test]
    fn what_could_not_be_written_is_not_lost() {
        let refusals = Refusals::default();
        refusals.count(refusal("eve"), None, at(0));
        let due = refusals.due(at(1), false);
        refusals.count(refusal("eve"), None, at(2));
        refusals.give_back(due);
        assert_eq!(told(&refusals.due(at(3), false)), [("eve", 2, 0, 2)]);
    }

    #[test]
    fn however_many_kinds_there_are_memory_is_bounded_and_none_is_uncounted() {
        let refusals = Refusals::default();
        for number in 0..10_000 {
            refusals.count(refusal(&format!("eve {number}")), None, at(number));
        }
        assert!(refusals.lock().len() <= KINDS + 1);
        let counted: u64 = refusals.due(at(10_000), true).iter().map(|c| c.count).sum();
        assert_eq!(counted, 10_000);
    }
}
