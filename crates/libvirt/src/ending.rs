//! How a guest ended: by what libvirt, QEMU and the guest's last words say together.
//!
//! Most crashes look like a shutdown to libvirt, and QEMU's exit status says nothing, so no single
//! source is enough. Some guests do not even end when they crash: they halt for ever, which only their
//! last words tell ([`halted`]).

mod words;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rhyzome_model::image::ImageFormat;

use crate::hypervisor::event::{Run, Stopped, What};
use words::Said;

/// What was seen of a guest's end, gathered from events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Of which start they are.
    run: Option<Run>,
    /// QEMU's first reason; libvirt then ends QEMU by a signal, which makes a second event.
    pub shutdown: Option<String>,
    pub panicked: bool,
    pub stopped: Option<Stopped>,
    /// Why this component ended it, as a sentence without a full stop.
    pub ended_here: Option<String>,
    /// When it reset the machine and went on, the latest times.
    resets: VecDeque<Instant>,
}

/// A guest that resets the machine so often within so long does nothing else.
const RESETS: usize = 5;
const WITHIN: Duration = Duration::from_secs(600);

impl Signs {
    /// Adds what happened in a run. What is of another one than before is the first of it: the word that it
    /// has started may come late.
    pub fn add(&mut self, run: Option<Run>, what: What) {
        if run.is_some() && run != self.run {
            *self = Self {
                run,
                ended_here: self.ended_here.take(),
                ..Self::default()
            };
        }
        match what {
            What::Started => {}
            What::Reset => {
                self.resets.push_back(Instant::now());
                if self.resets.len() > RESETS {
                    self.resets.pop_front();
                }
            }
            What::Shutdown(reason) => drop(self.shutdown.get_or_insert(reason)),
            What::Panicked => self.panicked = true,
            What::Stopped(stopped) => self.stopped = Some(stopped),
        }
    }

    /// Why it is ended, where it resets the machine for ever.
    pub fn reset_loop(&self) -> Option<String> {
        let first = self.resets.front()?;
        let is_loop = self.resets.len() == RESETS && first.elapsed() <= WITHIN;
        let why = || {
            let minutes = WITHIN.as_secs() / 60;
            format!(
                "it reset itself {RESETS} times within {minutes} minutes and did not come up, and was ended here"
            )
        };
        is_loop.then(why)
    }
}

/// In which way it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It meant to, and was content.
    ShutDown,
    /// It wants to be started again.
    Rebooted,
    Crashed,
}

/// How it ended, with a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub outcome: Outcome,
    /// Without a full stop, so that the console's last lines can follow.
    pub why: String,
}

impl Ending {
    fn of(outcome: Outcome, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { outcome, why }
    }

    fn crashed(why: impl Into<String>) -> Self {
        Self::of(Outcome::Crashed, why)
    }
}

/// Judges a guest's end. `lines` are the console's last since it started.
pub fn judge(signs: &Signs, format: &ImageFormat, lines: &[String]) -> Ending {
    if let Some(why) = &signs.ended_here {
        return Ending::crashed(why);
    }
    let said = words::last(format, lines);
    if signs.panicked || signs.shutdown.as_deref() == Some("guest-panic") {
        return Ending::crashed(match said {
            Some(Said::Crash(why)) => format!("the guest panicked: {why}"),
            _ => "the guest panicked".to_owned(),
        });
    }
    let by_itself = matches!(
        (signs.shutdown.as_deref(), signs.stopped),
        (Some("guest-shutdown" | "guest-reset"), _) | (None, Some(Stopped::Shutdown))
    );
    match said {
        Some(Said::Crash(why)) if by_itself => return Ending::crashed(why),
        Some(Said::Exit(0)) if by_itself => {
            return Ending::of(Outcome::ShutDown, "the unikernel exited with status 0");
        }
        Some(Said::Exit(status)) if by_itself => {
            return Ending::crashed(format!("the unikernel exited with status {status}"));
        }
        _ => {}
    }
    by_events(signs, format)
}

fn by_events(signs: &Signs, format: &ImageFormat) -> Ending {
    match (signs.shutdown.as_deref(), signs.stopped) {
        (Some("guest-shutdown"), _) => Ending::of(Outcome::ShutDown, "it shut itself down"),
        (Some("guest-reset"), _) if words::reboots(format) => {
            Ending::of(Outcome::Rebooted, "it rebooted itself")
        }
        (Some("guest-reset"), _) => Ending::crashed(
            "it reset itself, as a guest does that restarts, or one that crashed so badly that it could not say so",
        ),
        (Some("host-error"), _) => Ending::crashed("QEMU ended because of an error on the host"),
        (Some("host-signal"), _) => {
            Ending::crashed("somebody on the host ended its QEMU with a signal")
        }
        (_, Some(Stopped::Destroyed)) => Ending::crashed("somebody on the host forced it to end"),
        (_, Some(Stopped::Shutdown)) => Ending::of(Outcome::ShutDown, "it shut itself down"),
        (_, Some(Stopped::Crashed | Stopped::Failed | Stopped::Other)) => {
            Ending::crashed("its QEMU ended without warning")
        }
        (_, None) => Ending::crashed("it ended while this component was not there to see why"),
    }
}

/// Why a guest that runs and is silent has crashed and will never say or do anything again; none where
/// nothing says so.
pub fn halted(format: &ImageFormat, lines: &[String]) -> Option<String> {
    let why = words::halted(format, lines)?;
    Some(format!(
        "{why}; it then halted for ever, and was ended here"
    ))
}

/// The sentence and what the console said last.
pub fn sentence(why: &str, lines: &[String]) -> String {
    match lines {
        [] => format!("{why}; its console says nothing"),
        lines => format!("{why}; its console's last lines: {}", lines.join(" | ")),
    }
}

#[cfg(test)]
mod tests;
