//! How a job went, and what follows from it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rhyzome_model::instance::InstanceState;
use rhyzome_model::job::{FailureKind, JobState, Outcome};
use rhyzome_model::placement::{Observed, PlacementKind};
use rhyzome_model::{
    ComponentId, InstanceId, JobId, LeaseId, Name, NetworkId, PeerId, PlacementId, ProjectId,
};
use rhyzome_store::job::{self, Verb};
use rhyzome_store::placement::{self, Row, State};
use rhyzome_store::{lease, network, peer, revocation};

use super::{known_before, next_try, told};
use crate::work::{Subject, Work};
use crate::{Core, Result};

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is on the disk, or there is nothing that it could be the outcome of.
    Recorded,
    /// The job was given out anew to the same component, whose new outcome is waited for.
    Stale,
}

/// Records how a job went; with an old fence it is not believed. Safe to repeat.
pub async fn outcome(
    core: &Core,
    component: ComponentId,
    (id, fence): (JobId, u64),
    outcome: &Outcome,
) -> Result<Taken> {
    let mut work = core.begin().await?;
    let found = job::by_id(&mut work, id).await?;
    let leased = |row: &job::Row| row.component == component && row.state == JobState::Leased;
    let row = match found.filter(leased) {
        Some(row) if row.fence == fence => row,
        other => {
            tracing::debug!(%id, fence, "an outcome came too late and is not believed");
            // What says so is on the disk before its component is told.
            work.commit().await?;
            return Ok(other.map_or(Taken::Recorded, |_| Taken::Stale));
        }
    };
    let placement = placement::by_id(&mut work, row.target.id).await?;
    match outcome {
        Outcome::Ensured { observed } => match told::observed(row.target.kind, observed) {
            Some(observed) => ensured(&mut work, &row, placement, &observed).await?,
            None => {
                let message = "its component reported what another kind of thing can be";
                failed(
                    &mut work,
                    &row,
                    placement,
                    (FailureKind::Permanent, message),
                )
                .await?;
            }
        },
        Outcome::Removed => removed(&mut work, &row, placement).await?,
        Outcome::Acted { output } => {
            let output = STANDARD.encode(output);
            finish(&mut work, &row, JobState::Done, (None, Some(&output))).await?;
        }
        Outcome::Failed { kind, message } => {
            let message = told::text(message, told::FAILURE);
            failed(&mut work, &row, placement, (*kind, &message)).await?;
        }
    }
    work.commit().await?;
    Ok(Taken::Recorded)
}

async fn finish(
    work: &mut Work,
    row: &job::Row,
    state: JobState,
    result: (Option<(FailureKind, &str)>, Option<&str>),
) -> Result<()> {
    let now = work.now;
    work.news_of(row.id.0);
    let core = work.core().clone();
    work.audit.ended(&core, row, state, result.0, now);
    Ok(job::finish(work, row.id, state, result, now).await?)
}

async fn ensured(
    work: &mut Work,
    row: &job::Row,
    placement: Option<Row>,
    observed: &Observed,
) -> Result<()> {
    finish(work, row, JobState::Done, (None, None)).await?;
    let Some(placement) = placement else {
        return Ok(());
    };
    let now = work.now;
    let observed = &known_before(placement.observed.as_ref(), observed);
    if !placement::set_ready(work, placement.id, row.generation, observed, now).await? {
        return Ok(());
    }
    unblock(work, placement.id).await?;
    work.wake_neighbours(placement.id).await?;
    if placement.observed.as_ref() != Some(observed) {
        tell_observed(work, &placement, observed).await?;
    }
    if placement.state != State::Ready {
        tell(work, &placement, "ready", "").await?;
    }
    Ok(())
}

async fn removed(work: &mut Work, row: &job::Row, placement: Option<Row>) -> Result<()> {
    finish(work, row, JobState::Done, (None, None)).await?;
    match placement.filter(|p| !p.wanted && p.generation == row.generation) {
        Some(placement) => {
            if placement.kind == PlacementKind::Peer {
                let now = work.now;
                revocation::confirmed(work, placement.id, now).await?;
            }
            gone(work, &placement).await
        }
        None => Ok(()),
    }
}

/// Forgets a placement that is not on its host any more, and what goes with its last one.
pub(crate) async fn gone(work: &mut Work, placement: &Row) -> Result<()> {
    work.wake_neighbours(placement.id).await?;
    if let Some(open) = job::open(work, placement.id).await? {
        finish(work, &open, JobState::Superseded, (None, None)).await?;
    }
    unblock(work, placement.id).await?;
    placement::delete(work, placement.id).await?;
    tell(work, placement, "removed", "").await?;
    forget_if_gone(work, placement).await
}

