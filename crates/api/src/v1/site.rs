//! The site itself.

use rhyzome_app as app;
use rhyzome_wire::request::Site;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::NoQuery;
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get))
}

/// Says what this site is, and who the caller is to it.
#[utoipa::path(get, path = "/v1/site", operation_id = "site_get", tag = "site",
    responses((status = 200, body = Site)))]
async fn get(cx: Context, _none: NoQuery) -> Result<axum::Json<Site>, Failure> {
    app::authorize::authorize(&cx.caller, app::Operation::SiteRead, None)?;
    Ok(axum::Json(Site {
        name: cx.core().site.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        caller: cx.caller.name,
    }))
}
