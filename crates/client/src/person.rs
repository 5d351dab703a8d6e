//! People: how they log in, what they are, how they come into projects and go.

use std::ops::Deref;
use std::time::Duration;

use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::user::{
    Invitation, InvitationSpec, LoginMethods, Member, MemberSpec, Revocation, User, UserSpec,
    Whoami,
};
use rhyzome_wire::request::{Invite, LogIn, LoggedIn, MintedInvitation, Redeem, Redeemed};
use sha2::{Digest, Sha256};

use crate::{Client, Collection, Error, tls};

/// People of the site.
pub type Users = Collection<User, User, UserSpec>;

impl Client {
    pub fn user(&self) -> Users {
        Users::new(self.clone(), "v1/users".to_owned())
    }

    /// How people log in here.
    pub async fn login_methods(&self) -> Result<LoginMethods, Error> {
        self.get("v1/login").send().await?.json()
    }

    /// Begins a session of whom an ID token is of.
    pub async fn log_in(&self, id_token: &str) -> Result<LoggedIn, Error> {
        let body = LogIn {
            id_token: id_token.to_owned(),
        };
        self.call(Method::POST, "v1/sessions")
            .json(&body)
            .send()
            .await?
            .json()
    }

    /// Ends the session that this client shows.
    pub async fn log_out(&self) -> Result<(), Error> {
        self.call(Method::DELETE, "v1/session")
            .send()
            .await
            .map(drop)
    }

    pub async fn whoami(&self) -> Result<Whoami, Error> {
        self.get("v1/whoami").send().await?.json()
    }

    /// Comes into the project of an invitation; `name` for somebody new on a site without an issuer.
    pub async fn redeem(&self, code: &str, name: Option<&Name>) -> Result<Redeemed, Error> {
        let body = Redeem {
            code: code.to_owned(),
            name: name.cloned(),
        };
        self.call(Method::POST, "v1/invitations/redeem")
            .json(&body)
            .send()
            .await?
            .json()
    }
}

/// The authority (PEM) of a core that is known by nothing but its fingerprint: SHA-256 of the certificate, in hexadecimal digits.
/// What the core says is not believed until it is compared, and nothing secret is sent to it before.
///
/// # Errors
/// [`Error::NotTheAuthority`] where another one answers.
pub async fn authority(url: &str, fingerprint: &str) -> Result<String, Error> {
    let client = Client::without_verifying(url)?;
    let answer = client.get("v1/authority").send().await?;
    let pem = String::from_utf8_lossy(&answer.body).into_owned();
    let found = tls::fingerprint(&pem)?;
    if found.eq_ignore_ascii_case(fingerprint) {
        Ok(pem)
    } else {
        Err(Error::NotTheAuthority {
            url: client.url().to_string(),
            found,
        })
    }
}

/// Members of a project.
pub struct Members(Collection<Member, Member, MemberSpec>);

impl Members {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self(Collection::new(client, path))
    }

    /// Takes somebody out; says what they lost, and which endpoints have confirmed it within `wait`.
    pub async fn remove(&self, name: &Name, wait: Option<Duration>) -> Result<Revocation, Error> {
        let call = self.client.call(Method::DELETE, &self.at(name));
        call.wait(wait).send().await?.json()
    }
}

impl Members {
    /// What somebody lost who was a member, and which endpoints have confirmed it by now.
    pub async fn revocation(&self, name: &Name) -> Result<Revocation, Error> {
        let path = self.path.trim_end_matches("members");
        let call = self.client.get(&format!("{path}revocations/{name}"));
        call.send().await?.json()
    }
}

impl Deref for Members {
    type Target = Collection<Member, Member, MemberSpec>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Invitations into a project, which are made by [`Invitations::mint`].
pub struct Invitations(Collection<Invitation, Invitation, ()>);

impl Invitations {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self(Collection::new(client, path))
    }

    /// A new one, whose code is shown this once.
    pub async fn mint(&self, spec: InvitationSpec) -> Result<MintedInvitation, Error> {
        let call = self
            .client
            .call(Method::POST, &self.path)
            .json(&Invite { spec });
        call.send().await?.json()
    }
}

impl Deref for Invitations {
    type Target = Collection<Invitation, Invitation, ()>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
