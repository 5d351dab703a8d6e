//! `rhyzome component …`

mod upgrade;

use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::component::{ComponentKind, ComponentSpec, Cordon, HostFacts, Trunk};
use rhyzome_model::resource::{Component, ComponentSummary, Difference};
use rhyzome_model::{Name, Timestamp};
use rhyzome_wire::request::{CreateJoinToken, JoinToken};

use crate::args::{duration, label};
use crate::complete;
use crate::failure::Failure;
use crate::output::table::Tone;
use crate::output::{Cell, Details, Mode, Row, Thing, time};
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a one-time token that a component joins with.
    #[command(after_help = "\
Example:
  rhyzome component token --kind libvirt --expires 1h
  rhyzome component token --quiet > join-token")]
    Token(Token),
    /// List the components.
    #[command(after_help = "Example:\n  rhyzome component list")]
    List,
    /// Show a component: its host, what it has and what is promised.
    #[command(after_help = "Example:\n  rhyzome component show host1-libvirt")]
    Show(Named),
    /// Set or remove labels of a component.
    #[command(after_help = "\
Example:
  rhyzome component update host1-libvirt --label rack=2 --remove-label old")]
    Update(Update),
    /// Place nothing new on a component; what is there stays.
    #[command(after_help = "\
Example:
  rhyzome component cordon host1-libvirt --reason 'new disks on Friday'
  rhyzome component uncordon host1-libvirt")]
    Cordon(CordonArgs),
    /// Let new things be placed on a component again.
    #[command(after_help = "Example:\n  rhyzome component uncordon host1-libvirt")]
    Uncordon(Named),
    /// Replace a component's program; it goes back by itself if the new one does not reconnect.
    #[command(after_help = "\
Example:
  rhyzome component upgrade gw
  rhyzome component upgrade gw --program ./rhyzome-openwrt --within 5m
  rhyzome component upgrade gw --back

The program is sent through the core, and tried: without a session with the core within its time the one
from before runs again, and this says why. What is on the host goes on meanwhile.")]
    Upgrade(upgrade::Upgrade),
    /// End a component's session and let it never connect again.
    #[command(after_help = "Example:\n  rhyzome component revoke host1-libvirt")]
    Revoke(Named),
    /// Delete a component that nothing is placed on, or that is revoked.
    #[command(after_help = "Example:\n  rhyzome component delete host1-libvirt")]
    Delete(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::components))]
    name: Name,
}

#[derive(Debug, Args)]
pub struct Token {
    /// What may join with it (libvirt, linux, openwrt); any kind, if none is given.
    #[arg(long, value_name = "KIND")]
    kind: Option<ComponentKind>,
    /// The name that the component gets; by default its host's name and kind.
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// How long the token is good for, from 60s to 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    expires: Duration,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::components))]
    name: Name,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
pub struct CordonArgs {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::components))]
    name: Name,
    /// Why, for whoever wonders.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// A label to set. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// A label to remove. May be given several times.
    #[arg(long, value_name = "KEY")]
    remove_label: Vec<String>,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let components = session.client.component();
        match self {
            Self::Token(token) => {
                let request = CreateJoinToken {
                    kind: token.kind,
                    name: token.name,
                    expires_in: u32::try_from(token.expires.as_secs()).unwrap_or(u32::MAX),
                };
                show_token(cx, &components.create_token(&request).await?, token.kind)
            }
            Self::List => {
                let empty =
                    "no component has joined; `rhyzome component token` makes a token to join with";
                cx.output.list(&components.all().await?, empty)
            }
            Self::Show(Named { name }) => cx.output.thing(&components.get(&name).await?),
            Self::Update(update) => {
                let change = |component: &Component| {
                    let mut spec = component.spec.clone();
                    spec.labels
                        .retain(|key, _| !update.change.remove_label.contains(key));
                    spec.labels.extend(update.change.label.iter().cloned());
                    spec
                };
                let component = components.edit(&update.name, change, None).await?;
                cx.output
                    .done(&component, &format!("component {} is updated", update.name))
            }
            Self::Cordon(CordonArgs { name, reason }) => {
                let cordon = Some(Cordon { reason });
                let sentence = format!("nothing new is placed on {name}; what is there stays");
                set_cordon(cx, &name, cordon, &sentence).await
            }
            Self::Uncordon(Named { name }) => {
                set_cordon(cx, &name, None, &format!("{name} takes new things again")).await
            }
            Self::Upgrade(upgrade) => upgrade.run(cx).await,
            Self::Revoke(Named { name }) => {
                let component = components.revoke(&name).await?;
                cx.output
                    .done(&component, &format!("component {name} is revoked"))
            }
            Self::Delete(Named { name }) => {
                components.delete(&name, None, None).await?;
                let sentence = format!("component {name} is deleted");
                cx.output.gone(&None::<Component>, name.as_str(), &sentence)
            }
        }
    }
}

async fn set_cordon(
    cx: &Cx,
    name: &Name,
    cordon: Option<Cordon>,
    sentence: &str,
) -> Result<(), Failure> {
    let change = |component: &Component| ComponentSpec {
        cordon: cordon.clone(),
        ..component.spec.clone()
    };
    let components = cx.session()?.client.component();
    let component = components.edit(name, change, None).await?;
    cx.output.done(&component, sentence)
}

fn show_token(cx: &Cx, token: &JoinToken, kind: Option<ComponentKind>) -> Result<(), Failure> {
    match cx.output.mode {
        Mode::Json => cx.output.json(token),
        Mode::Quiet => cx.output.line(&token.token),
        Mode::People => {
            let kind = kind.unwrap_or(ComponentKind::Libvirt);
            let left = time::ago(token.expires_at, time::now());
            cx.output.note(&format!(
                "It is shown this once, is good for one component, and expires {left}."
            ));
            cx.output
                .note("On the component's host, give it on the standard input of:");
            cx.output
                .note(&format!("  rhyzome-{kind} join {} -", token.url));
            cx.output.line(&token.token)
        }
    }
}

