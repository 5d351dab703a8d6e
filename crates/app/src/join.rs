//! How a component gets its certificate: once with a token, from then on with the one it has.

use std::time::{Duration, SystemTime};

use rhyzome_model::component::ComponentKind;
use rhyzome_model::resource::Component;
use rhyzome_model::{ComponentId, Name, Timestamp};
use rhyzome_pki::issue::{ComponentRequest, Issued, key_of};
use rhyzome_pki::token::JoinToken;
use rhyzome_store::component::{self, Standing};
use rhyzome_store::join_token::{self, User};

use crate::work::Work;
use crate::{Core, Error, Kind, Result, audit};

/// What a component wants to join as.
pub struct JoinRequest<'a> {
    pub token: &'a JoinToken,
    /// PKCS #10 in DER; only its public key is used.
    pub csr: &'a [u8],
    pub kind: ComponentKind,
    pub name: Option<Name>,
    pub hostname: &'a str,
}

/// A component's first certificate.
pub struct Joined {
    pub id: ComponentId,
    pub name: Name,
    pub certificate: Issued,
}

/// Lets a component in and uses its token up, in one transaction.
///
/// Whoever did not get the answer may ask again with the same key, until the token expires or the
/// component has had a session: it is the same component then, with another certificate.
///
/// # Errors
/// `Unauthenticated` where the token is unknown, used, expired or of another kind.
pub async fn join(core: &Core, request: &JoinRequest<'_>) -> Result<Joined> {
    let mut work = core.begin().await?;
    let now = work.now;
    let hash = request.token.secret_hash().to_string();
    let refused = |why: &str| Error::new(Kind::Unauthenticated, why);
    let invitation = join_token::join(&mut work, &hash).await?;
    let invitation = invitation.ok_or_else(|| refused("this join token is not known here"))?;
    let key = key_of(request.csr)
        .map_err(|why| Error::invalid("csr", why))?
        .to_string();
    let before = match invitation.used_at {
        None => None,
        Some(_) => {
            let before = joined_before(&mut work, &invitation, &key).await?;
            Some(
                before
                    .ok_or_else(|| refused("this join token was used already; make another one"))?,
            )
        }
    };
    if invitation.expires_at < now {
        return Err(refused("this join token has expired; make another one"));
    }
    if let Some(found) = before {
        if found.kind != request.kind {
            return Err(refused("this join token is for another kind of component"));
        }
        let id = ComponentId(found.meta.id);
        let certificate = issue(&mut work, id, request.csr).await?;
        told(&mut work, id, &found.meta.name, "component_join");
        work.commit().await?;
        tracing::info!(component = %id, "a component that joined before is given its answer again");
        return Ok(Joined {
            id,
            name: found.meta.name,
            certificate,
        });
    }
    if invitation.kind.is_some_and(|kind| kind != request.kind) {
        return Err(refused("this join token is for another kind of component"));
    }
    let asked = invitation.name.or_else(|| request.name.clone());
    let name = free_name(&mut work, asked, request).await?;
    let id = ComponentId(core.uuid());
    component::insert(&mut work, id, &name, request.kind, now).await?;
    told(&mut work, id, &name, "component_join");
    rhyzome_store::restored::unsettle_if_restored(&mut work, id).await?;
    let certificate = issue(&mut work, id, request.csr).await?;
    let by = User { component: id, key };
    join_token::use_join(&mut work, &hash, &by, now).await?;
    if let Some(found) = component::by_id(&mut work, id).await? {
        crate::component::tell(&mut work, &found, "joined").await?;
    }
    work.commit().await?;
    Ok(Joined {
        id,
        name,
        certificate,
    })
}

/// The component that a token was used for with a key, if all that is missing is that it knows of it.
async fn joined_before(
    work: &mut Work,
    invitation: &join_token::JoinToken,
    key: &str,
) -> Result<Option<Component>> {
    let Some(user) = invitation.used_by.as_ref().filter(|user| user.key == key) else {
        return Ok(None);
    };
    // One that has connected has its certificate: whoever asks now with its key is not who joined.
    if component::has_connected(work, user.component).await? {
        return Ok(None);
    }
    let found = component::by_id(work, user.component).await?;
    Ok(found.filter(|found| !found.revoked))
}

/// A new certificate for a component that shows one: it may have expired, but must be known.
pub async fn renew(core: &Core, id: ComponentId, serial: &str, csr: &[u8]) -> Result<Issued> {
    let mut work = core.begin().await?;
    work.adopt_certificate(id, serial).await?;
    match component::standing(&mut work, id, serial).await? {
        Standing::Good { .. } => {}
        Standing::Revoked => {
            return Err(Error::new(Kind::Forbidden, "this component was revoked"));
        }
        Standing::Unknown => {
            return Err(Error::new(
                Kind::Forbidden,
                "this certificate is not known here",
            ));
        }
    }
    let issued = issue(&mut work, id, csr).await?;
    if let Some(found) = component::by_id(&mut work, id).await? {
        told(&mut work, id, &found.meta.name, "component_renew");
    }
    work.commit().await?;
    Ok(issued)
}

/// The audit log tells of each certificate.
fn told(work: &mut Work, id: ComponentId, name: &Name, operation: &'static str) {
    work.audit.by(audit::component(id, name), operation);
    work.audit
        .concerns(None, "component", Some(id.0), name.as_str());
}

async fn issue(work: &mut Work, id: ComponentId, csr: &[u8]) -> Result<Issued> {
    let now = work.now;
    let text = id.to_string();
    let validity = work.core().certificate_validity;
    let request = ComponentRequest {
        csr,
        component_id: &text,
        validity,
    };
    let issued = work
        .core()
        .authority
        .issue_component(request, system_time(now), &mut rand::rng())
        .map_err(|why| Error::invalid("csr", why))?;
    let not_after = timestamp(issued.not_after);
    component::insert_certificate(work, id, &issued.serial, not_after, now).await?;
    Ok(issued)
}

/// The name asked for, or one after the host and the kind with the first number that is free.
async fn free_name(
    work: &mut Work,
    asked: Option<Name>,
    request: &JoinRequest<'_>,
) -> Result<Name> {
    if let Some(name) = asked {
        return match component::get(work, &name).await? {
            None => Ok(name),
            Some(_) => Err(Error::name_taken("component", &name)),
        };
    }
    let base = base_name(request.hostname, request.kind);
    for number in 1..1000 {
        let text = if number == 1 {
            base.clone()
        } else {
            format!("{base}-{number}")
        };
        let name: Name = text.parse().map_err(|why| Error::invalid("name", why))?;
        if component::get(work, &name).await?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::name_taken("component", &base))
}

/// A name of what a host's name has that a name may have.
fn base_name(hostname: &str, kind: ComponentKind) -> String {
    let label = hostname
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let kept: String = label
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(24)
        .collect();
    let kept = kept.trim_matches('-');
    match kept.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => format!("{kept}-{kind}"),
        Some(_) => format!("host-{kept}-{kind}"),
        None => format!("host-{kind}"),
    }
}

pub(crate) fn system_time(time: Timestamp) -> SystemTime {
    let millis = u64::try_from(time.as_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_named_after_its_host() {
        for (hostname, name) in [
            ("node1.example.org", "node1-libvirt"),
            ("Node_A", "nodea-libvirt"),
            ("10-0-0-1", "host-10-0-0-1-libvirt"),
            ("", "host-libvirt"),
            ("---", "host-libvirt"),
        ] {
            let base = base_name(hostname, ComponentKind::Libvirt);
            assert_eq!(base, name);
            assert!(base.parse::<Name>().is_ok(), "{base}");
        }
    }
}
