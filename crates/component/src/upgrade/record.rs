//! What is written down of a component's programs, and what follows from it: all decisions, and no I/O.

use std::path::PathBuf;
use std::time::Duration;

use rhyzome_model::Digest;
use rhyzome_model::upgrade::USUAL_WITHIN;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// So many starts without a session, and a program is no good. One may be ended by something else.
const STARTS: u32 = 3;

/// One of the programs that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one that a package or a person has put there.
    Installed,
    /// One that the core has sent.
    Sent(Digest),
}

/// Where and what the installed program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub path: PathBuf,
    pub digest: Digest,
}

/// A moment of this machine, by a clock that nobody sets: the seconds since it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Names the start of the machine.
    pub boot: String,
    pub seconds: u64,
}

impl Moment {
    /// How long ago another one was; none where the machine was started since.
    fn since(&self, other: &Self) -> Option<Duration> {
        let same = self.boot == other.boot;
        same.then(|| Duration::from_secs(self.seconds.saturating_sub(other.seconds)))
    }
}

/// A program that has to show that it gets a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Of the core's order.
    pub id: Uuid,
    pub program: Which,
    /// Seconds.
    #[serde(default = "usual")]
    pub within: u32,
    #[serde(default)]
    pub starts: u32,
    /// Its first start since the machine's.
    #[serde(default)]
    pub began: Option<Moment>,
}

fn usual() -> u32 {
    USUAL_WITHIN
}

impl Trial {
    /// How much of its time is left.
    pub fn left(&self, now: &Moment) -> Duration {
        let whole = Duration::from_secs(self.within.into());
        let gone = self.began.as_ref().and_then(|began| now.since(began));
        whole.saturating_sub(gone.unwrap_or_default())
    }
}

/// How the latest order ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub id: Uuid,
    /// Why it failed, if it did.
    #[serde(default)]
    pub failed: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub base: Base,
    pub current: Which,
    /// What can be gone back to.
    #[serde(default)]
    pub previous: Option<Which>,
    #[serde(default)]
    pub trial: Option<Trial>,
    #[serde(default)]
    pub last: Option<Ended>,
}

/// What the installed program has to do at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Current(Which),
    Trial(Trial),
}

impl Record {
    pub fn new(base: Base) -> Self {
        Self {
            base,
            current: Which::Installed,
            previous: None,
            trial: None,
            last: None,
        }
    }

    /// What is run at a start of the installed program. `usable` says why a program cannot be run that
    /// was sent.
    pub fn choose(
        &mut self,
        base: Base,
        now: Moment,
        usable: impl Fn(Digest) -> Result<(), String>,
    ) -> Choice {
        if self.base.digest != base.digest {
            // Whoever put another program there meant it to run.
            self.fail("another program was installed in the meantime, and that one runs now");
            (self.current, self.previous) = (Which::Installed, None);
        }
        self.base = base;
        let unusable = |which: Which| match which {
            Which::Installed => None,
            Which::Sent(digest) => usable(digest).err(),
        };
        if let Some(mut trial) = self.trial.take() {
            let verdict = trial.verdict(&now).or_else(|| unusable(trial.program));
            if verdict.is_none() {
                trial.starts += 1;
                let of_now = |began: &Moment| began.boot == now.boot;
                if !trial.began.as_ref().is_some_and(of_now) {
                    trial.began = Some(now);
                }
            }
            self.trial = Some(trial.clone());
            match verdict {
                Some(why) => self.fail(&why),
                None => return Choice::Trial(trial),
            }
        }
        if let Some(why) = unusable(self.current) {
            (self.current, self.previous) = (Which::Installed, None);
            if let Some(last) = &mut self.last {
                last.failed = Some(format!("it cannot be run any more: {why}"));
            }
        }
        Choice::Current(self.current)
    }

    /// Puts a program on trial.
    pub fn try_out(&mut self, id: Uuid, program: Which, within: u32) {
        self.trial = Some(Trial {
            id,
            program,
            within,
            starts: 0,
            began: None,
        });
    }

    /// The program on trial is the current one from now on.
    pub fn settle(&mut self) {
        if let Some(trial) = self.trial.take() {
            if trial.program != self.current {
                self.previous = Some(self.current);
                self.current = trial.program;
            }
            self.last = Some(Ended {
                id: trial.id,
                failed: None,
            });
        }
    }

    /// The trial is over, if there is one, and its program not the current one.
    pub fn fail(&mut self, why: &str) {
        if let Some(trial) = self.trial.take() {
            self.last = Some(Ended {
                id: trial.id,
                failed: Some(why.to_owned()),
            });
        }
    }

    /// An order came to nothing before there was a trial.
    pub fn refuse(&mut self, id: Uuid, why: String) {
        self.last = Some(Ended {
            id,
            failed: Some(why),
        });
    }

    /// What its bytes are.
    pub fn digest(&self, which: Which) -> Digest {
        match which {
            Which::Installed => self.base.digest,
            Which::Sent(digest) => digest,
        }
    }

    /// The program with this digest: the installed one, where it is that.
    pub fn which(&self, digest: Digest) -> Which {
        match digest == self.base.digest {
            true => Which::Installed,
            false => Which::Sent(digest),
        }
    }

    /// Whether a program that was sent is needed.
    pub fn needs(&self, digest: Digest) -> bool {
        let trial = self.trial.as_ref().map(|trial| trial.program);
        [Some(self.current), self.previous, trial].contains(&Some(Which::Sent(digest)))
    }
}

impl Trial {
    /// Why the program is no good, if that is known by now.
    fn verdict(&self, now: &Moment) -> Option<String> {
        let within = self.within;
        if self.starts > 0 && self.left(now).is_zero() {
            return Some(format!(
                "it had no settled session with the core within {within} s, and did not say why"
            ));
        }
        (self.starts >= STARTS).then(|| {
            format!(
                "it ended {} times before it had a settled session with the core; the component's log says \
                 with what",
                self.starts
            )
        })
    }
}

#[cfg(test)]
mod tests;
