//! Verifying a chain, entry by entry, in little memory.
//!
//! What a chain shows: that nothing in it was removed, altered or moved since a mark that somebody has noted.
//! Who can write the database can make a whole new chain; that is why `known`, a mark from elsewhere, is
//! compared where there is one.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AuditChain, AuditEntry, DROPPED, Mark, beginning, seal};
use crate::Digest;

/// So many flaws, gaps and unsealed entries are named; the rest is counted.
const NAMED: usize = 100;

/// What came of verifying a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Whether nothing is wrong.
    pub good: bool,
    /// The chain as it says of itself.
    pub chain: AuditChain,
    /// The last sealed entry that was seen. Noted elsewhere, it shows later whether the chain is still the same.
    pub seen: Mark,
    /// How many sealed entries were looked at.
    pub entries: u64,
    /// What is wrong, at most 100 of it.
    pub flaws: Vec<Flaw>,
    /// How much is wrong.
    pub flawed: u64,
    /// The entries that are not sealed yet, at most 100 of them: nothing shows yet whether they were altered.
    #[schema(value_type = Vec<String>)]
    pub unsealed: Vec<Uuid>,
    /// Whether the mark that was known is of an entry that has been dropped since, and says nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known_is_dropped: bool,
}

impl Verification {
    /// The number of the first entry that is not dropped.
    pub fn begins(&self) -> u64 {
        // The mark is whatever the file says.
        self.chain.checkpoint.number.saturating_add(1)
    }
}

/// Something that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Flaw {
    /// Entries are missing.
    Removed { first: u64, last: u64 },
    /// An entry is not what was sealed, or does not fit the one before it.
    Altered {
        number: u64,
        #[schema(value_type = String, format = "uuid")]
        id: Uuid,
    },
    /// An entry is there twice, or not at its place.
    Reordered { number: u64 },
    /// The chain's last entries are missing.
    CutOff { first: u64, last: u64 },
    /// The hash of an entry is not the one that was noted of it.
    OtherThanNoted { number: u64 },
    /// There are entries behind the one that the chain says is the last.
    BehindHead { number: u64 },
    /// The chain does not begin with what stands before its first entry.
    WrongBeginning,
    /// The chain begins later, and no entry says that older ones were dropped.
    UnexplainedBeginning { number: u64 },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { first, last } if first == last => {
                write!(f, "entry {first} was removed")
            }
            Self::Removed { first, last } => write!(f, "entries {first} to {last} were removed"),
            Self::Altered { number, id } => write!(
                f,
                "entry {number} ({id}) was altered, or does not fit the one before it"
            ),
            Self::Reordered { number } => {
                write!(f, "entry {number} is not at its place, or there twice")
            }
            Self::CutOff { first, last } if first == last => {
                write!(f, "the last entry, {first}, is missing")
            }
            Self::CutOff { first, last } => {
                write!(f, "the last entries, {first} to {last}, are missing")
            }
            Self::OtherThanNoted { number } => {
                write!(f, "entry {number} has another hash than was noted of it")
            }
            Self::BehindHead { number } => {
                write!(f, "entry {number} is behind the end of the chain")
            }
            Self::WrongBeginning => f.write_str("the chain does not begin as one of its name does"),
            Self::UnexplainedBeginning { number } => write!(
                f,
                "entries up to {number} are missing, and no entry says that they were dropped for their age"
            ),
        }
    }
}

/// A verification under way: entries are shown to it in the order of the chain.
#[derive(Clone, Debug)]
pub struct Verifier {
    chain: AuditChain,
    known: Option<Mark>,
    /// Whether nothing can have been sealed since the chain's head was read.
    still: bool,
    previous: Digest,
    last: u64,
    entries: u64,
    flaws: Vec<Flaw>,
    flawed: u64,
    unsealed: Vec<Uuid>,
    explained: bool,
}

impl Verifier {
    /// `known` is a mark that somebody noted elsewhere. `still`: head and entries are of one moment.
    pub fn new(chain: AuditChain, known: Option<Mark>, still: bool) -> Self {
        let checkpoint = chain.checkpoint;
        let mut verifier = Self {
            previous: checkpoint.hash,
            last: checkpoint.number,
            known,
            still,
            entries: 0,
            flaws: Vec::new(),
            flawed: 0,
            unsealed: Vec::new(),
            explained: checkpoint.number == 0,
            chain,
        };
        let begins = checkpoint.number > 0 || checkpoint.hash == beginning(&verifier.chain.chain);
        if !begins || checkpoint.number > verifier.chain.head.number {
            verifier.flaw(Flaw::WrongBeginning);
        }
        verifier.compare(checkpoint);
        verifier
    }

    /// Looks at the next entry.
    pub fn see(&mut self, entry: &AuditEntry) {
        if entry.operation == DROPPED
            && entry.reason.as_deref() == Some(self.chain.checkpoint.to_string().as_str())
        {
            self.explained = true;
        }
        let Some(mark) = entry.seal else {
            if self.unsealed.len() < NAMED {
                self.unsealed.push(entry.id);
            }
            return;
        };
        self.entries += 1;
        let number = mark.number;
        if number <= self.last {
            self.found_late(number);
            return self.flaw(Flaw::Reordered { number });
        }
        if number - 1 > self.last {
            self.flaw(Flaw::Removed {
                first: self.last + 1,
                last: number - 1,
            });
        } else if seal(&self.previous, number, entry) != mark.hash {
            self.flaw(Flaw::Altered {
                number,
                id: entry.id,
            });
        }
        self.compare(mark);
        if self.still && number > self.chain.head.number {
            self.flaw(Flaw::BehindHead { number });
        }
        (self.last, self.previous) = (number, mark.hash);
    }

    pub fn end(mut self) -> Verification {
        let (checkpoint, head) = (self.chain.checkpoint, self.chain.head);
        let known = self.known.map_or(0, |known| known.number);
        let expected = head.number.max(known);
        if self.last < expected {
            self.flaw(Flaw::CutOff {
                first: self.last + 1,
                last: expected,
            });
        }
        if !self.explained {
            self.flaw(Flaw::UnexplainedBeginning {
                number: checkpoint.number,
            });
        }
        Verification {
            good: self.flawed == 0,
            seen: Mark {
                number: self.last,
                hash: self.previous,
            },
            entries: self.entries,
            flaws: self.flaws,
            flawed: self.flawed,
            unsealed: self.unsealed,
            known_is_dropped: self.known.is_some() && known < checkpoint.number,
            chain: self.chain,
        }
    }

    /// Compares a place with what was noted of it.
    fn compare(&mut self, mark: Mark) {
        let other = |noted: Mark| noted.number == mark.number && noted.hash != mark.hash;
        if other(self.chain.head) || self.known.is_some_and(other) {
            self.flaw(Flaw::OtherThanNoted {
                number: mark.number,
            });
        }
    }

    /// An entry that seemed to be removed comes behind its place: it alone is no longer missing.
    fn found_late(&mut self, number: u64) {
        let whole = Flaw::Removed {
            first: number,
            last: number,
        };
        if let Some(at) = self.flaws.iter().position(|flaw| *flaw == whole) {
            self.flaws.remove(at);
            self.flawed -= 1;
        }
    }

    fn flaw(&mut self, flaw: Flaw) {
        self.flawed += 1;
        if self.flaws.len() < NAMED {
            self.flaws.push(flaw);
        }
    }
}
