//! What the core is doing meanwhile: a line with a spinner on a terminal, else a line a change; both on
//! standard error.

use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::table::printable;
use crate::output::{Mode, Output};

/// Cleared from the terminal when dropped.
pub struct Progress {
    shown: Shown,
    last: Mutex<String>,
}

enum Shown {
    Nothing,
    Lines,
    Terminal(ProgressBar),
}

impl Progress {
    /// Something that takes an unknown time.
    pub fn spinner(output: &Output) -> Self {
        Self::new(output, || {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let bar =
                ProgressBar::new_spinner().with_style(style.expect("the template is well formed"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        })
    }

    /// Something that moves bytes; `size` where it is known.
    pub fn bytes(output: &Output, size: Option<u64>) -> Self {
        Self::new(output, || {
            let template = match size {
                Some(_) => "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
                None => "{spinner} {msg} {bytes}, {bytes_per_sec}",
            };
            let style =
                ProgressStyle::with_template(template).expect("the template is well formed");
            let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
            bar.with_style(style.progress_chars("=> "))
        })
    }

    fn new(output: &Output, bar: impl FnOnce() -> ProgressBar) -> Self {
        let shown = match output.mode {
            Mode::Quiet => Shown::Nothing,
            _ if io::stderr().is_terminal() => Shown::Terminal(bar()),
            Mode::Json => Shown::Nothing,
            Mode::People => Shown::Lines,
        };
        Self {
            shown,
            last: Mutex::default(),
        }
    }

    /// What is being done now.
    pub fn say(&self, text: &str) {
        self.say_of(text, text);
    }

    /// What is being done now, where `what` says whether that is something new: a line is not printed
    /// again because the seconds in it have gone on.
    pub fn say_of(&self, what: &str, text: &str) {
        let text = printable(text);
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines if *last == what => {}
            Shown::Lines => eprintln!("{text}"),
            Shown::Terminal(bar) => bar.set_message(text),
        }
        what.clone_into(&mut last);
    }

    /// How many bytes have been moved so far.
    pub fn at(&self, bytes: u64) {
        if let Shown::Terminal(bar) = &self.shown {
            bar.set_position(bytes);
        }
    }
}

impl rhyzome_openwrt_image::Listen for Progress {
    fn step(&self, what: &str) {
        self.say(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Terminal(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
