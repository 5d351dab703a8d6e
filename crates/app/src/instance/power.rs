//! Starting, stopping, rebooting, and looking at the console.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rhyzome_model::instance::{InstanceSpec, InstanceState, Power};
use rhyzome_model::job::{Action, FailureKind, JobState};
use rhyzome_model::resource::Instance;
use rhyzome_model::{JobId, Name};
use rhyzome_store::job::{self, Verb};
use rhyzome_store::{instance, placement};

use super::{Change, existing, get, refuse_while_deleting, tell, view};
use crate::authorize::{Caller, Operation, authorize};
use crate::{Core, Error, Kind, Result, resolve};

/// How long the core waits for a component's answer to a question.
const ANSWER: Duration = Duration::from_secs(20);

/// Starts an instance, also one that ended by itself or failed.
pub async fn start(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<Instance> {
    switch(core, caller, (project, name), Power::Running, false).await
}

/// Stops an instance: asks it, and forces it after its stop timeout; at once with `force`.
pub async fn stop(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    force: bool,
) -> Result<Instance> {
    switch(core, caller, (project, name), Power::Stopped, force).await
}

async fn switch(
    core: &Core,
    caller: &Caller,
    (project, name): (&Name, &Name),
    power: Power,
    force: bool,
) -> Result<Instance> {
    authorize(caller, Operation::InstancePower, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    refuse_while_deleting(&found)?;
    let own = placement::of_resource(&mut work, found.id.0).await?;
    let state = view::observed(&own).map(|observed| observed.state);
    let what = match power {
        Power::Running => "starting",
        Power::Stopped => "stopping",
    };
    let same = found.spec.power == power;
    let spec = InstanceSpec {
        power,
        ..found.spec.clone()
    };
    let generations: Vec<_> = own.iter().map(|row| row.generation).collect();
    let change = Change {
        spec,
        ssh_keys: found.ssh_keys.clone(),
        what,
        stop_timeout: if force { Some(0) } else { None },
    };
    let id = change.apply(&mut work, &found).await?;
    // A guest that ended by itself is started by asking for the same once more.
    let ended = matches!(state, Some(InstanceState::Ended | InstanceState::Crashed));
    let now = work.now;
    let after = placement::by_id(&mut work, id).await?;
    let unchanged = after.is_some_and(|row| generations.contains(&row.generation));
    if same && unchanged && power == Power::Running && ended {
        placement::again(&mut work, id, now).await?;
        work.enqueue(id, found.host, &Verb::Ensure).await?;
        tell(&mut work, &found, what, "").await?;
    }
    work.commit().await?;
    get(core, caller, project, name).await
}

/// Restarts a running instance: asks it, and forces it after its stop timeout.
pub async fn reboot(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<JobId> {
    authorize(caller, Operation::InstancePower, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    refuse_while_deleting(&found)?;
    let own = placement::of_resource(&mut work, found.id.0).await?;
    let running = view::observed(&own).is_some_and(|o| o.state == InstanceState::Running);
    let Some(row) = own.first().filter(|_| running) else {
        let why = format!("the instance {name} does not run; start it");
        return Err(Error::new(Kind::WrongState, why));
    };
    let id = work
        .enqueue(row.id, row.component, &Verb::Act(Action::Reboot))
        .await?;
    tell(&mut work, &found, "rebooting", "").await?;
    work.commit().await?;
    Ok(id)
}

/// The last bytes of an instance's serial console, from its hypervisor.
pub async fn console(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    bytes: u32,
) -> Result<Vec<u8>> {
    authorize(caller, Operation::InstanceConsole, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = instance::get(&mut work, project_id, name).await?;
    let found = found.ok_or_else(|| Error::not_found("instance", name))?;
    let own = placement::of_resource(&mut work, found.id.0).await?;
    let Some(row) = own.first() else {
        return Ok(Vec::new());
    };
    if !row.connected {
        let why = format!(
            "{} is not connected; its console cannot be read now",
            found.host_name
        );
        return Err(Error::new(Kind::Unavailable, why));
    }
    let of = Some((project_id, project));
    work.audit
        .concerns(of, "instance", Some(found.id.0), name.as_str());
    let id = work
        .enqueue(
            row.id,
            row.component,
            &Verb::Act(Action::ConsoleLog { bytes }),
        )
        .await?;
    work.commit().await?;
    answer(core, id).await
}

/// Waits for the output of an action.
async fn answer(core: &Core, id: JobId) -> Result<Vec<u8>> {
    let mut news = core.news.of(id.0);
    let deadline = tokio::time::Instant::now() + ANSWER;
    loop {
        let found = {
            let mut conn = core.store.read().await?;
            job::by_id(&mut conn, id).await?
        };
        let row = found.ok_or_else(|| Error::not_found("job", &id))?;
        match row.state {
            JobState::Done => {
                let text = row.output.unwrap_or_default();
                return STANDARD.decode(text).map_err(Error::internal);
            }
            JobState::Failed | JobState::Superseded => {
                let (kind, why) = row
                    .failure
                    .unwrap_or((FailureKind::Transient, String::new()));
                return Err(Error::of_job(kind, why));
            }
            JobState::Queued | JobState::Leased => {}
        }
        if tokio::time::Instant::now() >= deadline {
            let why = "the hypervisor did not answer in time; try again";
            return Err(Error::new(Kind::Unavailable, why));
        }
        let poll = Duration::from_millis(500);
        // Whether told or not, it is looked again.
        let _ = tokio::time::timeout(poll, news.changed()).await;
    }
}
