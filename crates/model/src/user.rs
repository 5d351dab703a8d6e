//! People, what they are in projects, and what they lose when they go.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::resource::Meta;
use crate::role::Role;
use crate::{Name, Timestamp};

/// What an operator can say of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// Whether they are kept out: their sessions, tokens and peers are gone at once, and they cannot log in.
    #[serde(default)]
    pub disabled: bool,
}

/// A person, as the site knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    #[serde(flatten)]
    pub meta: Meta,
    pub spec: UserSpec,
    /// What their issuer says that they are called, or what they called themselves.
    pub display_name: String,
    /// Who says who they are; none for people of the site's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// On the site as a whole, by the issuer's claims at their latest login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
    /// What they are in projects.
    #[serde(default)]
    pub projects: Vec<ProjectRole>,
    /// What they lost in projects, latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocations: Vec<Revocation>,
}

/// What somebody is in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectRole {
    pub project: Name,
    pub role: Role,
}

/// Which role somebody is to have in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// `viewer`, `member` or `owner`.
    pub role: Role,
}

/// A person in a project; the name is the person's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    #[serde(flatten)]
    pub meta: Meta,
    pub display_name: String,
    /// What counts: the larger one of the two below.
    pub role: Role,
    /// By an invitation, or by an owner's word since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited: Option<Role>,
    /// By the issuer's claims, at their latest login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Role>,
}

/// What is asked of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationSpec {
    /// What whoever redeems it will be: `viewer`, `member` or `owner`.
    pub role: Role,
    /// How long it is good for, in seconds from now: 60 to 2592000, 30 days. A week if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// An invitation that nobody has redeemed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    #[serde(flatten)]
    pub meta: Meta,
    pub role: Role,
    pub expires_at: Timestamp,
}

/// What somebody lost who left a project or was disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revocation {
    pub project: Name,
    /// The person's name.
    pub user: Name,
    pub cause: Cause,
    pub revoked_at: Timestamp,
    /// How many API tokens that they had made in the project are good no longer.
    pub tokens: u32,
    /// How many of their logins ended: all of them, where this was their last project, or they were disabled.
    pub sessions: u32,
    /// Their devices, one entry for each network that one could reach.
    pub peers: Vec<RevokedPeer>,
}

impl Revocation {
    /// Whether every endpoint that there is has confirmed it.
    pub fn is_confirmed(&self) -> bool {
        self.peers.iter().all(|peer| !peer.is_awaited)
    }
}

/// A device that reaches a network no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevokedPeer {
    pub peer: Name,
    pub network: Name,
    /// When the network's endpoint confirmed that it knows the device no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Whether its confirmation is still to come; none comes from a component that was revoked itself.
    pub is_awaited: bool,
}

/// Why somebody lost what they had in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// They left it, or were removed.
    Left,
    /// They have a role in it that has no devices.
    Lowered,
    /// Their issuer's claims give them no role in it any more.
    NotClaimed,
    /// An operator disabled them.
    Disabled,
    /// An operator removed them from the site.
    Deleted,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lowered => "lowered",
            Self::NotClaimed => "not_claimed",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

/// Who is asking, as the core sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// A person's name, or a token's as `project/name`.
    pub name: String,
    /// Whether it is a person who has logged in.
    pub is_person: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_role: Option<Role>,
    pub projects: Vec<ProjectRole>,
    /// When what they showed expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// How people log in to a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginMethods {
    /// The OpenID Connect issuer that says who people are; none where they come by invitations alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcMethod>,
}

/// Where people log in with OpenID Connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OidcMethod {
    pub issuer: String,
    pub client_id: String,
    pub scopes: Vec<String>,
}
