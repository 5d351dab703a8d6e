//! Attaching to a console: any number of readers, one writer.

use std::time::Duration;

use rhyzome_model::console::{ConsoleFrom, ConsolePiece, ConsoleRequest};
use rhyzome_model::{InstanceId, Name};
use rhyzome_store::{instance, placement};

use crate::authorize::{Caller, Operation, authorize};
use crate::consoles::{Near, Writer, Writing};
use crate::{Core, Error, Kind, Result, resolve};

/// How long a hypervisor may take to open a stream.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Whether the caller writes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Read,
    /// Refused while somebody else writes.
    Write,
    /// Whoever writes now only reads from then on.
    Take,
}

/// A console that the caller is attached to.
#[derive(Debug)]
pub struct Attached {
    pub instance: InstanceId,
    /// Where it begins, and what is there already.
    pub first: ConsolePiece,
    pub stream: Near,
    /// The right to write, where that was asked for.
    pub writing: Option<Writing>,
}

/// Attaches to an instance's console.
///
/// # Errors
/// `InUse` where somebody else writes, `Unavailable` where its hypervisor does not answer this core.
pub async fn attach(
    core: &Core,
    caller: &Caller,
    (project, name): (&Name, &Name),
    from: ConsoleFrom,
    mode: Mode,
) -> Result<Attached> {
    let found = attachable(core, caller, project, name).await?;
    let own = {
        let mut conn = core.store.read().await?;
        placement::of_resource(&mut conn, found.id.0).await?
    };
    let away = || {
        let why = format!(
            "{} is not connected to this core; its consoles cannot be attached to now",
            found.host_name
        );
        Error::new(Kind::Unavailable, why)
    };
    let row = own.first().filter(|row| row.connected).ok_or_else(away)?;
    let writing = writing(core, caller, &found, mode)?;
    let request = ConsoleRequest {
        stream: core.uuid(),
        target: row.reference(),
        from,
    };
    let asked = core.consoles.ask(row.component, request).ok_or_else(away)?;
    let silent = || {
        let why = format!(
            "{} did not open the console in time; try again",
            found.host_name
        );
        Error::new(Kind::Unavailable, why)
    };
    let opened = async {
        let mut stream = asked.joined().await?;
        let first = stream.output.recv().await?;
        Some((stream, first))
    };
    let opened = tokio::time::timeout(OPEN_WITHIN, opened).await;
    let (stream, first) = opened.ok().flatten().ok_or_else(silent)?;
    let first = first.map_err(|why| Error::new(Kind::Unavailable, why))?;
    if writing.is_some() {
        told(core, &found).await?;
    }
    Ok(Attached {
        instance: found.id,
        first,
        stream,
        writing,
    })
}

/// The audit log tells of who may type from now on; what is typed is the guest's.
async fn told(core: &Core, found: &instance::Instance) -> Result<()> {
    let mut work = core.begin().await?;
    let (id, name) = (found.id.0, &found.meta.name);
    work.audit
        .concerns(None, "instance", Some(id), name.as_str());
    work.commit().await
}

/// Whether the caller may be attached to a console, which is asked again while they are: the instance.
pub async fn attachable(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
) -> Result<instance::Instance> {
    authorize(caller, Operation::InstanceConsole, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = instance::get(&mut conn, project, name).await?;
    found.ok_or_else(|| Error::not_found("instance", name))
}

fn writing(
    core: &Core,
    caller: &Caller,
    found: &instance::Instance,
    mode: Mode,
) -> Result<Option<Writing>> {
    let take = match mode {
        Mode::Read => return Ok(None),
        Mode::Write => false,
        Mode::Take => true,
    };
    let writer = Writer {
        name: caller.name.clone(),
        since: core.now(),
    };
    let writing = core.consoles.write(found.id, writer, take);
    writing.map(Some).map_err(|other| {
        let name = &found.meta.name;
        let Writer { name: who, since } = other;
        let why = format!("{who} has been writing to the console of {name} since {since}");
        Error::new(Kind::InUse, why)
    })
}
