//! Who says who people are: an OpenID Connect issuer, and which of its claims give which roles.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rhyzome_app::login::{self, ClaimRole};
use rhyzome_model::Name;
use rhyzome_model::role::Role;
use rhyzome_oidc::{Issuer, Options};
use rhyzome_settings::Complaint;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// As the issuer writes it of itself; without one, people come by invitations alone.
    pub issuer: Option<String>,
    /// What the issuer calls this site.
    pub client_id: Option<String>,
    /// The authority (PEM) of the issuer's certificate.
    pub authority: Option<PathBuf>,
    pub scopes: Vec<String>,
    /// The claim that people are named by.
    pub name_claim: String,
    /// `CLAIM=VALUE` to a role: `admin` or `auditor` on the site, `PROJECT/ROLE` in a project.
    pub roles: BTreeMap<String, String>,
    /// How long a login is good for, in minutes.
    pub session: u32,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            authority: None,
            scopes: ["openid", "profile", "email", "offline_access"]
                .map(str::to_owned)
                .to_vec(),
            name_claim: "preferred_username".to_owned(),
            roles: BTreeMap::new(),
            session: 60,
        }
    }
}

/// Why the issuer that is configured cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("cannot read {} (oidc.authority)", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Options(#[from] rhyzome_oidc::OptionsError),
}

impl Oidc {
    pub(super) fn check(&self, complaints: &mut Vec<Complaint>) {
        let mut complain = |key, reason: String| complaints.push(Complaint { key, reason });
        match (&self.issuer, &self.client_id) {
            (Some(_), None) => complain(
                "oidc.client_id",
                "oidc.issuer is set: the name that it knows this site by is needed".to_owned(),
            ),
            (None, Some(_)) => complain(
                "oidc.issuer",
                "oidc.client_id is set, and nobody whose it is".to_owned(),
            ),
            (None, None) if !self.roles.is_empty() => {
                complain(
                    "oidc.issuer",
                    "oidc.roles is set, and nobody whose claims those are".to_owned(),
                );
            }
            _ => {}
        }
        if let (Some(issuer), Some(client_id)) = (&self.issuer, &self.client_id) {
            let options = Options {
                issuer: issuer.clone(),
                client_id: client_id.clone(),
                authority: None,
            };
            if let Err(error) = Issuer::new(options) {
                complain("oidc.issuer", error.to_string());
            }
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            complain(
                "oidc.scopes",
                "openid has to be one of them, or the issuer gives no ID token".to_owned(),
            );
        }
        if !(5..=1440).contains(&self.session) {
            complain("oidc.session", "5 to 1440 minutes are possible".to_owned());
        }
        for (claim, role) in &self.roles {
            if let Err(reason) = parsed(claim, role) {
                complain("oidc.roles", reason);
            }
        }
    }

    /// None where no issuer is configured.
    ///
    /// # Errors
    /// [`OidcError`].
    pub fn open(&self) -> Result<Option<login::Oidc>, OidcError> {
        let (Some(issuer), Some(client_id)) = (&self.issuer, &self.client_id) else {
            return Ok(None);
        };
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|source| OidcError::Read {
                path: path.clone(),
                source,
            })
        };
        let issuer = Issuer::new(Options {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            authority: self.authority.as_ref().map(read).transpose()?,
        })?;
        let roles = self
            .roles
            .iter()
            .filter_map(|(claim, role)| parsed(claim, role).ok());
        Ok(Some(login::Oidc {
            issuer,
            scopes: self.scopes.clone(),
            name_claim: self.name_claim.clone(),
            roles: roles.collect(),
            session: Duration::from_secs(u64::from(self.session) * 60),
        }))
    }
}

/// One line of the mapping.
fn parsed(claim: &str, role: &str) -> Result<ClaimRole, String> {
    let wrong = || format!("{claim:?} is no CLAIM=VALUE, as in \"groups=ops\"");
    let (name, value) = claim
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(wrong)?;
    let (project, role) = match role.split_once('/') {
        Some((project, role)) => (Some(project), role),
        None => (None, role),
    };
    let project = project.map(str::parse::<Name>).transpose();
    let project = project.map_err(|e| format!("the role of {claim:?}: {e}"))?;
    let role: Role = role
        .parse()
        .map_err(|e| format!("the role of {claim:?}: {e}"))?;
    if role.is_of_site() == project.is_some() {
        return Err(format!(
            "the role of {claim:?} is to be admin or auditor, or PROJECT/ROLE with viewer, member or owner"
        ));
    }
    Ok(ClaimRole {
        claim: name.to_owned(),
        value: value.to_owned(),
        role,
        project,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_gives_a_role_of_the_site_or_of_a_project() {
        let check = |claim: &str, role: &str, expect: Option<(&str, Option<&str>)>| {
            let got = parsed(claim, role);
            let got = got
                .as_ref()
                .ok()
                .map(|one| (one.role.as_str(), one.project.as_ref().map(Name::as_str)));
            assert_eq!(got, expect, "{claim} {role}");
        };
        check("groups=ops", "admin", Some(("admin", None)));
        check(
            "groups=garden",
            "garden/member",
            Some(("member", Some("garden"))),
        );
        check("groups=a=b", "auditor", Some(("auditor", None)));
        check("groups", "admin", None);
        check("=ops", "admin", None);
        check("groups=ops", "member", None);
        check("groups=ops", "garden/admin", None);
        check("groups=ops", "Garden/member", None);
        check("groups=ops", "root", None);
    }
}
