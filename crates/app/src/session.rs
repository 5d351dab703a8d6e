//! A component's session: what it says of itself, what it is given to do, and how that went.

mod outcome;
mod repair;
pub(crate) mod told;

use std::net::IpAddr;

use rhyzome_model::component::HostFacts;
use rhyzome_model::instance::InstanceObserved;
use rhyzome_model::job::{Job, Task};
use rhyzome_model::placement::Observed;
use rhyzome_model::{ComponentId, Digest, JobId, PlacementId, Size, Timestamp};
use rhyzome_store::component::{self, Standing};
use rhyzome_store::job::{self, Verb};
use rhyzome_store::placement;

use crate::{Core, Error, Kind, Result};

pub use outcome::{Taken, outcome};
pub(crate) use outcome::{block_if_in_vain, gone, tell as tell_placement};
pub use repair::{MOST_UNKNOWN, has_room, inventory};

/// How long a job is leased for. Milliseconds; heartbeats renew it.
const LEASE: i64 = 60_000;

/// What a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    Good,
    /// It may get a new one and nothing else.
    Expired,
    Revoked,
    Unknown,
}

/// What a component may do with the certificate that it shows.
pub async fn allowed(core: &Core, id: ComponentId, serial: &str) -> Result<Allowed> {
    let mut conn = core.store.read().await?;
    let mut standing = component::standing(&mut conn, id, serial).await?;
    let adoptable =
        standing == Standing::Unknown && rhyzome_store::restored::get(&mut conn).await?.is_some();
    drop(conn);
    if adoptable {
        let mut work = core.begin().await?;
        work.adopt_certificate(id, serial).await?;
        standing = component::standing(&mut work, id, serial).await?;
        work.commit().await?;
    }
    Ok(match standing {
        Standing::Good { not_after } if not_after < core.now() => Allowed::Expired,
        Standing::Good { .. } => Allowed::Good,
        Standing::Revoked => Allowed::Revoked,
        Standing::Unknown => Allowed::Unknown,
    })
}

/// Begins a session, which comes from an address; one from before of the same component is not its session any more.
pub async fn connected(
    core: &Core,
    id: ComponentId,
    facts: &HostFacts,
    version: &str,
    from: Option<IpAddr>,
) -> Result<i64> {
    let mut work = core.begin().await?;
    let now = work.now;
    let before = component::by_id(&mut work, id).await?;
    let version = told::text(version, told::WORD);
    let session = component::connect(&mut work, id, (facts, &version), from, now).await?;
    let found = component::by_id(&mut work, id).await?;
    let found = found.ok_or_else(|| Error::not_found("component", &id))?;
    crate::component::tell(&mut work, &found, "connected").await?;
    crate::gone::heard(&mut work, id).await?;
    if before.is_some_and(|before| before.facts.tunnel_address != facts.tunnel_address) {
        work.span_anew(id).await?;
    }
    work.commit().await?;
    for warning in found.find_warnings() {
        tracing::warn!(component = %found.meta.name, warning);
    }
    Ok(session)
}

/// Ends a session: its jobs go back to the queue.
pub async fn disconnected(core: &Core, id: ComponentId, session: i64) -> Result<()> {
    let mut work = core.begin().await?;
    let now = work.now;
    job::release(&mut work, id, session).await?;
    if component::disconnect(&mut work, id, session, now).await?
        && let Some(found) = component::by_id(&mut work, id).await?
    {
        crate::component::tell(&mut work, &found, "disconnected").await?;
    }
    work.commit().await
}

/// A sign of life: leases go on. False where another session has taken over.
pub async fn heartbeat(core: &Core, id: ComponentId, session: i64) -> Result<bool> {
    let mut tx = core.store.aside().await?;
    let now = core.now();
    let current = component::seen(&mut tx, id, session, now).await?;
    if current {
        job::renew(&mut tx, id, session, now.plus_millis(LEASE)).await?;
    }
    let was_gone = current && component::is_gone(&mut tx, id).await?;
    tx.commit().await?;
    if was_gone {
        let mut work = core.begin().await?;
        crate::gone::heard(&mut work, id).await?;
        work.commit().await?;
    }
    Ok(current)
}

/// A pause that is longer than any of [`next_try`] began when the core's clock was ahead, and is over.
const LONGEST_PAUSE: i64 = 600_000;

