//! `rhyzome job …`

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::job::JobState;
use rhyzome_model::resource::Job;
use rhyzome_model::{JobId, Timestamp};

use crate::complete;
use crate::failure::Failure;
use crate::output::table::Tone;
use crate::output::{Cell, Details, Row, Thing, time};
use crate::session::Cx;
use crate::wait;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List jobs, the newest first.
    #[command(after_help = "\
Example:
  rhyzome job list
  rhyzome job list --site --limit 200")]
    List(List),
    /// Show a job: its step, or why it failed and when it is tried again.
    #[command(after_help = "Example:\n  rhyzome job show 019a9d3c-6c52-7b5e-8a53-0d4c9f2f6b11")]
    Show {
        /// As in `rhyzome job list`.
        #[arg(value_name = "ID", add = ArgValueCandidates::new(complete::jobs))]
        id: JobId,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Those of the whole site, not of one project.
    #[arg(long)]
    site: bool,
    /// How many.
    #[arg(long, value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        match self {
            Self::List(list) => {
                let jobs = if list.site {
                    session.client.job()
                } else {
                    session.scope.job()
                };
                cx.output.list(
                    &jobs.list(list.limit, None).await?.items,
                    "there are no jobs",
                )
            }
            Self::Show { id } => {
                // A component's own jobs belong to no project.
                let job = match session.scope.job().get(id).await {
                    Err(e) if e.is_not_found() => session.client.job().get(id).await?,
                    other => other?,
                };
                cx.output.thing(&job)
            }
        }
    }
}

pub fn state(job: &Job) -> Cell {
    let tone = match job.state {
        JobState::Queued | JobState::Leased => Tone::Busy,
        JobState::Done => Tone::Good,
        JobState::Failed => Tone::Bad,
        JobState::Superseded => Tone::Faint,
    };
    Cell::new(if job.state == JobState::Leased {
        "running"
    } else {
        job.state.as_str()
    })
    .tone(tone)
}

/// What a job does or why it does not, in a few words.
pub fn saying(job: &Job) -> String {
    match (&job.failure, job.state) {
        (Some(failure), JobState::Failed) => failure.message.clone(),
        (_, state) if state.ended() => String::new(),
        _ => wait::step(job),
    }
}

impl Row for Job {
    const HEADER: &'static [&'static str] = &["ID", "STATE", "VERB", "WHAT", "ON", "AGE", "SAYS"];

    fn name(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(self.id),
            state(self),
            Cell::new(&self.verb),
            Cell::new(format!("{} {}", self.placement_kind, self.resource_name)),
            Cell::new(&self.component),
            Cell::new(time::age(self.created_at, now)),
            Cell::new(saying(self)),
        ]
    }
}

impl Thing for Job {
    fn name(&self) -> String {
        self.id.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        Details::default()
            .text("id", self.id)
            .maybe("project", self.project.as_ref())
            .cell("state", state(self))
            .text("verb", &self.verb)
            .text(
                "what",
                format!("{} {}", self.placement_kind, self.resource_name),
            )
            .text("component", &self.component)
            .text("generation", self.generation)
            .text("attempts", self.attempts)
            .maybe("step", self.step.as_ref())
            .maybe(
                "amount",
                self.amount
                    .map(|(done, whole)| format!("{done} of {whole} bytes")),
            )
            .maybe("waiting for", self.waiting_for.as_ref())
            .maybe(
                "failure",
                self.failure.as_ref().map(|failure| &failure.message),
            )
            .maybe(
                "kind of failure",
                self.failure.as_ref().map(|failure| failure.kind.as_str()),
            )
            .maybe("next try", self.next_try_at.map(|at| time::ago(at, now)))
            .text("created", time::ago(self.created_at, now))
            .maybe("finished", self.finished_at.map(|at| time::ago(at, now)))
    }
}
