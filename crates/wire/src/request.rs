//! Bodies of requests, and answers that are no resource.

use std::fmt;

use rhyzome_model::component::ComponentKind;
use rhyzome_model::resource::ApiToken;
use rhyzome_model::user::{Invitation, InvitationSpec, User};
use rhyzome_model::{Digest, Name, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Creates a resource: its name and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Create<S> {
    pub name: Name,
    pub spec: S,
}

/// Creates a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    pub name: Name,
}

/// Replaces what is asked of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Update<S> {
    pub spec: S,
}

/// Asks for a one-time token that a component joins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateJoinToken {
    /// What may join with it; any kind, if none is given.
    #[serde(default)]
    pub kind: Option<ComponentKind>,
    /// The name that the component gets; by default its host's name and kind.
    #[serde(default)]
    pub name: Option<Name>,
    /// How long it is good for, in seconds: 60 to 604800.
    #[serde(default = "one_hour")]
    pub expires_in: u32,
}

fn one_hour() -> u32 {
    3600
}

/// A one-time token, shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    pub token: String,
    pub expires_at: Timestamp,
    /// Where the component has to connect to, as in `https://core.example:9090`.
    pub url: String,
}

/// An API token that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MintedToken {
    #[serde(flatten)]
    pub token: ApiToken,
    /// What is shown to prove that one has it, as in `Authorization: Bearer rz_…`. It is told this once.
    pub secret: String,
}

/// Asks a component to run another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeComponent {
    pub to: UpgradeSource,
    /// How long the program has to get a session with the core, in seconds: 5 to 3600. Then the one from before
    /// runs again.
    #[serde(default = "usual_within")]
    pub within: u32,
}

fn usual_within() -> u32 {
    rhyzome_model::upgrade::USUAL_WITHIN
}

/// Where a component's program comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum UpgradeSource {
    /// A blob of a project, uploaded before.
    Program { project: Name, digest: Digest },
    /// The one from before, which the component has kept.
    Previous,
}

/// How an instance is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// At once, without asking the guest.
    pub force: bool,
}

/// Who the caller is and what the site is, for a client to greet with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    pub name: String,
    pub version: String,
    pub caller: String,
    /// Where the site was restored from a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
}

/// A site that was restored from a backup. What its components have beyond that backup is left alone
/// until it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// When the backup was made.
    pub copied_at: Timestamp,
    pub restored_at: Timestamp,
    /// None until somebody has confirmed: nothing new is made before.
    pub confirmed_at: Option<Timestamp>,
    /// How many things on hosts are left alone.
    pub held: u64,
}

/// Something on a host that carries the site's mark and is not in the backup that it was restored from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Held {
    pub component: String,
    /// `instance`, `lease`, `network`, `peer` or `segment`.
    pub kind: String,
    pub resource_id: String,
    pub since: Timestamp,
    pub why: String,
}

/// Shows who somebody is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// An ID token of the site's OpenID Connect issuer, as it gave it to the client.
    pub id_token: String,
}

/// Somebody who has just logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedIn {
    pub user: User,
    pub session: SessionSecret,
}

/// What a device shows whose owner has logged in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionSecret {
    /// As in `Authorization: Bearer rzs_…`. It is told this once.
    pub secret: String,
    pub expires_at: Timestamp,
}

/// Asks for an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    pub spec: InvitationSpec,
}

/// An invitation that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MintedInvitation {
    #[serde(flatten)]
    pub invitation: Invitation,
    /// What is good once, as in `rzi_…`. It is told this once.
    pub code: String,
    /// The same with where the core is, and whom to trust there: `rhyzome project join LINK`.
    pub link: String,
}

/// Redeems an invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redeem {
    pub code: String,
    /// What somebody new wants to be called, on a site without an OpenID Connect issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
}

/// An invitation that was just redeemed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Redeemed {
    pub project: Name,
    /// What the person is called.
    pub user: Name,
    /// Of somebody new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSecret>,
}

impl fmt::Debug for LogIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogIn(…)")
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionSecret(until {})", self.expires_at)
    }
}

impl fmt::Debug for MintedInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MintedInvitation")
            .field(&self.invitation)
            .finish()
    }
}

impl fmt::Debug for Redeem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redeem")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
