//! Quotas of projects.

use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::quota::{Quota, QuotaSpec};
use rhyzome_wire::request::Update;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, NoQuery, Path};
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get, set))
}

/// Shows how much a project may have, and how much it has.
#[utoipa::path(get, path = "/v1/projects/{project}/quota", operation_id = "quota_get", tag = "projects",
    responses((status = 200, body = Quota)))]
async fn get(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
) -> Result<One<Quota>, Failure> {
    Ok(One::ok(
        app::quota::get(cx.core(), &cx.caller, &project).await?,
    ))
}

/// Sets how much a project may have. What the spec leaves out is not limited; a limit below what is used takes nothing
/// away, and stops what asks for more. Whoever asks for more than is left gets `quota_exceeded`.
#[utoipa::path(put, path = "/v1/projects/{project}/quota", operation_id = "quota_set", tag = "projects",
    responses((status = 200, body = Quota)))]
async fn set(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
    seen: IfMatch,
    Json(body): Json<Update<QuotaSpec>>,
) -> Result<One<Quota>, Failure> {
    let seen = seen
        .generation(app::quota::get(cx.core(), &cx.caller, &project))
        .await?;
    Ok(One::ok(
        app::quota::set(cx.core(), &cx.caller, &project, &body.spec, seen).await?,
    ))
}
