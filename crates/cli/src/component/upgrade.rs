//! `rhyzome component upgrade`: a program is sent, tried by the component, and kept or given up by it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use clap_complete::ArgValueCandidates;
use rhyzome_model::resource::Component;
use rhyzome_model::upgrade::{HEAD, Machine, Program, Upgrade as Latest, UpgradePhase, UpgradeTo};
use rhyzome_model::{Name, Timestamp};
use rhyzome_wire::request::{UpgradeComponent, UpgradeSource};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::args::{WaitArgs, duration};
use crate::complete;
use crate::failure::Failure;
use crate::image::import;
use crate::output::time;
use crate::progress::Progress;
use crate::session::{Cx, Session};
use crate::wait;

/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct Upgrade {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::components))]
    name: Name,
    /// The program; by default the one beside this command that is of the component's kind.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "back")]
    program: Option<PathBuf>,
    /// Go back to the program from before, which the component has kept.
    #[arg(long)]
    back: bool,
    /// How long the program has to get a session with the core, from 5s to 1h.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    within: Duration,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Upgrade {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let components = session.client.component();
        let name = &self.name;
        let to = match self.back {
            true => UpgradeSource::Previous,
            false => self.send(&session, &components.get(name).await?).await?,
        };
        let request = UpgradeComponent {
            to,
            within: u32::try_from(self.within.as_secs()).unwrap_or(u32::MAX),
        };
        let look = || format!("`rhyzome component show {name}` says whether it was asked");
        let component = wait::asked(components.upgrade(name, &request), look).await?;
        let component = match self.wait.no_wait {
            true => component,
            false => self.watch(&session, component).await?,
        };
        let told = component.upgrade.as_ref();
        let told = told.map_or_else(String::new, told_of);
        cx.output
            .done(&component, &format!("component {name}: {told}"))
    }

    /// Sees to it that the core has the program.
    async fn send(
        &self,
        session: &Session<'_>,
        component: &Component,
    ) -> Result<UpgradeSource, Failure> {
        let path = match &self.program {
            Some(path) => path.clone(),
            None => beside(component)?,
        };
        if let Some(runs) = &component.program {
            check(&path, &component.meta.name, runs)?;
        }
        let text = path.to_str().ok_or_else(|| {
            Failure::Usage(format!("{} has a name that is no text", path.display()))
        })?;
        Ok(UpgradeSource::Program {
            project: session.project.clone(),
            digest: import::put_file(session, text).await?,
        })
    }

    /// Waits until it is done or has failed, saying how far it is.
    async fn watch(&self, session: &Session<'_>, first: Component) -> Result<Component, Failure> {
        let id = first.upgrade.as_ref().map(|upgrade| upgrade.id);
        let progress = Progress::spinner(session.output);
        let ended = async {
            let deadline = Instant::now() + self.wait.timeout;
            let mut now = first;
            loop {
                if let Some(ended) = self.look(&now, id, &progress) {
                    return ended.map(|()| now);
                }
                if Instant::now() >= deadline {
                    return Err(self.late(&now));
                }
                sleep(LOOK).await;
                now = session.client.component().get(&self.name).await?;
            }
        };
        tokio::select! {
            ended = ended => ended,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted {
                kind: "component",
                name: self.name.to_string(),
            }),
        }
    }

    /// Says how far it is, and how it ended if it has.
    fn look(
        &self,
        now: &Component,
        id: Option<Uuid>,
        progress: &Progress,
    ) -> Option<Result<(), Failure>> {
        let latest = now.upgrade.as_ref();
        let Some(upgrade) = latest.filter(|upgrade| Some(upgrade.id) == id) else {
            return Some(Err(
                self.failed("something else was asked of it in the meantime")
            ));
        };
        progress.say_of(
            upgrade.phase.as_str(),
            &format!("component {}: {}", self.name, told_of(upgrade)),
        );
        match upgrade.phase {
            UpgradePhase::Done => Some(Ok(())),
            UpgradePhase::Failed => Some(Err(self.failed(&told_of(upgrade)))),
            UpgradePhase::Asked
            | UpgradePhase::Fetching
            | UpgradePhase::Checking
            | UpgradePhase::Trying => None,
        }
    }

    fn failed(&self, reason: &str) -> Failure {
        Failure::Failed {
            kind: "component",
            name: self.name.to_string(),
            reason: reason.to_owned(),
        }
    }

    fn late(&self, now: &Component) -> Failure {
        let upgrade = now.upgrade.as_ref();
        Failure::Late {
            kind: "component",
            name: self.name.to_string(),
            state: "being upgraded".to_owned(),
            seconds: self.wait.timeout.as_secs(),
            reason: upgrade.map_or_else(String::new, told_of),
        }
    }
}

