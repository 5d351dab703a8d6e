//! `rhyzome project invite`, `join`, `members`, `role`, `remove` and what belongs to them.

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_model::role::Role;
use rhyzome_model::user::{Invitation, InvitationSpec, Member, MemberSpec, Revocation};
use rhyzome_model::{Name, Timestamp};
use rhyzome_wire::request::MintedInvitation;

use crate::args::{WaitArgs, duration, project_role};
use crate::complete;
use crate::failure::Failure;
use crate::login::{self, Place};
use crate::output::{Cell, Mode, Row, time};
use crate::session::Cx;

#[derive(Debug, Args)]
pub struct Invite {
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects))]
    project: Name,
    /// What whoever redeems it will be: viewer, member or owner.
    #[arg(long, value_name = "ROLE", default_value = "member", value_parser = project_role())]
    role: Role,
    /// How long it is good for, from 60s to 30d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    expires: Duration,
}

#[derive(Debug, Args)]
pub struct Join {
    /// The link of the invitation, or its code where the core's context is the current one.
    #[arg(value_name = "LINK")]
    link: String,
    /// What you want to be called, on a site where nobody says who you are.
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// What the context is called that is made, where this machine knows nothing of the core yet.
    #[arg(long = "as", value_name = "NAME")]
    called: Option<Name>,
    /// Where one has to log in first: show a code to type in on another machine.
    #[arg(long)]
    device: bool,
}

#[derive(Debug, Args)]
pub struct Of {
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects))]
    project: Name,
}

#[derive(Debug, Args)]
pub struct Uninvite {
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects))]
    project: Name,
    /// As `rhyzome project invitations` lists it.
    #[arg(value_name = "NAME")]
    name: Name,
}

#[derive(Debug, Args)]
pub struct SetRole {
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects))]
    project: Name,
    #[arg(value_name = "PERSON")]
    person: Name,
    #[arg(value_name = "ROLE", value_parser = project_role())]
    role: Role,
}

#[derive(Debug, Args)]
pub struct Remove {
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects))]
    project: Name,
    #[arg(value_name = "PERSON")]
    person: Name,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Invite {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let spec = InvitationSpec {
            role: self.role,
            expires_in: Some(u32::try_from(self.expires.as_secs()).unwrap_or(u32::MAX)),
        };
        let minted = session
            .client
            .within(&self.project)
            .invitation()
            .mint(spec)
            .await?;
        shown(cx, &minted)
    }
}

fn shown(cx: &Cx, minted: &MintedInvitation) -> Result<(), Failure> {
    match cx.output.mode {
        Mode::Json => cx.output.json(minted),
        Mode::Quiet => cx.output.line(&minted.link),
        Mode::People => {
            let until = time::ago(minted.invitation.expires_at, time::now());
            cx.output.note(&format!(
                "It lets one person in, expires {until}, and is shown this once. They run `rhyzome project join 'LINK'` with"
            ));
            cx.output.line(&minted.link)
        }
    }
}

/// The parts of an invitation's link.
#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    /// None where it is a code alone.
    url: Option<&'a str>,
    code: &'a str,
    fingerprint: Option<&'a str>,
}

fn parsed(text: &str) -> Option<Link<'_>> {
    let text = text.trim();
    let (url, rest) = match text.split_once("/join#") {
        Some((url, rest)) => (Some(url), rest),
        None => (None, text),
    };
    let (code, fingerprint) = match rest.split_once('.') {
        Some((code, fingerprint)) => (code, Some(fingerprint)),
        None => (rest, None),
    };
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let good = code.starts_with("rzi_")
        && fingerprint.is_none_or(is_hex)
        && (url.is_some() || fingerprint.is_none());
    good.then_some(Link {
        url,
        code,
        fingerprint,
    })
}

impl Join {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let link = parsed(&self.link).ok_or_else(|| login::Error::NotALink(self.link.clone()))?;
        let current = Place::current(cx).ok();
        let is_current =
            |current: &Place, url: &str| current.context.url.trim_end_matches('/') == url;
        let place = match (link.url, current) {
            (None, None) => return Err(login::Error::NoCore.into()),
            (None, Some(current)) => current,
            (Some(url), Some(current)) if is_current(&current, url) => current,
            (Some(url), _) => Place::new("site", url, link.fingerprint).await?,
        };
        let place = match &self.called {
            Some(name) => place.beside(name),
            None => place,
        };
        // Before the invitation is used up.
        place.check(cx)?;
        let stranger = place.stranger()?;
        let has_issuer = stranger.login_methods().await?.oidc.is_some();
        let mut is_known = place.is_logged_in(cx).await;
        if has_issuer && !is_known {
            place.log_in(cx, self.device).await?;
            is_known = true;
        }
        let redeemed = if is_known {
            place.client(cx)?.redeem(link.code, None).await?
        } else {
            let name = self.name.as_ref().ok_or(login::Error::NoName)?;
            let redeemed = stranger.redeem(link.code, Some(name)).await?;
            if let Some(session) = &redeemed.session {
                place.keep(cx, session, None)?;
            }
            redeemed
        };
        place.work_in(cx, &redeemed.project)?;
        let sentence = format!("{} is in the project {}", redeemed.user, redeemed.project);
        // Without the secret, which is kept.
        let shown = serde_json::json!({"user": redeemed.user, "project": redeemed.project, "context": place.name});
        cx.output.outcome(&shown, &sentence)
    }
}