struct Standing {
    connected: bool,
    revoked: bool,
    cordoned: bool,
    gone_since: Option<Timestamp>,
}

impl Standing {
    fn cell(&self, now: Timestamp) -> Cell {
        let also = if self.cordoned { ", cordoned" } else { "" };
        match self.gone_since {
            _ if self.revoked => Cell::new("revoked").tone(Tone::Bad),
            Some(since) => {
                Cell::new(format!("gone since {}{also}", time::ago(since, now))).tone(Tone::Bad)
            }
            None if self.connected => Cell::new(format!("connected{also}")).tone(Tone::Good),
            None => Cell::new(format!("away{also}")).tone(Tone::Bad),
        }
    }
}

impl Row for ComponentSummary {
    const HEADER: &'static [&'static str] = &["NAME", "KIND", "STATE", "LAST SEEN"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::new(self.kind),
            Standing {
                connected: self.connected,
                revoked: self.revoked,
                cordoned: self.cordoned,
                gone_since: self.gone_since,
            }
            .cell(now),
            Cell::maybe(self.last_seen.map(|seen| time::ago(seen, now))),
        ]
    }
}

/// The words of a host's configuration, the preferred one first.
fn segmentation(facts: &HostFacts) -> String {
    let words: Vec<&str> = facts.segmentations.iter().map(|one| one.as_str()).collect();
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(", "),
    }
}

fn trunk(trunk: &Trunk) -> String {
    format!("{}, MTU {}", trunk.device, trunk.mtu)
}

fn not_as_wanted(total: u32, more: bool) -> Cell {
    match (total, more) {
        (0, _) => Cell::new("nothing").tone(Tone::Good),
        (total, false) => Cell::new(total).tone(Tone::Bad),
        (total, true) => Cell::new(format!("{total}, the first of them below")).tone(Tone::Bad),
    }
}

fn difference(one: &Difference, now: Timestamp) -> Vec<Cell> {
    let to_be = if one.wanted { "there" } else { "removed" };
    vec![
        Cell::new(one.kind),
        Cell::maybe(one.project.as_ref()),
        Cell::maybe(one.name.as_ref()),
        Cell::maybe(one.network.as_ref()),
        Cell::new(to_be),
        Cell::new(time::ago(one.since, now)),
        Cell::new(format!("{}: {}", one.reason, one.message)),
    ]
}

impl Thing for Component {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let (facts, used) = (&self.facts, &self.used);
        let labels: Vec<_> = self
            .spec
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let standing = Standing {
            connected: self.connected,
            revoked: self.revoked,
            cordoned: self.spec.cordon.is_some(),
            gone_since: self.gone_since,
        };
        let cordon = self.spec.cordon.as_ref();
        let details = Details::of(&self.meta, now)
            .text("kind", self.kind)
            .cell("state", standing.cell(now))
            .maybe("cordoned", cordon.and_then(|cordon| cordon.reason.as_ref()))
            .maybe("last seen", self.last_seen.map(|seen| time::ago(seen, now)))
            .maybe("version", self.version.as_ref())
            .maybe("program", self.program.as_ref().map(upgrade::shown))
            .maybe(
                "previous program",
                self.program
                    .as_ref()
                    .and_then(|program| program.previous)
                    .map(|digest| format!("sha256:{digest}")),
            )
            .maybe(
                "upgrade",
                self.upgrade
                    .as_ref()
                    .map(|upgrade| upgrade::told(upgrade, now)),
            )
            .maybe(
                "certificate expires",
                self.certificate_expires.map(|end| time::ago(end, now)),
            )
            .maybe("labels", (!labels.is_empty()).then(|| labels.join(", ")))
            .text("host", &facts.hostname)
            .maybe("public address", facts.public_address.as_ref())
            .maybe(
                "endpoint ports",
                facts
                    .endpoint_ports
                    .map(|(from, to)| format!("{from}-{to}")),
            )
            .maybe("mtu", facts.mtu)
            .text("segmentation", segmentation(facts))
            .maybe("trunk", facts.trunk.as_ref().map(trunk))
            .maybe("tunnel address", facts.tunnel_address)
            .maybe("seen from", self.seen_from);
        let details = self
            .warnings
            .iter()
            .fold(details, |details, warning| details.text("warning", warning));
        let details = match self.kind {
            ComponentKind::Libvirt => details
                .text("cpus", format!("{} of {} promised", used.cpus, facts.cpus))
                .text(
                    "memory",
                    format!("{} of {} promised", used.memory, facts.memory),
                )
                .text("instances", used.instances),
            ComponentKind::Linux | ComponentKind::Openwrt => {
                details.text("networks", used.networks)
            }
        };
        let known = facts
            .details
            .iter()
            .map(|(key, value)| vec![Cell::new(key.replace('_', " ")), Cell::new(value)]);
        let differing = &self.differing;
        let differences = differing.first.iter().map(|one| difference(one, now));
        let more = usize::try_from(differing.total).unwrap_or(usize::MAX) > differing.first.len();
        details
            .cell("not as wanted", not_as_wanted(differing.total, more))
            .section(
                "not as wanted",
                &[
                    "KIND", "PROJECT", "NAME", "NETWORK", "IS TO BE", "SINCE", "WHY",
                ],
                differences.collect(),
            )
            .section("details", &["WHAT", "VALUE"], known.collect())
    }
}
