//! Quotas: how much a project may have of what the site has. What is used is a sum over what there is, so
//! nothing is counted here.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Name, Size, Timestamp};

/// How much a project may have of each kind. What is left out is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaSpec {
    /// How many instances there may be, running or not. They count until they are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// The virtual processors of all instances together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// The memory of all instances together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// The disks of all instances together, as large as their guests see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<u32>,
    /// The bytes of images: of all blobs that the project may name, the same bytes once, and of uploads that are
    /// under way as many as were announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Size>,
    /// API tokens of the project, also those that have expired and were not revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
}

/// How much a project has of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaUsed {
    pub instances: u64,
    pub cpus: u64,
    pub memory: Size,
    pub disk: Size,
    pub networks: u64,
    pub peers: u64,
    pub images: Size,
    pub tokens: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaStatus {
    pub used: QuotaUsed,
}

/// A project's quota, and how much of it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    /// The project's.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    pub project: Name,
    /// Raised each time that it is set; 0 before the first time.
    pub generation: u64,
    /// When it was set; none before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    pub spec: QuotaSpec,
    pub status: QuotaStatus,
}

/// What a quota is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaKind {
    Instances,
    Cpus,
    Memory,
    Disk,
    Networks,
    Peers,
    Images,
    Tokens,
}

impl QuotaKind {
    pub const ALL: [Self; 8] = [
        Self::Instances,
        Self::Cpus,
        Self::Memory,
        Self::Disk,
        Self::Networks,
        Self::Peers,
        Self::Images,
        Self::Tokens,
    ];

    /// As in specs and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instances => "instances",
            Self::Cpus => "cpus",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Networks => "networks",
            Self::Peers => "peers",
            Self::Images => "images",
            Self::Tokens => "tokens",
        }
    }

    /// An amount of this kind, as people read it: bytes with their unit, the rest as a number.
    pub fn shown(self, amount: u64) -> String {
        match self {
            Self::Memory | Self::Disk | Self::Images => Size::bytes(amount).to_string(),
            Self::Instances | Self::Cpus | Self::Networks | Self::Peers | Self::Tokens => {
                amount.to_string()
            }
        }
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl QuotaSpec {
    /// How much there may be of a kind, in pieces or bytes; none where that is not limited.
    pub fn limit(&self, kind: QuotaKind) -> Option<u64> {
        match kind {
            QuotaKind::Instances => self.instances.map(u64::from),
            QuotaKind::Cpus => self.cpus.map(u64::from),
            QuotaKind::Memory => self.memory.map(Size::as_bytes),
            QuotaKind::Disk => self.disk.map(Size::as_bytes),
            QuotaKind::Networks => self.networks.map(u64::from),
            QuotaKind::Peers => self.peers.map(u64::from),
            QuotaKind::Images => self.images.map(Size::as_bytes),
            QuotaKind::Tokens => self.tokens.map(u64::from),
        }
    }
}

/// The limits in a line.
impl fmt::Display for QuotaSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = QuotaKind::ALL
            .into_iter()
            .filter_map(|kind| Some(format!("{kind} {}", kind.shown(self.limit(kind)?))));
        match limits.collect::<Vec<_>>() {
            none if none.is_empty() => f.write_str("no limits"),
            limits => f.write_str(&limits.join(", ")),
        }
    }
}

impl QuotaUsed {
    /// How much there is of a kind, in pieces or bytes.
    pub fn of(&self, kind: QuotaKind) -> u64 {
        match kind {
            QuotaKind::Instances => self.instances,
            QuotaKind::Cpus => self.cpus,
            QuotaKind::Memory => self.memory.as_bytes(),
            QuotaKind::Disk => self.disk.as_bytes(),
            QuotaKind::Networks => self.networks,
            QuotaKind::Peers => self.peers,
            QuotaKind::Images => self.images.as_bytes(),
            QuotaKind::Tokens => self.tokens,
        }
    }
}

/// More was asked for than is left. Less may be left than nothing: a quota can be set below what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub kind: QuotaKind,
    pub limit: u64,
    pub used: u64,
    /// More than there is.
    pub asked: u64,
}

impl Exceeded {
    /// # Errors
    /// Itself, if it is true.
    pub fn check(self) -> Result<(), Self> {
        // What asks for nothing more is never in the way, however little is left.
        let fits = self.asked == 0 || self.used.saturating_add(self.asked) <= self.limit;
        if fits { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |amount| self.kind.shown(amount);
        write!(
            f,
            "{} more were asked for of the quota's {} {}, of which {} are used and {} are left",
            shown(self.asked),
            shown(self.limit),
            self.kind,
            shown(self.used),
            shown(self.limit.saturating_sub(self.used)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeded(limit: u64, used: u64, asked: u64) -> Exceeded {
        Exceeded {
            kind: QuotaKind::Memory,
            limit,
            used,
            asked,
        }
    }

    #[test]
    fn a_quota_is_full_at_its_limit_and_never_stops_what_asks_for_nothing() {
        for (limit, used, asked, fits) in [
            (10, 9, 1, true),
            (10, 10, 1, false),
            (10, 0, 11, false),
            (0, 0, 1, false),
            (5, 9, 0, true),
            (u64::MAX, u64::MAX, 1, true),
            (10, u64::MAX, 1, false),
        ] {
            let check = exceeded(limit, used, asked).check();
            assert_eq!(check.is_ok(), fits, "{limit} {used} {asked}");
        }
    }

    #[test]
    fn who_is_refused_reads_what_was_asked_what_is_used_and_what_is_left() {
        assert_eq!(
            exceeded(1 << 30, 768 << 20, 512 << 20).to_string(),
            "512MiB more were asked for of the quota's 1GiB memory, of which 768MiB are used and 256MiB are left"
        );
        let lowered = exceeded(1 << 20, 2 << 20, 1 << 20).to_string();
        assert!(
            lowered.ends_with("2MiB are used and 0B are left"),
            "{lowered}"
        );
    }

    #[test]
    fn each_kind_has_its_field() {
        let spec: QuotaSpec = serde_json::from_str(
            r#"{"instances": 1, "cpus": 2, "memory": 3, "disk": 4, "networks": 5, "peers": 6, "images": 7, "tokens": 8}"#,
        )
        .unwrap();
        let limits = QuotaKind::ALL.map(|kind| spec.limit(kind));
        assert_eq!(limits, [1, 2, 3, 4, 5, 6, 7, 8].map(Some));
        let written = serde_json::to_value(&spec).unwrap();
        for kind in QuotaKind::ALL {
            assert!(written.get(kind.as_str()).is_some(), "{kind}");
            assert_eq!(QuotaSpec::default().limit(kind), None);
        }
        assert!(serde_json::from_str::<QuotaSpec>(r#"{"cpu": 2}"#).is_err());
    }
}
