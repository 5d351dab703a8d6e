//! `rhyzome doctor`: looks at this machine, says how it is, and what to do.
//!
//! It reads files and asks tools; it changes nothing, needs no core, and starts no guest. Each check is
//! a function from what was found to a [`Check`], in a module a subject.

pub mod firewall;
pub mod kernel;
pub mod machine;
pub mod underlay;
pub mod virtualization;

use clap::Args;
use serde::Serialize;

use super::Error;
use crate::failure::Failure;
use crate::output::table::Tone;
use crate::output::{Cell, Mode};
use crate::session::Cx;

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  sudo rhyzome doctor")]
pub struct Doctor {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// What was looked at, how it is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub level: Level,
    pub found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            level: Level::Ok,
            found: found.into(),
            advice: None,
        }
    }

    pub fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self {
            name,
            level: Level::Warn,
            found: found.into(),
            advice,
        }
    }

    pub fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(name, found, advice)
        }
    }
}

impl Doctor {
    /// # Errors
    /// [`Error::Unfit`] where a site cannot run here.
    pub fn run(self, cx: &Cx) -> Result<(), Failure> {
        let checks: Vec<Check> = [
            virtualization::checks(),
            kernel::checks(),
            firewall::checks(),
            underlay::checks(),
            machine::checks(),
        ]
        .into_iter()
        .flatten()
        .collect();
        match cx.output.mode {
            Mode::Json => cx.output.json(&checks)?,
            Mode::Quiet => {}
            Mode::People => cx
                .output
                .print(&text(&checks, &|cell| cx.output.paint(cell)))?,
        }
        let failed = checks
            .iter()
            .filter(|check| check.level == Level::Fail)
            .count();
        match failed {
            0 => Ok(()),
            1 => Err(Error::Unfit("one hindrance".to_owned()).into()),
            more => Err(Error::Unfit(format!("{more} hindrances")).into()),
        }
    }
}

fn text(checks: &[Check], paint: &dyn Fn(&Cell) -> String) -> String {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let level = match check.level {
            Level::Ok => Cell::new("ok  ").tone(Tone::Good),
            Level::Warn => Cell::new("warn").tone(Tone::Busy),
            Level::Fail => Cell::new("FAIL").tone(Tone::Bad),
        };
        text.push_str(&format!(
            "{}  {:width$}  {}\n",
            paint(&level),
            check.name,
            check.found
        ));
        if let Some(advice) = &check.advice {
            text.push_str(&format!("{:indent$}→ {advice}\n", "", indent = width + 8));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_was_found() {
        let checks = [
            Check::ok("KVM", "works"),
            Check::fail("nft", "is missing", "install nftables"),
        ];
        assert_eq!(
            text(&checks, &|cell| cell.text.clone()),
            "ok    KVM  works\nFAIL  nft  is missing\n           → install nftables\n"
        );
    }

    #[test]
    fn a_check_without_advice_has_none_in_json() {
        let json = serde_json::to_string(&Check::ok("KVM", "works")).unwrap();
        assert_eq!(json, r#"{"name":"KVM","level":"ok","found":"works"}"#);
    }
}
