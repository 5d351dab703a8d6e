//! Putting another program in a component's place: asked for by an operator, done by the component, which says how
//! far it is.
//!
//! Nothing depends on a message's arriving: an order is given at the beginning of each session until it has
//! ended, and a session begins with how the latest one ended.

use rhyzome_model::resource::Component;
use rhyzome_model::upgrade::{
    LEAST_WITHIN, MOST_WITHIN, Program, Upgrade, UpgradeOrder, UpgradePhase, UpgradeReport,
    UpgradeTo,
};
use rhyzome_model::{ComponentId, Digest, Name};
use rhyzome_store::upgrade::{self, Programs};
use rhyzome_store::{blob, component, image};

use crate::authorize::{Caller, Operation, authorize};
use crate::session::told;
use crate::work::Work;
use crate::{Core, Error, Kind, Result, resolve};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct UpgradeRequest {
    pub source: Source,
    /// How long the program has to get a session, in seconds.
    pub within: u32,
}

/// Where the program comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Bytes that a project has shown.
    Blob { project: Name, digest: Digest },
    /// The component has kept it.
    Previous,
}

/// Asks a component to run another program. Asking for what it is being done already changes nothing.
///
/// # Errors
/// `WrongState` where the component cannot do that, `Invalid` where there are no such bytes.
pub async fn begin(
    core: &Core,
    caller: &Caller,
    name: &Name,
    request: UpgradeRequest,
) -> Result<Component> {
    authorize(caller, Operation::ComponentUpgrade, None)?;
    if !(LEAST_WITHIN..=MOST_WITHIN).contains(&request.within) {
        let why = format!("{LEAST_WITHIN} to {MOST_WITHIN} seconds are possible");
        return Err(Error::invalid("within", why));
    }
    let mut work = core.begin().await?;
    let found = resolve::component(&mut work, name).await?;
    if found.revoked {
        let why = format!("{name} is revoked: it will never connect again");
        return Err(Error::new(Kind::WrongState, why));
    }
    let Some(program) = &found.program else {
        let why = format!(
            "the core cannot replace the program of {name}, which has not said what it is: upgrade it on its host"
        );
        return Err(Error::new(Kind::WrongState, why));
    };
    let to = wanted(&mut work, program, &request.source).await?;
    let open = found.upgrade.as_ref();
    let open = open.filter(|upgrade| !upgrade.phase.ended());
    if open.is_none_or(|open| (open.to, open.within) != (to, request.within)) {
        let now = work.now;
        let upgrade = Upgrade {
            id: core.uuid(),
            to,
            within: request.within,
            phase: UpgradePhase::Asked,
            reason: None,
            amount: None,
            asked_at: now,
            updated_at: now,
        };
        let programs = Programs {
            program: found.program.clone(),
            upgrade: Some(upgrade),
        };
        let id = ComponentId(found.meta.id);
        upgrade::set(&mut work, id, &programs).await?;
        let what = match to {
            UpgradeTo::Program { digest, .. } => format!("to the program sha256:{digest}"),
            UpgradeTo::Previous => "back to the program from before".to_owned(),
        };
        crate::component::tell_more(&mut work, &found, "upgrade asked", &what).await?;
        work.wake(id);
        work.commit().await?;
    }
    crate::component::get(core, caller, name).await
}

async fn wanted(work: &mut Work, program: &Program, source: &Source) -> Result<UpgradeTo> {
    let (project, digest) = match source {
        Source::Previous if program.previous.is_some() => return Ok(UpgradeTo::Previous),
        Source::Previous => {
            let why = "the component has kept no program that it could go back to";
            return Err(Error::new(Kind::WrongState, why));
        }
        Source::Blob { project, digest } => (project, *digest),
    };
    let project_id = resolve::project(work, project).await?;
    let found = image::blob(work, project_id, digest).await?;
    let Some(row) = found else {
        let why = format!("the project {project} has no blob {digest}: upload it first");
        return Err(Error::invalid("to.program.digest", why));
    };
    if !crate::blob::is_there(work, digest).await? {
        let why = format!("the bytes of the blob {digest} are damaged: upload it again");
        return Err(Error::invalid("to.program.digest", why));
    }
    blob::touch(work, digest).await?;
    Ok(UpgradeTo::Program {
        digest,
        size: row.blob.size,
    })
}

