//! Instances: placed, with their addresses, before anything boots.

mod address;
pub mod attach;
mod boot;
pub(crate) mod disk;
mod guest;
mod host;
mod power;
mod view;
mod way;

use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::{Attachment, InstanceSpec};
use rhyzome_model::placement::PlacementKind;
use rhyzome_model::quota::QuotaKind;
use rhyzome_model::resource::{Instance, InstanceSummary};
use rhyzome_model::segment::Segment;
use rhyzome_model::ssh_key::PinnedKey;
use rhyzome_model::status::Phase;
use rhyzome_model::{InstanceId, Name, NetworkId, PlacementId, ProjectId, Size};
use rhyzome_store::{image, instance, lease, network, placement};

use crate::authorize::{Caller, Operation, authorize, may};
use crate::network::card;
use crate::work::Work;
use crate::{Core, Error, IfMatch, Kind, Listed, PageRequest, Result, quota, resolve, status};

pub use power::{console, reboot, start, stop};
pub use view::why;

pub async fn create(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: Name,
    mut spec: InstanceSpec,
) -> Result<Instance> {
    authorize(caller, Operation::InstanceCreate, Some(project))?;
    if !spec.bridges.is_empty() || spec.card_slots > 0 {
        authorize(caller, Operation::BridgeAttach, None)?;
    }
    validate(&spec)?;
    let mut work = core.begin().await?;
    work.refuse_unconfirmed().await?;
    let project_id = resolve::project(&mut work, project).await?;
    if instance::get(&mut work, project_id, &name).await?.is_some() {
        return Err(Error::name_taken("instance", &name));
    }
    let ssh_keys = guest::keys(&mut work, project_id, &mut spec).await?;
    let boots = boot::find(&mut work, project_id, &spec).await?;
    boot::check_devices(&spec, &boots.format)?;
    disk::check(&spec, &boots.format)?;
    let more = Claims::of(&spec, &boots.format);
    quota::check(&mut work, project_id, &more.beyond(&Claims::default(), 1)).await?;
    let mut networks = Vec::new();
    for network in &spec.networks {
        networks.push(resolve::usable_network(&mut work, project_id, network).await?);
    }
    let (host, placing) =
        host::choose(&mut work, (project_id, &networks), &spec, &boots.format).await?;
    let id = InstanceId(core.uuid());
    let leases = address::allocate(&mut work, (project, &name, id), &networks).await?;
    address::complete(&mut work, (project, &name), &mut spec.bridges).await?;
    let image = (&boots.image, &boots.format);
    let command_line = boot::command_line(core, &name, &spec, image, (&networks, &leases))?;
    let row = instance::NewInstance {
        id,
        project: project_id,
        name: &name,
        spec: &spec,
        host,
        image: &boots.name,
        digest: boots.image.digest,
        initrd: boots.image.initrd,
        format: &boots.format,
        command_line: &command_line,
        image_command_line: &boots.image.command_line,
        placing: &placing,
        ssh_keys: &ssh_keys,
    };
    let now = work.now;
    instance::insert(&mut work, &row, now).await?;
    for lease in &leases {
        lease::insert(&mut work, lease).await?;
    }
    let made = existing(&mut work, project_id, &name).await?;
    work.want_instance(&made, boots.initrd, (&networks, &leases))
        .await?;
    tell(
        &mut work,
        &made,
        "created",
        &format!("on {}", made.host_name),
    )
    .await?;
    work.commit().await?;
    get(core, caller, project, &name).await
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<Instance> {
    authorize(caller, Operation::InstanceRead, Some(project))?;
    let reads_secrets = may(caller, Operation::InstanceSecretRead, Some(project));
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = instance::get(&mut conn, project, name).await?;
    let row = found.ok_or_else(|| Error::not_found("instance", name))?;
    let mut instance = view::whole(core, &mut conn, row).await?;
    if !reads_secrets {
        instance.spec.user_data = None;
    }
    Ok(instance)
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<InstanceSummary>> {
    authorize(caller, Operation::InstanceRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = instance::list(&mut conn, project, &resolve::after(page)).await?;
    let (rows, next) = resolve::listed(rows, page, |row| row.meta.name.to_string());
    let placements =
        resolve::placements(&mut conn, placement::Listed::Instances, project, page).await?;
    let before = core.silent_before();
    let summarize = |row: instance::Instance| {
        let own = placements
            .get(&row.id.0)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let phase = status::phase(row.deleting, own, before);
        InstanceSummary {
            phase,
            state: view::observed(own)
                .filter(|_| phase != Phase::Unknown)
                .map(|observed| observed.state),
            meta: row.meta,
            host: row.host_name,
            image: row.spec.image,
            cpus: row.spec.cpus,
            memory: row.spec.memory,
            ipv4: row.first_ipv4,
        }
    };
    Ok((rows.into_iter().map(summarize).collect(), next))
}

/// Changes an instance. What the running guest cannot get is there after its next start; the status
/// says so.
pub async fn update(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    mut spec: InstanceSpec,
    if_match: IfMatch,
) -> Result<Instance> {
    authorize(caller, Operation::InstanceUpdate, Some(project))?;
    validate(&spec)?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    refuse_while_deleting(&found)?;
    check_fixed(&found, &spec)?;
    spec.bridges.clone_from(&found.spec.bridges);
    spec.card_slots = found.spec.card_slots;
    spec.require.clone_from(&found.spec.require);
    spec.affinity.clone_from(&found.spec.affinity);
    spec.anti_affinity.clone_from(&found.spec.anti_affinity);
    let ssh_keys = guest::changed_keys(&mut work, project_id, &mut spec, &found.ssh_keys).await?;
    disk::check_growth(&found.spec, &spec, &found.format)?;
    disk::check(&spec, &found.format)?;
    let had = Claims::of(&found.spec, &found.format);
    let more = Claims::of(&spec, &found.format).beyond(&had, 0);
    quota::check(&mut work, project_id, &more).await?;
    host::check_room(&mut work, &found, &spec).await?;
    let change = Change {
        spec,
        ssh_keys,
        what: "updated",
        stop_timeout: None,
    };
    change.apply(&mut work, &found).await?;
    work.commit().await?;
    get(core, caller, project, name).await
}

/// What an instance takes of its project's quota, besides being one.
#[derive(Default)]
struct Claims {
    cpus: u64,
    memory: u64,
    disk: u64,
}

impl Claims {
    fn of(spec: &InstanceSpec, format: &ImageFormat) -> Self {
        Self {
            cpus: u64::from(spec.cpus),
            memory: spec.memory.as_bytes(),
            disk: spec.disk_size(format).map_or(0, Size::as_bytes),
        }
    }

    /// What it takes more than it had.
    fn beyond(&self, had: &Self, instances: u64) -> [(QuotaKind, u64); 4] {
        [
            (QuotaKind::Instances, instances),
            (QuotaKind::Cpus, self.cpus.saturating_sub(had.cpus)),
            (QuotaKind::Memory, self.memory.saturating_sub(had.memory)),
            (QuotaKind::Disk, self.disk.saturating_sub(had.disk)),
        ]
    }
}

/// A change of an instance.
struct Change<'a> {
    spec: InstanceSpec,
    ssh_keys: Vec<PinnedKey>,
    /// What is done, as an event tells it.
    what: &'a str,
    /// For this once, in seconds: a forced stop does not wait.
    stop_timeout: Option<u32>,
}

impl Change<'_> {
    /// Writes the new spec, if it is new, and wants it on the instance's host.
    async fn apply(self, work: &mut Work, found: &instance::Instance) -> Result<PlacementId> {
        let leases = lease::of_instance(work, found.id).await?;
        let mut networks = Vec::new();
        for lease in &leases {
            networks.push(resolve::network(work, found.project, &lease.network_name).await?);
        }
        let image = boot::pinned(work, found).await?;
        let (name, spec) = (&found.meta.name, &self.spec);
        let image = (&image, &found.format);
        let line = boot::command_line(work.core(), name, spec, image, (&networks, &leases))?;
        if *spec != found.spec || self.ssh_keys != found.ssh_keys {
            let now = work.now;
            let spec = (spec, &found.format);
            instance::update(work, found.id, spec, (&line, &self.ssh_keys), now).await?;
            tell(work, found, self.what, "").await?;
        }
        let mut changed = existing(work, found.project, name).await?;
        changed.spec.stop_timeout = self.stop_timeout.unwrap_or(changed.spec.stop_timeout);
        let initrd = match found.initrd {
            Some(digest) => Some(boot::initrd_pin(work, found.project, digest).await?),
            None => None,
        };
        work.want_instance(&changed, initrd, (&networks, &leases))
            .await
    }
}

/// Begins to delete an instance. Returns it while it is on its way, none when it is gone.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    if_match: IfMatch,
) -> Result<Option<Instance>> {
    authorize(caller, Operation::InstanceDelete, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    if !found.deleting {
        card::refuse_in_use(&mut work, &found).await?;
        let now = work.now;
        instance::set_deleting(&mut work, found.id, now).await?;
        for row in placement::of_resource(&mut work, found.id.0).await? {
            for need in placement::needed_by(&mut work, row.id).await? {
                release(&mut work, &found, &need).await?;
            }
            work.unwant(&row).await?;
        }
        tell(&mut work, &found, "deleting", "").await?;
        work.commit().await?;
    }
    match get(core, caller, project, name).await {
        Ok(instance) => Ok(Some(instance)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets go of what an instance needed: its leases, and segments that no other instance is on.
async fn release(
    work: &mut Work,
    instance: &instance::Instance,
    need: &placement::Row,
) -> Result<()> {
    let last = match (need.kind, need.network) {
        (PlacementKind::Lease, _) => true,
        // The router's own network card stays as long as the network.
        (PlacementKind::Segment, Some(network)) => {
            !is_card(work, network).await?
                && !instance::on_segment(work, instance.host, network).await?
        }
        _ => false,
    };
    if !last {
        return Ok(());
    }
    work.unwant(need).await?;
    match (need.kind, need.network) {
        (PlacementKind::Segment, Some(network)) => work.span_by_id(network, instance.host).await,
        _ => Ok(()),
    }
}

async fn is_card(work: &mut Work, id: NetworkId) -> Result<bool> {
    let found = network::by_id(work, id).await?;
    Ok(found.is_some_and(|network| matches!(network.segment, Segment::Port(_))))
}

/// Tells the other hosts of a network that an instance's MAC is on its host no more.
pub(crate) async fn left(
    work: &mut Work,
    id: InstanceId,
    network: Option<NetworkId>,
) -> Result<()> {
    match (instance::by_id(work, id).await?, network) {
        (Some(row), Some(network)) => work.span_by_id(network, row.host).await,
        _ => Ok(()),
    }
}

/// Forgets an instance that is being deleted once none of its placements and leases is left.
pub(crate) async fn forget_if_gone(work: &mut Work, id: InstanceId) -> Result<()> {
    let Some(row) = instance::by_id(work, id).await? else {
        return Ok(());
    };
    let placed = !placement::of_resource(work, id.0).await?.is_empty();
    let leased = !lease::of_instance(work, id).await?.is_empty();
    if row.deleting && !placed && !leased {
        instance::delete(work, id).await?;
        for digest in [Some(row.digest), row.initrd].into_iter().flatten() {
            image::release(work, row.project, digest).await?;
        }
        tell(work, &row, "deleted", "").await?;
    }
    Ok(())
}

fn validate(spec: &InstanceSpec) -> Result<()> {
    spec.validate()
        .map_err(|why| Error::invalid(format!("spec.{}", why.field()), why))
}

fn refuse_while_deleting(found: &instance::Instance) -> Result<()> {
    if found.deleting {
        let why = format!("the instance {} is being deleted", found.meta.name);
        return Err(Error::new(Kind::InUse, why));
    }
    Ok(())
}

fn check_fixed(found: &instance::Instance, spec: &InstanceSpec) -> Result<()> {
    let fixed = |field: &str, same: bool| {
        if same {
            Ok(())
        } else {
            Err(Error::invalid(
                field,
                "this cannot be changed; make a new instance",
            ))
        }
    };
    fixed("spec.image", spec.image == found.spec.image)?;
    fixed("spec.networks", spec.networks == found.spec.networks)?;
    fixed(
        "spec.bridges",
        same_bridges(&spec.bridges, &found.spec.bridges),
    )?;
    fixed(
        "spec.card_slots",
        spec.card_slots == 0 || spec.card_slots == found.spec.card_slots,
    )?;
    fixed(
        "spec.require",
        same_or_left_out(&spec.require, &found.spec.require),
    )?;
    fixed(
        "spec.affinity",
        spec.affinity.is_none() || spec.affinity == found.spec.affinity,
    )?;
    fixed(
        "spec.anti_affinity",
        spec.anti_affinity.is_none() || spec.anti_affinity == found.spec.anti_affinity,
    )?;
    fixed(
        "spec.host",
        spec.host
            .as_ref()
            .is_none_or(|host| *host == found.host_name),
    )
}

/// Ethernet addresses may be left out, and all of it by who does not know of bridges.
fn same_bridges(asked: &[Attachment], have: &[Attachment]) -> bool {
    let same = |(asked, have): (&Attachment, &Attachment)| {
        asked.bridge == have.bridge && (asked.mac.is_none() || asked.mac == have.mac)
    };
    asked.is_empty() || asked.len() == have.len() && asked.iter().zip(have).all(same)
}

fn same_or_left_out(
    asked: &std::collections::BTreeMap<String, String>,
    have: &std::collections::BTreeMap<String, String>,
) -> bool {
    asked.is_empty() || asked == have
}

async fn existing(work: &mut Work, project: ProjectId, name: &Name) -> Result<instance::Instance> {
    instance::get(work, project, name)
        .await?
        .ok_or_else(|| Error::not_found("instance", name))
}

pub(crate) async fn tell(
    work: &mut Work,
    row: &instance::Instance,
    what: &str,
    message: &str,
) -> Result<()> {
    work.tell((row.project, "instance"), &row.meta, what, message)
        .await
}