/// A resource that is being deleted goes with its last placement.
async fn forget_if_gone(work: &mut Work, gone: &Row) -> Result<()> {
    match gone.kind {
        PlacementKind::Network | PlacementKind::Segment => {
            let id = NetworkId(gone.resource);
            let left = placement::of_resource(work, gone.resource).await?;
            let found = network::by_id(work, id).await?;
            if let Some(row) = found.filter(|row| row.deleting && left.is_empty()) {
                network::delete(work, id).await?;
                tell(
                    work,
                    gone,
                    "deleted",
                    &format!("{} and its prefixes are free", row.meta.name),
                )
                .await?;
            }
        }
        PlacementKind::Peer => {
            let left = placement::of_resource(work, gone.resource).await?;
            let found = peer::by_id(work, PeerId(gone.resource)).await?;
            if let Some(row) = found.filter(|row| row.deleting && left.is_empty()) {
                crate::peer::forget(work, &row).await?;
            }
        }
        PlacementKind::Vtep => {}
        PlacementKind::Lease => {
            if let Some(instance) = lease::delete(work, LeaseId(gone.resource)).await? {
                crate::instance::left(work, instance, gone.network).await?;
                crate::instance::forget_if_gone(work, instance).await?;
            }
        }
        PlacementKind::Instance => {
            crate::instance::forget_if_gone(work, InstanceId(gone.resource)).await?;
        }
    }
    Ok(())
}

async fn failed(
    work: &mut Work,
    row: &job::Row,
    placement: Option<Row>,
    (kind, message): (FailureKind, &str),
) -> Result<()> {
    let now = work.now;
    let action = matches!(row.verb, Verb::Act(_));
    // Removing is never given up: what nobody removes would stay for ever.
    let again = match (kind, &row.verb) {
        (_, Verb::Remove) => true,
        (FailureKind::Transient, Verb::Ensure) => true,
        (FailureKind::Transient, Verb::Act(_)) => row.attempts < 3,
        (FailureKind::Permanent | FailureKind::Unsupported, _) => false,
    };
    if again {
        let at = next_try(now, row.attempts, row.id);
        job::retry(work, row.id, (kind, message), at).await?;
    } else {
        finish(work, row, JobState::Failed, (Some((kind, message)), None)).await?;
    }
    let current = placement.filter(|p| !action && p.generation == row.generation);
    let Some(placement) = current else {
        return Ok(());
    };
    if again {
        let text = format!("{message}; it is tried again");
        placement::set_state(work, placement.id, State::Pending, ("Retrying", &text), now).await?;
        // Said once, not at each try.
        if placement.reason != "Retrying" {
            tell(work, &placement, "retrying", message).await?;
        }
        // What it needs may have been refused while it was tried.
        return block_if_in_vain(work, placement.id).await;
    }
    placement::set_state(work, placement.id, State::Failed, ("Refused", message), now).await?;
    block(work, &placement, message).await?;
    tell(work, &placement, "failed", message).await
}

/// Says at what waits for a placement that was refused, or is blocked itself, that it waits in vain.
async fn block(work: &mut Work, refused: &Row, message: &str) -> Result<()> {
    let (kind, name, now) = (refused.kind, &refused.resource_name, work.now);
    let blocked = match refused.reason.as_str() {
        "Blocked" => message.to_owned(),
        _ => format!("the {kind} of {name} failed: {message}"),
    };
    for resource in placement::block(work, refused.id, &blocked, now).await? {
        work.news_of(resource);
    }
    Ok(())
}

/// Says at a placement that it waits in vain, if it does.
pub(crate) async fn block_if_in_vain(work: &mut Work, id: PlacementId) -> Result<()> {
    for need in placement::failed_needs(work, id).await? {
        block(work, &need, &need.message).await?;
    }
    Ok(())
}

/// Lets what waited in vain for a placement go on, unless it waits in vain for another one.
async fn unblock(work: &mut Work, id: PlacementId) -> Result<()> {
    let now = work.now;
    for refused in placement::unblock(work, id, now).await? {
        block(work, &refused, &refused.message).await?;
    }
    Ok(())
}

/// Tells of what was observed, where people want to know.
pub(super) async fn tell_observed(work: &mut Work, row: &Row, observed: &Observed) -> Result<()> {
    let Observed::Instance(instance) = observed else {
        return Ok(());
    };
    let before = match &row.observed {
        Some(Observed::Instance(before)) => Some((before.state, before.restarts)),
        _ => None,
    };
    if before == Some((instance.state, instance.restarts)) {
        return Ok(());
    }
    let what = match instance.state {
        InstanceState::Running => "running",
        InstanceState::Stopped => "stopped",
        InstanceState::Ended => "ended",
        InstanceState::Crashed => "crashed",
    };
    tell(work, row, what, &instance.reason).await
}

/// Tells of a placement in the name of the resource that users know.
pub(crate) async fn tell(work: &mut Work, row: &Row, what: &str, message: &str) -> Result<()> {
    let kind = match row.kind {
        PlacementKind::Network => "network",
        PlacementKind::Segment => "segment",
        PlacementKind::Vtep => "vtep",
        PlacementKind::Lease => "lease",
        PlacementKind::Peer => "peer",
        PlacementKind::Instance => "instance",
    };
    let project = match row.project {
        Some(id) => project_name(work, id).await?.map(|name| (id, name)),
        None => None,
    };
    let subject = Subject {
        project: project.as_ref().map(|(id, name)| (*id, name)),
        kind,
        id: row.resource,
        name: &row.resource_name,
    };
    work.event(&subject, what, message).await
}

async fn project_name(work: &mut Work, id: ProjectId) -> Result<Option<Name>> {
    Ok(rhyzome_store::project::name(work, id).await?)
}