/// What a component is to be told, if there is anything.
pub async fn order(core: &Core, id: ComponentId) -> Result<Option<UpgradeOrder>> {
    let mut conn = core.store.read().await?;
    let found = upgrade::get(&mut conn, id).await?;
    Ok(found.and_then(|programs| programs.upgrade?.order()))
}

/// A component has said at the beginning of a session what it runs, and how far the latest order is.
pub async fn introduced(
    core: &Core,
    id: ComponentId,
    program: Option<Program>,
    report: Option<UpgradeReport>,
) -> Result<()> {
    let program = program.map(|program| Program {
        machine: told::text(&program.machine, told::WORD),
        ..program
    });
    change(core, id, |programs| {
        if program.is_none() {
            fail(
                programs,
                "the component was started with a program that the core cannot replace",
            );
        }
        programs.program.clone_from(&program);
        if let Some(report) = &report {
            note(programs, report);
        }
    })
    .await
}

/// A component says how far an upgrade is. Of another one than the latest nothing is believed.
pub async fn reported(core: &Core, id: ComponentId, report: UpgradeReport) -> Result<()> {
    change(core, id, |programs| note(programs, &report)).await
}

/// What has ended may turn out to have ended in another way, and does not go on any more.
fn note(programs: &mut Programs, report: &UpgradeReport) {
    let latest = programs.upgrade.as_mut();
    let Some(upgrade) = latest.filter(|upgrade| upgrade.id == report.id) else {
        return;
    };
    if upgrade.phase.ended() && !report.phase.ended() {
        return;
    }
    upgrade.phase = report.phase;
    upgrade.amount = report.amount;
    upgrade.reason =
        (report.phase == UpgradePhase::Failed).then(|| told::text(&report.reason, told::REASON));
}

fn fail(programs: &mut Programs, why: &str) {
    let open = programs.upgrade.as_mut();
    if let Some(upgrade) = open.filter(|upgrade| !upgrade.phase.ended()) {
        upgrade.phase = UpgradePhase::Failed;
        upgrade.reason = Some(why.to_owned());
    }
}

/// Notes what is known anew, and tells of it; nothing is written where nothing is new.
async fn change(core: &Core, id: ComponentId, change: impl Fn(&mut Programs)) -> Result<()> {
    let mut conn = core.store.read().await?;
    let before = upgrade::get(&mut conn, id).await?.unwrap_or_default();
    drop(conn);
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return Ok(());
    }
    let mut work = core.begin().await?;
    let Some(before) = upgrade::get(&mut work, id).await? else {
        return Ok(());
    };
    let mut after = before.clone();
    change(&mut after);
    let phase = |programs: &Programs| programs.upgrade.as_ref().map(|upgrade| upgrade.phase);
    if let Some(upgrade) = &mut after.upgrade {
        upgrade.updated_at = work.now;
    }
    upgrade::set(&mut work, id, &after).await?;
    if phase(&before) != phase(&after)
        && let Some(found) = component::by_id(&mut work, id).await?
        && let Some(upgrade) = &found.upgrade
    {
        let what = match upgrade.phase {
            UpgradePhase::Done => "upgraded",
            UpgradePhase::Failed => "upgrade failed",
            UpgradePhase::Asked
            | UpgradePhase::Fetching
            | UpgradePhase::Checking
            | UpgradePhase::Trying => "upgrading",
        };
        let message = upgrade.reason.as_deref();
        let message = message.unwrap_or(upgrade.phase.as_str());
        crate::component::tell_more(&mut work, &found, what, message).await?;
    }
    work.commit().await
}