/// At most so many jobs that the component can do now.
pub async fn claim(core: &Core, id: ComponentId, session: i64, limit: u32) -> Result<Vec<Job>> {
    // Of many that are connected most have nothing to do, and those that have wait for their turn to write.
    let mut conn = core.store.read().await?;
    let now = core.now();
    if !job::is_possible(
        &mut conn,
        id,
        session,
        (now, now.plus_millis(LONGEST_PAUSE)),
    )
    .await?
    {
        return Ok(Vec::new());
    }
    drop(conn);
    let mut tx = core.store.aside().await?;
    let now = core.now();
    let times = (now, now.plus_millis(LEASE), now.plus_millis(LONGEST_PAUSE));
    let rows = job::claim(&mut tx, id, session, i64::from(limit), times).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let task = match row.verb {
            Verb::Act(action) => Task::Act {
                target: row.target,
                action,
            },
            Verb::Remove => Task::Remove {
                target: row.target,
                generation: row.generation,
            },
            Verb::Ensure => match placement::by_id(&mut tx, row.target.id).await? {
                Some(found) => match found.placement() {
                    Some(placement) => Task::Ensure { placement },
                    None => Task::Remove {
                        target: row.target,
                        generation: row.generation,
                    },
                },
                None => continue,
            },
        };
        jobs.push(Job {
            id: row.id,
            fence: row.fence,
            task,
        });
    }
    tx.commit().await?;
    Ok(jobs)
}

/// How far a component's job is. Not believed with an old fence, nor from another component.
pub async fn progress(
    core: &Core,
    id: ComponentId,
    job: (JobId, u64),
    step: &str,
    amount: Option<(u64, u64)>,
) -> Result<()> {
    let step = told::text(step, told::STEP);
    let mut tx = core.store.aside().await?;
    job::set_step(&mut tx, id, job, &step, amount).await?;
    tx.commit().await?;
    core.announce_events();
    Ok(())
}

/// What a component noticed by itself: an instance ended, a process died and was started again.
pub async fn observed(
    core: &Core,
    id: ComponentId,
    placement: PlacementId,
    generation: u64,
    observed: &Observed,
) -> Result<()> {
    let mut work = core.begin().await?;
    let found = placement::by_id(&mut work, placement).await?;
    let Some(row) = found.filter(|row| row.component == id) else {
        return Ok(());
    };
    let Some(observed) = told::observed(row.kind, observed) else {
        tracing::warn!(component = %id, %placement, kind = %row.kind, "what was observed is of another kind");
        return Ok(());
    };
    let observed = known_before(row.observed.as_ref(), &observed);
    if placement::set_observed(&mut work, placement, generation, &observed).await?
        && row.observed.as_ref() != Some(&observed)
    {
        outcome::tell_observed(&mut work, &row, &observed).await?;
    }
    work.commit().await
}

/// A component has brought back what somebody changed on its host: people are told what it was.
pub async fn mended(
    core: &Core,
    id: ComponentId,
    (placement, generation): (PlacementId, u64),
    what: &str,
) -> Result<()> {
    let mut work = core.begin().await?;
    let found = placement::by_id(&mut work, placement).await?;
    let is_current = |row: &placement::Row| row.component == id && row.generation == generation;
    if let Some(row) = found.filter(is_current) {
        let what = told::text(what, told::DIFFERENCE);
        outcome::tell(&mut work, &row, "mended", &what).await?;
    }
    work.commit().await
}

/// What was observed, with what is believed only the first time: a hypervisor that lost its records,
/// or says something else, does not change whom a member finds at an instance's SSH port.
fn known_before(before: Option<&Observed>, now: &Observed) -> Observed {
    match (before, now) {
        (Some(Observed::Instance(before)), Observed::Instance(now)) if !before.ssh.is_unknown() => {
            Observed::Instance(InstanceObserved {
                ssh: before.ssh.clone(),
                ..now.clone()
            })
        }
        _ => now.clone(),
    }
}

/// The size of a blob, if the component has an instance that boots from it.
pub async fn blob(core: &Core, id: ComponentId, digest: Digest) -> Result<Size> {
    let mut conn = core.store.read().await?;
    let found = component_needs(&mut conn, id, digest).await?;
    found.ok_or_else(|| Error::new(Kind::NotFound, "this component needs no such blob"))
}

async fn component_needs(
    conn: &mut rhyzome_store::Conn,
    id: ComponentId,
    digest: Digest,
) -> Result<Option<Size>> {
    Ok(rhyzome_store::image::needed_by(conn, id, digest).await?)
}

/// The next try of a job that failed so many times: growing pauses, up to a minute, spread by the
/// job's id so that many do not come at once.
fn next_try(now: Timestamp, attempts: u32, id: JobId) -> Timestamp {
    let pause = 500_i64.saturating_mul(1 << attempts.min(7)).min(60_000);
    let spread = i64::from(id.0.as_bytes()[15]) * pause / 1024;
    now.plus_millis(pause + spread)
}
