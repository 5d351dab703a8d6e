//! The audit log: who did what, and what was refused to whom, in chains that show when one of their
//! entries was changed. Names and ids alone: never user data, tokens or keys.
//!
//! Each project has a chain, and the site has one. An entry is written with the change that it is about, and
//! sealed a moment later: it gets the next number of its chain and a hash over the one before ([`seal`]).

mod chain;
mod file;
mod seal;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Digest, JobId, Name, Timestamp, UserId};

pub use chain::{Flaw, Verification, Verifier};
pub use file::{FileVerifier, LineError, MAX_LINE};
pub use seal::{beginning, seal};

/// What the site's own chain is called; a project's is called by the project's id.
pub const SITE: &str = "site";

/// The operation of the entry that says that older ones were dropped; its reason is the new [`Mark`] behind
/// which the chain goes on.
pub const DROPPED: &str = "audit_drop";

/// The operation of the entry in the site's chain that says with which mark the chain of a deleted project
/// ended.
pub const ENDED: &str = "audit_end";

/// Something that was done, refused, or that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// When; of what was counted, the last time.
    pub time: Timestamp,
    pub actor: Actor,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The API's name of what was asked for, as `instance_create`; `job_end` where a job came to its end.
    pub operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<AuditResource>,
    pub result: AuditResult,
    /// Why it was refused, or what more there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often: repeated refusals are counted.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// Of what was counted, the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The jobs that the change led to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub jobs: Vec<JobId>,
    /// Of a job, the entry of the change that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub cause: Option<Uuid>,
    /// Its place in the chain; none for the moment until it is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Mark>,
}

fn one() -> u64 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives the field by reference"
)]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// Who it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// By what they have shown who they are.
    pub kind: ActorKind,
    /// The id of the token, of the session or of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub id: Option<Uuid>,
    pub name: String,
    /// The person, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub person: Option<UserId>,
}

/// By what somebody has shown who they are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// By an API token.
    Token,
    /// By a session, after a login.
    Session,
    /// By being at the core's machine.
    Local,
    /// By a component's certificate, or the token that it joined with.
    Component,
    /// It was the core itself.
    Core,
    /// By nothing that is good.
    Nobody,
}

impl ActorKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Local => "local",
            Self::Component => "component",
            Self::Core => "core",
            Self::Nobody => "nobody",
        }
    }
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditResource {
    pub kind: String,
    /// None where it is called by its name alone, as a blob by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub id: Option<Uuid>,
    pub name: String,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    Done,
    Refused,
    Failed,
}

impl AuditResult {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A place in a chain: a number, and the hash over everything up to it. Written as `NUMBER:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    pub number: u64,
    pub hash: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place in a chain: NUMBER:HASH is wanted, as `rhyzome audit verify` says it")]
pub struct InvalidMark(pub String);

impl FromStr for Mark {
    type Err = InvalidMark;
    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        let parsed = text.split_once(':').and_then(|(number, hash)| {
            Some(Self {
                number: number.parse().ok()?,
                hash: hash.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| InvalidMark(text.to_owned()))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

/// A chain as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditChain {
    /// `site`, or the project's id.
    pub chain: String,
    /// The project's name; it may be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// Whether the project is gone, and with it the chain at its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// The last entry that was dropped because of its age; 0 and the hash of the beginning where none was.
    pub checkpoint: Mark,
    /// The last entry that is sealed.
    pub head: Mark,
    /// How many entries are not sealed yet.
    pub unsealed: u64,
}

#[cfg(test)]
mod tests;
