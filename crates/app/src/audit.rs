//! The audit log: who did what, and what was refused to whom.
//!
//! ```text
//!   request ──authorize──┬─ refused ──► counted ──now and then──► entry ─┐
//!                        └─ change ──its transaction──► entry ──────────┤
//!   job's end ──its transaction──────────────────────► entry ──────────┴──► sealed, within a second
//! ```
//!
//! Appending touches nothing that writers share; one task puts what was committed into its chain
//! ([`sealing`]). What is not in it on purpose: reading, when a token was used, what components report of
//! themselves, and housekeeping.

mod draft;
mod old;
mod refusals;
mod request;
pub mod sealing;

use std::sync::Arc;

use rhyzome_model::audit::{
    Actor, ActorKind, AuditChain, AuditEntry, AuditResource, AuditResult, Mark, Verification,
    Verifier,
};
use rhyzome_model::{ComponentId, Name, Timestamp};
use rhyzome_store::{Conn, Tx, audit, token};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::authorize::{Caller, Credential, Operation, authorize};
use crate::{
    Core, Environment as _, Error, Listed, PageRequest, Result, SystemEnvironment, resolve,
};

pub(crate) use draft::Draft;
pub use old::drop_old;
pub(crate) use request::decided;
pub(crate) use request::logged_in;
pub use request::{Origin, carried, during, known, unknown};

/// What a core keeps for its audit log.
#[derive(Debug)]
pub struct Audit {
    pub(crate) refusals: refusals::Refusals,
    unsealed: Arc<Notify>,
    sealed: watch::Sender<u64>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            refusals: refusals::Refusals::default(),
            unsealed: Arc::default(),
            sealed: watch::channel(0).0,
        }
    }
}

impl Audit {
    /// There is something to seal.
    pub(crate) fn wake(&self) {
        self.unsealed.notify_one();
    }

    pub(crate) fn sealed(&self) -> watch::Receiver<u64> {
        self.sealed.subscribe()
    }
}

/// Whose chain is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Project(Name),
    Site,
    /// A chain by its id, also that of a project that is gone.
    Chain(String),
}

/// Behind which entry a page begins: behind a number, and, where those were told too, behind one that is not
/// sealed. Written as `NUMBER` or `NUMBER.ID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    pub number: u64,
    pub unsealed: Uuid,
}

impl std::str::FromStr for Behind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (number, unsealed) = match text.split_once('.') {
            None => (text, Ok(Uuid::nil())),
            Some((number, id)) => (number, id.parse()),
        };
        let parsed = number.parse().ok().zip(unsealed.ok());
        let (number, unsealed) = parsed
            .ok_or_else(|| Error::invalid("after", "it has to be the `next` of the page before"))?;
        Ok(Self { number, unsealed })
    }
}

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.unsealed.is_nil() {
            true => self.number.fmt(f),
            false => write!(f, "{}.{}", self.number, self.unsealed),
        }
    }
}

fn allowed(caller: &Caller, whose: &Whose) -> Result<()> {
    match whose {
        Whose::Project(name) => authorize(caller, Operation::AuditRead, Some(name)),
        Whose::Site | Whose::Chain(_) => authorize(caller, Operation::SiteAuditRead, None),
    }
}

/// The name of a chain, and its project's.
async fn named(conn: &mut Conn, whose: &Whose) -> Result<(String, Option<Name>)> {
    Ok(match whose {
        Whose::Site => (audit::chain_of(None), None),
        Whose::Chain(id) => (id.clone(), None),
        Whose::Project(name) => {
            let id = resolve::project(conn, name).await?;
            (audit::chain_of(Some(id)), Some(name.clone()))
        }
    })
}

/// A page of a chain: what is sealed in its order, and behind it what is not yet.
pub async fn list(
    core: &Core,
    caller: &Caller,
    whose: &Whose,
    page: &PageRequest,
) -> Result<Listed<AuditEntry>> {
    allowed(caller, whose)?;
    let behind: Behind = match &page.after {
        Some(after) => after.parse()?,
        None => Behind::default(),
    };
    // Of one moment: nothing is sealed between the two looks, and missed.
    let mut conn = core.store.snapshot().await?;
    let (chain, _) = named(&mut conn, whose).await?;
    let limit = i64::from(page.limit);
    let mut entries = audit::sealed(&mut conn, &chain, behind.number, limit).await?;
    let last = |entries: &[AuditEntry], before: u64| {
        let seal = entries.last().and_then(|entry| entry.seal);
        seal.map_or(before, |seal| seal.number)
    };
    let number = last(&entries, behind.number);
    let left = limit - i64::try_from(entries.len()).unwrap_or(limit);
    if left == 0 {
        let next = Behind {
            number,
            unsealed: behind.unsealed,
        };
        return Ok((entries, Some(next.to_string())));
    }
    let unsealed = audit::unsealed(&mut conn, &chain, behind.unsealed, left).await?;
    let full = i64::try_from(unsealed.len()).unwrap_or(left) == left;
    let next = unsealed.last().filter(|_| full).map(|entry| {
        let unsealed = entry.id;
        Behind { number, unsealed }.to_string()
    });
    entries.extend(unsealed);
    Ok((entries, next))
}

