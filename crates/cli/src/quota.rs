//! `rhyzome quota …`

use std::str::FromStr;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::quota::{Quota, QuotaKind, QuotaSpec};
use rhyzome_model::{Name, Size, Timestamp};

use crate::complete;
use crate::failure::Failure;
use crate::output::{Cell, Details, Thing, time};
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set how much a project may have. What is not named stays as it is.
    #[command(after_help = "\
A limit below what a project has takes nothing from it: it only gets no more.

Example:
  rhyzome quota set garden --cpus 8 --memory 16GiB --disk 200GiB --instances 10
  rhyzome quota set garden --networks 4 --peers 20 --images 20GiB --tokens 10
  rhyzome quota set garden --cpus none")]
    Set(Set),
    /// Show how much a project may have, and how much it has.
    #[command(after_help = "Example:\n  rhyzome quota show garden\n  rhyzome quota show --json")]
    Show {
        /// The project; the one that commands are about, if it is left out.
        #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects))]
        project: Option<Name>,
    },
}

/// A number, or `none` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit<T>(Option<T>);

impl<T: FromStr> FromStr for Limit<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "none" => Ok(Self(None)),
            text => text.parse().map(|limit| Self(Some(limit))),
        }
    }
}

#[derive(Debug, Args)]
pub struct Set {
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects))]
    project: Name,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Limits {
    /// How many instances; like all of these, `none` for as many as one likes.
    #[arg(long, value_name = "NUMBER")]
    instances: Option<Limit<u32>>,
    /// The processors of all instances together.
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<Limit<u32>>,
    /// The memory of all instances together, like 16GiB.
    #[arg(long, value_name = "SIZE")]
    memory: Option<Limit<Size>>,
    /// The disks of all instances together, like 200GiB.
    #[arg(long, value_name = "SIZE")]
    disk: Option<Limit<Size>>,
    /// How many networks.
    #[arg(long, value_name = "NUMBER")]
    networks: Option<Limit<u32>>,
    /// How many peers.
    #[arg(long, value_name = "NUMBER")]
    peers: Option<Limit<u32>>,
    /// The bytes of all images together, like 20GiB.
    #[arg(long, value_name = "SIZE")]
    images: Option<Limit<Size>>,
    /// How many API tokens.
    #[arg(long, value_name = "NUMBER")]
    tokens: Option<Limit<u32>>,
}

impl Limits {
    fn apply(&self, spec: &mut QuotaSpec) {
        fn put<T: Copy>(asked: Option<Limit<T>>, limit: &mut Option<T>) {
            if let Some(Limit(asked)) = asked {
                *limit = asked;
            }
        }
        put(self.instances, &mut spec.instances);
        put(self.cpus, &mut spec.cpus);
        put(self.memory, &mut spec.memory);
        put(self.disk, &mut spec.disk);
        put(self.networks, &mut spec.networks);
        put(self.peers, &mut spec.peers);
        put(self.images, &mut spec.images);
        put(self.tokens, &mut spec.tokens);
    }
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        match self {
            Self::Set(Set { project, limits }) => {
                let quotas = session.client.within(&project).quota();
                let quota = quotas.edit(|spec| limits.apply(spec)).await?;
                let sentence = format!("the quota of {project}: {}", quota.spec);
                cx.output.done(&quota, &sentence)
            }
            Self::Show { project } => {
                let scope = match &project {
                    Some(project) => session.client.within(project),
                    None => session.scope,
                };
                cx.output.thing(&scope.quota().get().await?)
            }
        }
    }
}

impl Thing for Quota {
    fn name(&self) -> String {
        self.project.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let rows = QuotaKind::ALL.map(|kind| {
            let (limit, used) = (self.spec.limit(kind), self.status.used.of(kind));
            let shown = |amount: Option<u64>, without: &str| match amount {
                Some(amount) => Cell::new(kind.shown(amount)),
                None => Cell::new(without),
            };
            let left = limit.map(|limit| limit.saturating_sub(used));
            vec![
                Cell::new(kind),
                Cell::new(kind.shown(used)),
                shown(limit, "none"),
                shown(left, "-"),
            ]
        });
        Details::default()
            .text("project", &self.project)
            .maybe("set", self.updated_at.map(|at| time::ago(at, now)))
            .section("quota", &["OF", "USED", "LIMIT", "LEFT"], rows.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_and_none_takes_a_limit_off() {
        let none = Limits {
            instances: None,
            cpus: None,
            memory: None,
            disk: None,
            networks: None,
            peers: None,
            images: None,
            tokens: None,
        };
        let before = QuotaSpec {
            cpus: Some(8),
            memory: Some(Size::mib(512)),
            ..QuotaSpec::default()
        };
        let changed = |limits: &Limits| {
            let mut spec = before.clone();
            limits.apply(&mut spec);
            spec
        };
        assert_eq!(changed(&none), before);
        let limits = Limits {
            cpus: Some("none".parse().unwrap()),
            disk: Some("2GiB".parse().unwrap()),
            tokens: Some("0".parse().unwrap()),
            ..none
        };
        let expect = QuotaSpec {
            memory: Some(Size::mib(512)),
            disk: Some(Size::mib(2048)),
            tokens: Some(0),
            ..QuotaSpec::default()
        };
        assert_eq!(changed(&limits), expect);
        assert!("many".parse::<Limit<u32>>().is_err());
    }
}
