//! A component that joins, is given a new certificate, is revoked and forgotten.

use rhyzome_client::Error;
use rhyzome_end_to_end::Newcomer;
use rhyzome_end_to_end::newcomer::Doing;
use rhyzome_end_to_end::operator::name;
use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;
use rhyzome_wire::request::CreateJoinToken;

use crate::site::{Site, Standing};
use crate::stage::Stage;

fn called() -> Name {
    name("newcomer")
}

/// Lets it join, as an operator would who reads what it says.
pub async fn join(site: &mut Site<'_>) -> Result<bool, Error> {
    if let Some(Doing::Joining) = site.newcomer.doing() {
        match site.newcomer.joined() {
            None => return Ok(false),
            Some(Ok(())) => {}
            Some(Err(said)) => failed(&said),
        }
    }
    if Newcomer::certificate(site.world).is_some() {
        if site.newcomer.doing().is_none() {
            site.newcomer.work(site.world);
        }
        return Ok(true);
    }
    if site.token.is_none() {
        site.token = token(site).await?;
    }
    if let Some(token) = &site.token {
        site.newcomer.join(site.world, token);
    }
    Ok(false)
}

/// Whatever got lost on the way: the same command again, with the same token, is not refused.
fn failed(said: &str) {
    let known = [
        "this was made to fail",
        "no connection to the core",
        "could not let this component join",
    ];
    assert!(known.iter().any(|why| said.contains(why)), "{said}");
}

async fn token(site: &Site<'_>) -> Result<Option<String>, Error> {
    let request = CreateJoinToken {
        kind: Some(ComponentKind::Linux),
        name: Some(called()),
        expires_in: 3600,
    };
    let made = site.client().component().create_token(&request).await?;
    Ok(Some(made.token))
}

/// Starts it again, so that it looks at its certificate.
pub fn start_anew(site: &mut Site<'_>) -> bool {
    site.newcomer.kill();
    site.newcomer.work(site.world);
    true
}

pub async fn revoke(site: &Site<'_>) -> Result<bool, Error> {
    let revoked = site.client().component().revoke(&called()).await;
    revoked.map(|_| true)
}

pub async fn forget(site: &mut Site<'_>) -> Result<bool, Error> {
    site.newcomer.end(site.world);
    site.token = None;
    delete(site).await.map(|()| true)
}

async fn delete(site: &Site<'_>) -> Result<(), Error> {
    match site
        .client()
        .component()
        .delete(&called(), None, None)
        .await
    {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

pub async fn standing(stage: Stage, site: &Site<'_>) -> Option<Standing> {
    let found = match site.client().component().get(&called()).await {
        Ok(found) => Some(found),
        Err(error) if error.is_not_found() => None,
        Err(_) => return None,
    };
    let renewed = Newcomer::certificate(site.world) != site.shown;
    let good = match (stage, found) {
        (Stage::ComponentForgotten, found) => found.is_none(),
        (_, None) => false,
        (Stage::ComponentRevoked, Some(found)) => found.revoked && !found.connected,
        (Stage::CertificateRenewed, Some(found)) => found.connected && renewed,
        (_, Some(found)) => found.connected,
    };
    Some(match good {
        true => Standing::Good,
        false => Standing::Waiting,
    })
}
