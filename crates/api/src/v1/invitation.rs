//! Invitations into projects.

use axum::Extension;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse};
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::user::{Invitation, InvitationSpec};
use rhyzome_wire::Page;
use rhyzome_wire::request::{Invite, MintedInvitation, Redeem, Redeemed, SessionSecret};
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context, bearer};
use crate::docs::html::escape;
use crate::etag::{IfMatch, One};
use crate::extract::{Json, NoQuery, Path, Query};
use crate::idempotency::Secret;
use crate::page::{PageQuery, page};
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
}

/// What people ask who are not known yet.
pub fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(redeem))
        .routes(routes!(join))
        .routes(routes!(authority))
}

/// Lists a project's invitations that nobody has redeemed, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/invitations", operation_id = "invitation_list", tag = "people", params(PageQuery),
    responses((status = 200, body = Page<Invitation>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Invitation>>, Failure> {
    Ok(page(
        app::invitation::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Makes an invitation: its code lets one person into the project, once. It is shown this once.
#[utoipa::path(post, path = "/v1/projects/{project}/invitations", operation_id = "invitation_create", tag = "people",
    responses((status = 201, body = MintedInvitation)))]
async fn create(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Invite>,
) -> Result<(StatusCode, Extension<Secret>, axum::Json<MintedInvitation>), Failure> {
    let spec: InvitationSpec = body.spec;
    let minted = app::invitation::create(cx.core(), &cx.caller, &project, spec).await?;
    let shown = MintedInvitation {
        invitation: minted.invitation,
        link: link(cx.core(), found_at(&uri, &headers), &minted.code.reveal()),
        code: minted.code.reveal(),
    };
    Ok((StatusCode::CREATED, Extension(Secret), axum::Json(shown)))
}

/// Shows one invitation, without its code.
#[utoipa::path(get, path = "/v1/projects/{project}/invitations/{name}", operation_id = "invitation_get", tag = "people",
    responses((status = 200, body = Invitation)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<One<Invitation>, Failure> {
    let found = app::invitation::get(cx.core(), &cx.caller, &project, &name).await?;
    Ok(One::ok(found))
}

/// Takes an invitation back that nobody has redeemed.
#[utoipa::path(delete, path = "/v1/projects/{project}/invitations/{name}", operation_id = "invitation_delete", tag = "people",
    responses((status = 204, description = "It is good no longer")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::invitation::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    app::invitation::delete(cx.core(), &cx.caller, &project, &name, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Redeems an invitation: who has logged in is a member from then on. On a site without an OpenID Connect issuer somebody new says a
/// name, and is logged in by this.
#[utoipa::path(post, path = "/v1/invitations/redeem", operation_id = "invitation_redeem", tag = "people", security(()),
    responses((status = 200, body = Redeemed)))]
async fn redeem(
    State(api): State<Api>,
    _none: NoQuery,
    headers: HeaderMap,
    Json(body): Json<Redeem>,
) -> Result<axum::Json<Redeemed>, Failure> {
    let caller = match bearer(&headers) {
        Some(shown) => Some(app::authenticate(&api.core, Some(shown)).await?),
        None => None,
    };
    let Redeem { code, name } = body;
    let redeemed =
        app::invitation::redeem(&api.core, caller.as_ref(), &code, name.as_ref()).await?;
    Ok(axum::Json(Redeemed {
        project: redeemed.project,
        user: redeemed.user,
        session: redeemed.session.map(|(secret, expires_at)| SessionSecret {
            secret: secret.reveal(),
            expires_at,
        }),
    }))
}

/// Says what to do with an invitation's link. The code is behind the `#`, which browsers send nowhere.
#[utoipa::path(get, path = "/join", operation_id = "join", tag = "people", security(()),
    responses((status = 200, description = "HTML", content_type = "text/html")))]
async fn join(State(api): State<Api>, _none: NoQuery) -> impl IntoResponse {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>An invitation to {site}</title>\n\
         <style>body {{ font: 1.1rem/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem }}</style>\n\
         <h1>An invitation to {site}</h1>\n\
         <p>Install <code>rhyzome</code>, and give it the whole link that brought you here, in quotation marks:</p>\n\
         <pre>rhyzome project join 'LINK'</pre>\n\
         <p>It is good once. Whoever has it can use it in your place: show it to nobody.</p>\n</html>\n",
        site = escape(&api.core.site.name),
    );
    ([(CONTENT_SECURITY_POLICY, policy)], Html(page))
}

/// Shows the certificate (PEM) of the site's own authority. Who does not know it yet compares its fingerprint.
#[utoipa::path(get, path = "/v1/authority", operation_id = "authority_get", tag = "people", security(()),
    responses((status = 200, body = String, content_type = "application/x-pem-file", description = "PEM")))]
async fn authority(State(api): State<Api>, _none: NoQuery) -> impl IntoResponse {
    let kind = (CONTENT_TYPE, "application/x-pem-file");
    ([kind], api.core.authority.certificate_pem())
}

/// By which name and port the caller found this core: HTTP/2 says it in the URL, HTTP/1.1 in a header.
fn found_at<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = || headers.get(HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(|found| found.as_str()).or_else(header)
}

/// Where an invitation is redeemed: as the operator says, or else as the caller found this core.
fn link(core: &app::Core, found: Option<&str>, code: &str) -> String {
    let as_found = || format!("{}://{}", core.links.scheme, found.unwrap_or("localhost"));
    let url = core.links.public_url.clone().unwrap_or_else(as_found);
    let mut link = format!("{url}/join#{code}");
    if core.links.own_authority {
        let digest = Sha256::digest(core.authority.certificate());
        link.push('.');
        link.push_str(&hex::encode(digest));
    }
    link
}
