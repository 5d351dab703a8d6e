//! Which versions of the protocol understand each other.

use std::fmt;

use crate::pb;

/// A version of the protocol. A new major one is another protocol; a new minor one adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// The one spoken here.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// Whether a core of this version speaks with such a component: of the same minor version or one
    /// older. Cores are upgraded first, so a newer component is refused.
    pub fn speaks_with(self, component: Self) -> bool {
        self.major == component.major
            && (component.minor..=component.minor.saturating_add(1)).contains(&self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl From<pb::ProtocolVersion> for Version {
    fn from(version: pb::ProtocolVersion) -> Self {
        Self {
            major: version.major,
            minor: version.minor,
        }
    }
}

impl From<Version> for pb::ProtocolVersion {
    fn from(version: Version) -> Self {
        Self {
            major: version.major,
            minor: version.minor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_speaks_with_its_own_minor_version_and_the_one_before() {
        let core = Version { major: 1, minor: 3 };
        for (major, minor, expect) in [
            (1, 3, true),
            (1, 2, true),
            (1, 1, false),
            (1, 4, false),
            (2, 3, false),
            (0, 3, false),
        ] {
            let component = Version { major, minor };
            assert_eq!(core.speaks_with(component), expect, "{component}");
        }
    }
}
