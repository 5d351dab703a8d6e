//! `rhyzome down`: stops what a site runs on this machine, whatever state it is in.
//!
//! First those who would start it again, then what they have made: `rhyzome up` and its programs, then
//! instances, then networks and tunnels. It needs no core and no record, may be interrupted, and may be
//! repeated.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::Signal;
use tokio::process::Command;

use super::choices::{Choices, Hosts, Wishes};
use super::layout::Layout;
use super::lock::{self, Lock, Phase};
use super::program::Programs;
use super::steps::Steps;
use super::{CONTEXT, Error, configuration, process};
use crate::context;
use crate::failure::Failure;
use crate::session::Cx;

/// How long `rhyzome up` may take to stop its programs before they are ended one by one.
const SUPERVISOR: Duration = Duration::from_secs(60);
const PROGRAMS: Duration = Duration::from_secs(25);

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  sudo rhyzome down
  sudo rhyzome down --purge")]
pub struct Down {
    /// The folder with all state, as with `rhyzome up`.
    #[arg(long, value_name = "DIR", env = "RHYZOME_STATE")]
    state: Option<PathBuf>,
    /// Remove all state too: images, addresses, keys, the site itself.
    #[arg(long)]
    purge: bool,
    /// Where rhyzome-libvirt and rhyzome-linux are; by default beside this program.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
}

impl Down {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let layout = Layout::of(self.state.as_deref())?;
        layout.check_ours()?;
        let programs = Programs::find(self.bin_dir.clone())?;
        let steps = Steps::new(&cx.output);
        let was_there = layout.exists();
        let before = match Choices::load(&layout) {
            // It goes anyway: as good as lost.
            Err(_) if self.purge => None,
            before => before?,
        };
        let real = match &before {
            Some(choices) => choices.hosts == Hosts::Real,
            // Its records are lost, and yet something may run.
            None => nix::unistd::geteuid().is_root(),
        };
        if real && !nix::unistd::geteuid().is_root() {
            return Err(Error::NotRoot.into());
        }
        stop_programs(&layout, &steps).await?;
        // Whoever starts a site waits for this lock to be free.
        layout.prepare()?;
        let lock = Lock::take(&layout, Phase::Down)?;
        if real {
            let choices = match before {
                Some(choices) => choices,
                None => Choices::make(None, Wishes::default())?,
            };
            layout.bind()?;
            configuration::write(&layout, &choices)?;
            for (program, config) in [("rhyzome-libvirt", "libvirt"), ("rhyzome-linux", "linux")] {
                take_down(&programs, program, &layout.config(config)).await?;
                steps.say(&format!(
                    "{program}: nothing of it runs on this machine any more"
                ));
            }
        }
        end_guests(&layout).await?;
        if real {
            layout.unbind()?;
        }
        if self.purge || !was_there {
            layout.remove()?;
            forget(cx, &layout)?;
        }
        drop(lock);
        steps.say(match (self.purge, was_there) {
            (true, _) => "the site is removed",
            (false, true) => "the site is down; `rhyzome up` brings it back as it was",
            (false, false) => "there was no site",
        });
        Ok(())
    }
}

/// Ends `rhyzome up`, which ends its programs, and then those that it did not.
async fn stop_programs(layout: &Layout, steps: &Steps<'_>) -> Result<(), Error> {
    if layout.exists()
        && let Some(holder) = lock::holder(layout)?
    {
        steps.say(&format!(
            "stopping the site's programs (process {})",
            holder.process.pid
        ));
        holder.process.signal(Signal::SIGTERM);
        if !holder.process.ended(SUPERVISOR).await {
            process::end(&[holder.process], PROGRAMS).await;
        }
    }
    let mut left = process::supervisors(layout);
    process::end(&left, SUPERVISOR).await;
    left.extend(process::of_site(layout));
    left.retain(|process| process.is_alive());
    if !left.is_empty() {
        steps.say(&format!(
            "stopping {} programs that nobody looks after",
            left.len()
        ));
    }
    let pids: Vec<i32> = process::end(&left, PROGRAMS)
        .await
        .iter()
        .map(|p| p.pid)
        .collect();
    if pids.is_empty() {
        Ok(())
    } else {
        Err(Error::Survived { pids })
    }
}

/// Lets a component's program take everything of its own off this machine.
async fn take_down(programs: &Programs, program: &'static str, config: &Path) -> Result<(), Error> {
    let path = programs.path(program)?;
    let failed = |source| Error::Spawn {
        program: path.display().to_string(),
        source,
    };
    let output = Command::new(&path)
        .arg("--config")
        .arg(config)
        .arg("down")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Down {
        program,
        how: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Ends guests that no record knows of any more.
async fn end_guests(layout: &Layout) -> Result<(), Error> {
    let left = process::end(&process::guests(layout), PROGRAMS).await;
    let pids: Vec<i32> = left.iter().map(|process| process.pid).collect();
    if pids.is_empty() {
        Ok(())
    } else {
        Err(Error::Survived { pids })
    }
}

/// Removes the context of a site that is no more from the user's contexts.
fn forget(cx: &Cx, layout: &Layout) -> Result<(), Failure> {
    let path = &cx.paths.config;
    let mut file = context::File::load(path)?;
    let ours = |context: &context::Context| context.token_file == Some(layout.admin_token());
    if !file.contexts.get(CONTEXT).is_some_and(ours) {
        return Ok(());
    }
    file.contexts.remove(CONTEXT);
    file.current = file.current.filter(|current| current != CONTEXT);
    if file == context::File::default() {
        crate::private::remove(path)?;
        // Fails where something else is in it.
        let _ = path.parent().map(std::fs::remove_dir);
        return Ok(());
    }
    file.save(path)
}
