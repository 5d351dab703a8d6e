//! How a guest ended: by what libvirt, QEMU and the guest's last words say together.
//!
//! Most crashes look like a shutdown to libvirt, and QEMU's exit status says nothing, so no single
//! source is enough.

use rhyzome_model::image::ImageFormat;

use crate::hypervisor::event::{Stopped, What};

/// What was seen of a guest's end, gathered from events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// QEMU's first reason; libvirt then ends QEMU by a signal, which makes a second event.
    pub shutdown: Option<String>,
    pub panicked: bool,
    pub stopped: Option<Stopped>,
}

impl Signs {
    pub fn add(&mut self, what: What) {
        match what {
            What::Started => *self = Self::default(),
            What::Shutdown(reason) => drop(self.shutdown.get_or_insert(reason)),
            What::Panicked => self.panicked = true,
            What::Stopped(stopped) => self.stopped = Some(stopped),
        }
    }
}

/// How it ended, with a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub crashed: bool,
    /// Without a full stop, so that the console's last lines can follow.
    pub why: String,
}

/// Judges a guest's end. `lines` are the console's last.
pub fn judge(signs: &Signs, format: &ImageFormat, lines: &[String]) -> Ending {
    let crashed = |why: &str| Ending {
        crashed: true,
        why: why.to_owned(),
    };
    let solo5 = matches!(format, ImageFormat::Solo5 { .. });
    if signs.panicked {
        return crashed("the guest panicked");
    }
    if let Some(status) = solo5.then(|| solo5_status(lines)).flatten() {
        let why = format!("the unikernel exited with status {status}");
        return Ending {
            crashed: status != 0,
            why,
        };
    }
    match (signs.shutdown.as_deref(), signs.stopped) {
        (Some("guest-shutdown"), _) => Ending {
            crashed: false,
            why: "it shut itself down".to_owned(),
        },
        (Some("guest-reset"), _) => crashed(
            "it reset itself, as a guest does that restarts, or one that crashed so badly that it could not say so",
        ),
        (Some("guest-panic"), _) => crashed("the guest panicked"),
        (Some("host-error"), _) => crashed("QEMU ended because of an error on the host"),
        (Some("host-signal"), _) => crashed("somebody on the host ended its QEMU with a signal"),
        (_, Some(Stopped::Destroyed)) => crashed("somebody on the host forced it to end"),
        (_, Some(Stopped::Shutdown)) => Ending {
            crashed: false,
            why: "it shut itself down".to_owned(),
        },
        (_, Some(Stopped::Crashed | Stopped::Failed | Stopped::Other)) => {
            crashed("its QEMU ended without warning")
        }
        (_, None) => crashed("it ended while this component was not there to see why"),
    }
}

/// The status that Solo5 prints at its exit.
fn solo5_status(lines: &[String]) -> Option<i32> {
    let line = lines
        .iter()
        .rev()
        .find_map(|line| line.split_once("solo5_exit("))?;
    line.1.split(')').next()?.trim().parse().ok()
}

/// The sentence and what the console said last.
pub fn sentence(why: &str, lines: &[String]) -> String {
    match lines {
        [] => format!("{why}; its console says nothing"),
        lines => format!("{why}; its console's last lines: {}", lines.join(" | ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[What], format: &ImageFormat, lines: &[&str], expect: (bool, &str)) {
        let mut signs = Signs::default();
        events.iter().for_each(|what| signs.add(what.clone()));
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let ending = judge(&signs, format, &lines);
        assert!(
            ending.crashed == expect.0 && ending.why.starts_with(expect.1),
            "{ending:?}, expected {expect:?}"
        );
    }

    fn shutdown(reason: &str) -> What {
        What::Shutdown(reason.to_owned())
    }

    #[test]
    fn the_first_reason_counts_and_a_panic_before_all() {
        use ImageFormat::Pvh;
        let stopped = What::Stopped(Stopped::Shutdown);
        let signal = shutdown("host-signal");
        check(
            &[shutdown("guest-shutdown"), signal.clone(), stopped.clone()],
            &Pvh,
            &["bye"],
            (false, "it shut itself down"),
        );
        check(
            &[shutdown("guest-reset"), signal.clone(), stopped.clone()],
            &Pvh,
            &[],
            (true, "it reset itself"),
        );
        let panic = [What::Panicked, shutdown("guest-shutdown"), stopped.clone()];
        check(&panic, &Pvh, &[], (true, "the guest panicked"));
        check(
            &[signal, What::Stopped(Stopped::Crashed)],
            &Pvh,
            &[],
            (true, "somebody on the host"),
        );
        check(
            &[What::Stopped(Stopped::Crashed)],
            &Pvh,
            &[],
            (true, "its QEMU ended without warning"),
        );
        check(&[], &Pvh, &[], (true, "it ended while this component"));
        // What was before the start does not count.
        check(
            &[What::Panicked, What::Started, stopped],
            &Pvh,
            &[],
            (false, "it shut itself down"),
        );
    }

    #[test]
    fn solo5_says_its_status_on_the_console_alone() {
        let solo5 = ImageFormat::Solo5 {
            networks: 0,
            blocks: 0,
            devices: Vec::new(),
        };
        let events = [shutdown("guest-shutdown"), What::Stopped(Stopped::Shutdown)];
        check(
            &events,
            &solo5,
            &["Solo5: solo5_exit(0) called"],
            (false, "the unikernel exited with status 0"),
        );
        check(
            &events,
            &solo5,
            &["Solo5: solo5_exit(255) called"],
            (true, "the unikernel exited with status 255"),
        );
        check(
            &events,
            &solo5,
            &["nothing"],
            (false, "it shut itself down"),
        );
        check(
            &events,
            &ImageFormat::Pvh,
            &["solo5_exit(1)"],
            (false, "it shut itself down"),
        );
    }
}