pub async fn members(cx: &Cx, of: Of) -> Result<(), Failure> {
    let session = cx.session()?;
    let all = session.client.within(&of.project).member().all().await?;
    cx.output.list(
        &all,
        "nobody is a member; `rhyzome project invite` invites somebody",
    )
}

pub async fn invitations(cx: &Cx, of: Of) -> Result<(), Failure> {
    let session = cx.session()?;
    let all = session
        .client
        .within(&of.project)
        .invitation()
        .all()
        .await?;
    cx.output
        .list(&all, "there are no invitations that nobody has redeemed")
}

impl Uninvite {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let Self { project, name } = self;
        session
            .client
            .within(&project)
            .invitation()
            .delete(&name, None, None)
            .await?;
        let sentence = format!("the invitation {name} is good no longer");
        cx.output
            .gone(&None::<Invitation>, name.as_str(), &sentence)
    }
}

impl SetRole {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let Self {
            project,
            person,
            role,
        } = self;
        let members = session.client.within(&project).member();
        let member = members
            .update(&person, MemberSpec { role }, None, None)
            .await?;
        let sentence = format!("{person} is {} of {project}", member.role);
        cx.output.outcome(&member, &sentence)
    }
}

impl Remove {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let Self {
            project,
            person,
            wait,
        } = self;
        let wait = (!wait.no_wait).then_some(wait.timeout);
        let lost = session
            .client
            .within(&project)
            .member()
            .remove(&person, wait)
            .await?;
        let sentence = format!("{person} is no member of {project} any more{}", told(&lost));
        cx.output.gone(&lost, person.as_str(), &sentence)
    }
}

/// What somebody lost, in lines below a sentence.
pub fn told(lost: &Revocation) -> String {
    let mut text = format!(
        "\n  API tokens revoked: {}, logins ended: {}",
        lost.tokens, lost.sessions
    );
    for peer in &lost.peers {
        let state = match (peer.confirmed_at, peer.is_awaited) {
            (Some(at), _) => format!("gone, confirmed by its endpoint at {}", at),
            (None, true) => "its endpoint has been asked, and has not confirmed it yet".to_owned(),
            (None, false) => "its endpoint was revoked itself".to_owned(),
        };
        text.push_str(&format!(
            "\n  peer {} in {}: {state}",
            peer.peer, peer.network
        ));
    }
    text
}

impl Row for Member {
    const HEADER: &'static [&'static str] = &["NAME", "ROLE", "BY", "CALLED", "SINCE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let by = match (self.invited, self.claimed) {
            (Some(_), Some(_)) => "both",
            (None, Some(_)) => "issuer",
            _ => "invitation",
        };
        vec![
            Cell::new(&self.meta.name),
            Cell::new(self.role),
            Cell::new(by),
            Cell::new(&self.display_name),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

impl Row for Invitation {
    const HEADER: &'static [&'static str] = &["NAME", "ROLE", "EXPIRES", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::new(self.role),
            Cell::new(time::ago(self.expires_at, now)),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_where_and_whom_to_trust() {
        let code = "rzi_abc";
        let pin = "ab".repeat(32);
        let whole = format!("https://core.example:8080/join#{code}.{pin}");
        let expect = Link {
            url: Some("https://core.example:8080"),
            code,
            fingerprint: Some(&pin),
        };
        assert_eq!(parsed(&whole), Some(expect));
        let public = "https://core.example/join#rzi_abc";
        assert_eq!(
            parsed(public),
            Some(Link {
                url: Some("https://core.example"),
                code,
                fingerprint: None
            })
        );
        assert_eq!(
            parsed(" rzi_abc\n"),
            Some(Link {
                url: None,
                code,
                fingerprint: None
            })
        );
        for wrong in [
            "",
            "rz_abc",
            "https://core.example/join",
            &whole[..60],
            &format!("{code}.{pin}"),
            &whole[..whole.len() - 1],
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
