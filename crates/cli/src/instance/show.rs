//! How instances are shown.

use rhyzome_model::instance::{Disk, InstanceState, MetadataAccess};
use rhyzome_model::resource::{Instance, InstanceSummary, InstanceWhy};
use rhyzome_model::user_data::UserData;
use rhyzome_model::{Name, Timestamp};

use crate::job;
use crate::output::table::Tone;
use crate::output::{Cell, Details, Output, Row, Thing, time};

fn state(state: Option<InstanceState>) -> Cell {
    let Some(state) = state else {
        return Cell::maybe(None::<&str>);
    };
    let tone = match state {
        InstanceState::Running => Tone::Good,
        InstanceState::Stopped => Tone::Faint,
        InstanceState::Ended => Tone::Busy,
        InstanceState::Crashed => Tone::Bad,
    };
    Cell::new(state.as_str()).tone(tone)
}

fn disk(disk: Disk) -> String {
    match disk.firmware {
        Some(firmware) => format!("{}, booted by {}", disk.size, firmware.as_str()),
        None => disk.size.to_string(),
    }
}

impl Row for InstanceSummary {
    const HEADER: &'static [&'static str] = &[
        "NAME", "PHASE", "STATE", "IPV4", "IMAGE", "CPUS", "MEMORY", "HOST", "AGE",
    ];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::phase(self.phase),
            state(self.state),
            Cell::maybe(self.ipv4),
            Cell::new(&self.image),
            Cell::new(self.cpus),
            Cell::new(self.memory),
            Cell::new(&self.host),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

impl Thing for Instance {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let (spec, status) = (&self.spec, &self.status);
        let observed = status.observed.as_ref();
        let line = &status.command_line;
        let interfaces = status.interfaces.iter().map(|interface| {
            vec![
                Cell::new(&interface.network),
                Cell::new(interface.ipv4),
                Cell::new(interface.ipv6),
                Cell::new(interface.mac),
                Cell::new(&interface.dns_name),
            ]
        });
        let bridges = spec
            .bridges
            .iter()
            .map(|on| vec![Cell::new(&on.bridge), Cell::maybe(on.mac)]);
        Details::of(&self.meta, now)
            .phase(status.phase)
            .cell("state", state(observed.map(|observed| observed.state)))
            .maybe(
                "since",
                observed.map(|observed| time::ago(observed.since, now)),
            )
            .lines("reason", observed.map(|observed| observed.reason.as_str()))
            .maybe("restarts", observed.map(|observed| observed.restarts))
            .maybe(
                "needs restart",
                observed
                    .filter(|observed| observed.needs_restart)
                    .map(|_| "yes"),
            )
            .text(
                "image",
                format!(
                    "{} ({}, {})",
                    spec.image,
                    status.format.as_str(),
                    status.image.short()
                ),
            )
            .text("cpus", spec.cpus)
            .text("memory", spec.memory)
            .maybe("disk", status.disk.map(disk))
            .text("host", &status.host)
            .maybe(
                "accelerator",
                observed.map(|observed| &observed.accelerator),
            )
            .maybe("command line", (!line.is_empty()).then_some(line))
            .maybe("user data", spec.user_data.as_ref().map(size))
            .maybe("SSH keys", names(spec.ssh_keys.as_deref()))
            .maybe("metadata", access(spec.metadata))
            .section(
                "interfaces",
                &["NETWORK", "IPV4", "IPV6", "MAC", "DNS NAME"],
                interfaces.collect(),
            )
            .section("bridges", &["BRIDGE", "MAC"], bridges.collect())
            .conditions(&status.conditions, now)
    }
}

/// User data may hold secrets: `--json` shows it, a glance does not.
fn size(user_data: &UserData) -> String {
    format!("{} bytes", user_data.as_str().len())
}

fn names(names: Option<&[Name]>) -> Option<String> {
    let names: Vec<&str> = names?.iter().map(Name::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn access(access: MetadataAccess) -> Option<&'static str> {
    match access {
        MetadataAccess::TokenRequired => None,
        MetadataAccess::TokenOptional => Some("also without a token"),
        MetadataAccess::Off => Some("off"),
    }
}

/// Why an instance is where it is and as it is.
pub fn why(why: &InstanceWhy, output: &Output, now: Timestamp) -> String {
    let placing = why.placing.iter().map(|verdict| {
        let tone = if verdict.chosen {
            Tone::Good
        } else {
            Tone::Plain
        };
        let chosen = if verdict.chosen {
            "chosen"
        } else {
            "not chosen"
        };
        vec![
            Cell::new(&verdict.host),
            Cell::new(chosen).tone(tone),
            Cell::new(&verdict.reason),
        ]
    });
    let jobs = why.jobs.iter().map(|job| {
        vec![
            job::state(job),
            Cell::new(&job.verb),
            Cell::new(format!("{} {}", job.placement_kind, job.resource_name)),
            Cell::new(&job.component),
            Cell::new(time::age(job.created_at, now)),
            Cell::new(job::saying(job)),
        ]
    });
    let details = Details::default()
        .section("placing", &["HOST", "", "REASON"], placing.collect())
        .conditions(&why.conditions, now)
        .section(
            "jobs",
            &["STATE", "VERB", "WHAT", "ON", "AGE", "SAYS"],
            jobs.collect(),
        );
    let summary = output.paint(&Cell::new(&why.summary));
    format!("{summary}\n{}", output.render(&details))
}
