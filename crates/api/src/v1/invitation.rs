//! Invitations into projects.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::user::{Invitation, InvitationSpec};
use rhyzome_wire::Page;
use rhyzome_wire::request::{Invite, MintedInvitation, Redeem, Redeemed, SessionSecret};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context, bearer};
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
    OpenApiRouter::new().routes(routes!(redeem))
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
    Json(body): Json<Invite>,
) -> Result<(StatusCode, Extension<Secret>, axum::Json<MintedInvitation>), Failure> {
    let spec: InvitationSpec = body.spec;
    let minted = app::invitation::create(cx.core(), &cx.caller, &project, spec).await?;
    let shown = MintedInvitation {
        invitation: minted.invitation,
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
#[utoipa::path(post, path = "/v1/invitations/redeem", operation_id = "invitation_redeem", tag = "people", security((), ("token" = [])),
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
