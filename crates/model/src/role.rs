//! What people and programs are allowed, in one word.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// In a project: `viewer`, `member`, `owner`, each with all that the one before it may. On the site as a whole: `auditor`,
/// `admin`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees what is in the project, without secrets, and changes nothing.
    Viewer,
    /// Makes, changes and removes what is in the project.
    Member,
    /// Says who else may do what in the project.
    Owner,
    /// Reads everything on the site, without secrets, and changes nothing.
    Auditor,
    /// Runs the site.
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no role: viewer, member and owner are of projects, auditor and admin of the site"
)]
pub struct InvalidRole(pub String);

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Member,
        Self::Owner,
        Self::Auditor,
        Self::Admin,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Owner => "owner",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// Whether it is one on the site as a whole.
    pub fn is_of_site(self) -> bool {
        matches!(self, Self::Auditor | Self::Admin)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| InvalidRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_what_it_is_called() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(json, format!("\"{role}\""));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
