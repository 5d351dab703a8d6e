//! One-time tokens that components join with.

use axum::Extension;
use axum::http::StatusCode;
use rhyzome_app::component::{TokenRequest, token_create};
use rhyzome_wire::request::{CreateJoinToken, JoinToken};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{Json, NoQuery};
use crate::idempotency::Secret;
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Makes a one-time token that a component joins with. It is shown this once.
#[utoipa::path(post, path = "/v1/component-tokens", operation_id = "component_token_create", tag = "components",
    responses((status = 201, body = JoinToken)))]
async fn create(
    cx: Context,
    _none: NoQuery,
    Json(body): Json<CreateJoinToken>,
) -> Result<(StatusCode, Extension<Secret>, axum::Json<JoinToken>), Failure> {
    let CreateJoinToken {
        kind,
        name,
        expires_in,
    } = body;
    let request = TokenRequest {
        kind,
        name,
        expires_in,
    };
    let minted = token_create(cx.core(), &cx.caller, request).await?;
    let shown = JoinToken {
        token: minted.token.reveal(),
        expires_at: minted.expires_at,
        url: minted.url,
    };
    Ok((StatusCode::CREATED, Extension(Secret), axum::Json(shown)))
}