/// The program of a component's kind that is where this one is.
fn beside(component: &Component) -> Result<PathBuf, Failure> {
    let program = format!("rhyzome-{}", component.kind);
    let own = std::env::current_exe().map_err(|source| Failure::Runtime { source })?;
    let path = own.with_file_name(&program);
    match path.is_file() {
        true => Ok(path),
        false => Err(Failure::Usage(format!(
            "there is no {} beside this command: give the program with --program",
            path.display()
        ))),
    }
}

/// Sends nothing that cannot run there.
fn check(path: &Path, name: &Name, runs: &Program) -> Result<(), Failure> {
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let machine = Machine::of(&head, size).map_err(|why| wrong(why.to_string()))?;
    match machine.to_string() {
        is if is == runs.machine => Ok(()),
        is => Err(wrong(format!(
            "it is built for {is}, and {name} runs on {}",
            runs.machine
        ))),
    }
}

/// A component's program, in a line.
pub fn shown(program: &Program) -> String {
    format!("sha256:{} ({})", program.digest, program.machine)
}

/// The latest upgrade, in a line.
pub fn told(upgrade: &Latest, now: Timestamp) -> String {
    format!(
        "{}, {}",
        told_of(upgrade),
        time::ago(upgrade.updated_at, now)
    )
}

fn told_of(upgrade: &Latest) -> String {
    let what = match upgrade.to {
        UpgradeTo::Program { digest, .. } => format!("the program {}", digest.short()),
        UpgradeTo::Previous => "the program from before".to_owned(),
    };
    match (upgrade.phase, upgrade.amount) {
        (UpgradePhase::Asked, _) => format!("asked to run {what}"),
        (UpgradePhase::Fetching, Some((done, whole))) if whole > 0 => {
            format!("fetching {what}, {}%", done.saturating_mul(100) / whole)
        }
        (UpgradePhase::Fetching, _) => format!("fetching {what}"),
        (UpgradePhase::Checking, _) => format!("looking at {what}"),
        (UpgradePhase::Trying, _) => format!(
            "trying {what}, which has {} s to get a session",
            upgrade.within
        ),
        (UpgradePhase::Done, _) => format!("{what} runs"),
        (UpgradePhase::Failed, _) => format!(
            "{what} was given up: {}",
            upgrade.reason.as_deref().unwrap_or("no reason is known")
        ),
    }
}

#[cfg(test)]
mod tests {
    use rhyzome_model::Digest;

    use super::*;

    #[test]
    fn a_program_for_another_machine_is_not_sent() {
        let own = std::env::current_exe().expect("a process has a program");
        let name = "gw".parse().expect("a name");
        let mut runs = Program {
            digest: Digest::of(b""),
            machine: std::env::consts::ARCH.to_owned(),
            previous: None,
        };
        check(&own, &name, &runs).expect("it runs here");
        runs.machine = "mips".to_owned();
        let refused = check(&own, &name, &runs).expect_err("it does not run there");
        assert_eq!(refused.exit_code(), 2);
        assert!(
            refused.to_string().ends_with("and gw runs on mips"),
            "{refused}"
        );
        let refused = check(Path::new("/proc/self/environ"), &name, &runs);
        let refused = refused.expect_err("it is no program").to_string();
        assert!(refused.contains("it is no program"), "{refused}");
    }
}