/// At most so many sealed entries behind a number: for who follows.
pub async fn sealed_after(
    core: &Core,
    caller: &Caller,
    whose: &Whose,
    number: u64,
    limit: u32,
) -> Result<Vec<AuditEntry>> {
    allowed(caller, whose)?;
    let mut conn = core.store.read().await?;
    let (chain, _) = named(&mut conn, whose).await?;
    Ok(audit::sealed(&mut conn, &chain, number, i64::from(limit)).await?)
}

/// A chain: where it begins and ends.
pub async fn chain(core: &Core, caller: &Caller, whose: &Whose) -> Result<AuditChain> {
    allowed(caller, whose)?;
    let mut conn = core.store.snapshot().await?;
    let (chain, project) = named(&mut conn, whose).await?;
    Ok(audit::get(&mut conn, &chain, project.as_ref()).await?)
}

/// All chains that have something sealed, also those of projects that are gone.
pub async fn chains(
    core: &Core,
    caller: &Caller,
    page: &PageRequest,
) -> Result<Listed<AuditChain>> {
    authorize(caller, Operation::SiteAuditRead, None)?;
    let mut conn = core.store.read().await?;
    let rows = audit::chains(&mut conn, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row: &AuditChain| {
        row.chain.clone()
    }))
}

/// How many entries are in memory at a time while a chain is verified.
const CHUNK: i64 = 1000;

/// Computes a chain anew, and compares.
pub async fn verify(
    core: &Core,
    caller: &Caller,
    whose: &Whose,
    known: Option<Mark>,
) -> Result<Verification> {
    allowed(caller, whose)?;
    let mut conn = core.store.snapshot().await?;
    let (chain, project) = named(&mut conn, whose).await?;
    let found = audit::get(&mut conn, &chain, project.as_ref()).await?;
    let mut verifier = Verifier::new(found, known, true);
    let mut after = 0;
    loop {
        let entries = audit::sealed(&mut conn, &chain, after, CHUNK).await?;
        entries.iter().for_each(|entry| verifier.see(entry));
        match entries.last().and_then(|entry| entry.seal) {
            Some(seal) => after = seal.number,
            None => break,
        }
        // It may be long: others have their turn.
        tokio::task::yield_now().await;
    }
    let mut after = Uuid::nil();
    loop {
        let entries = audit::unsealed(&mut conn, &chain, after, CHUNK).await?;
        entries.iter().for_each(|entry| verifier.see(entry));
        match entries.last() {
            Some(last) => after = last.id,
            None => break,
        }
    }
    Ok(verifier.end())
}

/// The caller as the audit log names them.
pub(crate) fn actor(caller: &Caller) -> Actor {
    let (kind, id) = match caller.credential {
        Credential::Local => (ActorKind::Local, None),
        Credential::Token(id) => (ActorKind::Token, Some(id.0)),
        Credential::Session(id) => (ActorKind::Session, Some(id.0)),
    };
    Actor {
        kind,
        id,
        name: caller.name.clone(),
        person: caller.person,
    }
}

/// A component.
pub(crate) fn component(id: ComponentId, name: &Name) -> Actor {
    Actor {
        kind: ActorKind::Component,
        id: Some(id.0),
        name: name.to_string(),
        person: None,
    }
}

/// The core itself.
pub(crate) fn itself() -> Actor {
    Actor {
        kind: ActorKind::Core,
        id: None,
        name: "core".to_owned(),
        person: None,
    }
}

/// An entry with as much as every one has.
pub(crate) fn entry(id: Uuid, time: Timestamp, actor: Actor, operation: &str) -> AuditEntry {
    AuditEntry {
        id,
        time,
        actor,
        from: None,
        request_id: None,
        operation: operation.to_owned(),
        project: None,
        resource: None,
        result: AuditResult::Done,
        reason: None,
        count: 1,
        since: None,
        jobs: Vec::new(),
        cause: None,
        seal: None,
    }
}

/// The site was taken back to a copy that was made then, on the core's machine.
pub fn of_restoring(copied_at: Timestamp) -> AuditEntry {
    let (id, now) = (SystemEnvironment.uuid(), SystemEnvironment.now());
    let mut entry = entry(id, now, actor(&Caller::local()), "site_restore");
    entry.resource = Some(AuditResource {
        kind: "site".to_owned(),
        id: None,
        name: "site".to_owned(),
    });
    entry.reason = Some(format!("from a copy of {copied_at}"));
    entry
}

/// A new token of the administrator, made on the core's machine.
pub(crate) async fn of_admin_token(
    core: &Core,
    tx: &mut Tx,
    row: &token::NewToken<'_>,
) -> Result<()> {
    let actor = actor(&Caller::local());
    let mut entry = entry(core.uuid(), core.now(), actor, "admin_token_reset");
    entry.resource = Some(AuditResource {
        kind: "api_token".to_owned(),
        id: Some(row.id.0),
        name: row.name.to_string(),
    });
    audit::append(tx, &audit::chain_of(None), &entry).await?;
    Ok(())
}
