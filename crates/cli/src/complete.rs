//! Completion by the shell: of commands, and of the names that the core knows.
//!
//! The shell asks this program itself at each press of the key, so that names are the present ones. A
//! core that does not answer at once completes nothing; no error ever reaches the user's prompt.

use std::future::Future;
use std::io;
use std::time::Duration;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use rhyzome_model::component::ComponentKind;

use crate::args::Global;
use crate::context::File;
use crate::failure::Failure;
use crate::session::{Cx, Session};

/// How long a press of the key may take.
const PATIENCE: Duration = Duration::from_millis(1500);

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rhyzome completion bash > ~/.local/share/bash-completion/completions/rhyzome
  rhyzome completion zsh > ~/.zfunc/_rhyzome
  rhyzome completion fish > ~/.config/fish/completions/rhyzome.fish")]
pub struct Completion {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub fn run(self) -> Result<(), Failure> {
        let shell: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        let name = crate::args::Args::command().get_name().to_owned();
        shell
            .write_registration("COMPLETE", &name, &name, &name, &mut io::stdout())
            .map_err(|source| Failure::Output { source })
    }
}

pub fn contexts() -> Vec<CompletionCandidate> {
    let cx = Cx::new(Global::default());
    let file = File::load(&cx.paths.config).ok();
    file.into_iter()
        .flat_map(|file| file.contexts.into_keys())
        .map(CompletionCandidate::new)
        .collect()
}

macro_rules! names_of {
    ($($name:ident = |$session:ident| $collection:expr;)*) => {$(
        pub fn $name() -> Vec<CompletionCandidate> {
            ask(async |$session: Session<'_>| {
                let rows = $collection.list(200, None).await?.items;
                Ok(rows.into_iter().map(|row| row.meta.name.to_string()).collect())
            })
        }
    )*};
}

names_of! {
    projects = |session| session.client.project();
    components = |session| session.client.component();
    networks = |session| session.scope.network();
    peers = |session| session.scope.peer();
    images = |session| session.scope.image();
    instances = |session| session.scope.instance();
    ssh_keys = |session| session.scope.ssh_key();
    tokens = |session| session.scope.token();
}

pub fn image_tags() -> Vec<CompletionCandidate> {
    ask(async |session: Session<'_>| {
        let tags = session.scope.image_tag().all().await?;
        Ok(tags.into_iter().map(|tag| tag.tag.to_string()).collect())
    })
}

pub fn images_and_tags() -> Vec<CompletionCandidate> {
    let mut all = images();
    all.extend(image_tags());
    all
}

pub fn hypervisors() -> Vec<CompletionCandidate> {
    components_where(|kind| kind == ComponentKind::Libvirt)
}

pub fn routers() -> Vec<CompletionCandidate> {
    components_where(|kind| kind != ComponentKind::Libvirt)
}

fn components_where(fits: impl Fn(ComponentKind) -> bool) -> Vec<CompletionCandidate> {
    ask(async |session: Session<'_>| {
        let rows = session.client.component().list(200, None).await?.items;
        let fitting = rows.into_iter().filter(|row| fits(row.kind));
        Ok(fitting.map(|row| row.meta.name.to_string()).collect())
    })
}

/// The newest jobs.
pub fn jobs() -> Vec<CompletionCandidate> {
    ask(async |session: Session<'_>| {
        let rows = session.scope.job().list(30, None).await?.items;
        Ok(rows.into_iter().map(|job| job.id.to_string()).collect())
    })
}

fn ask<F>(names: impl FnOnce(Session<'static>) -> F) -> Vec<CompletionCandidate>
where
    F: Future<Output = Result<Vec<String>, rhyzome_client::Error>>,
{
    let Some(session) = session() else {
        return Vec::new();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let names = runtime.block_on(async { tokio::time::timeout(PATIENCE, names(session)).await });
    let names = names.ok().and_then(Result::ok).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The session of the words that stand on the command line already.
fn session() -> Option<Session<'static>> {
    let cx = Cx::new(typed(std::env::args()));
    // It lives as long as the process, which ends with the completion.
    Box::leak(Box::new(cx)).session().ok()
}

/// `--context` and `--project` out of a line that is not finished.
fn typed(words: impl Iterator<Item = String>) -> Global {
    let words: Vec<String> = words.collect();
    let value = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).cloned()
    };
    Global {
        context: value("--context"),
        project: value("--project").and_then(|name| name.parse().ok()),
        ..Global::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_says_already_which_project_is_meant() {
        let words = "rhyzome -- rhyzome --project lab instance show --context";
        let global = typed(words.split(' ').map(str::to_owned));
        assert_eq!(global.project, Some("lab".parse().unwrap()));
        assert_eq!(global.context, None);
    }
}
