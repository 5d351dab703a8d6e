//! The site itself.

use rhyzome_app as app;
use rhyzome_wire::Page;
use rhyzome_wire::request::{Held, Restored, Site};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{NoQuery, Query};
use crate::page::PageQuery;
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get))
        .routes(routes!(held))
        .routes(routes!(confirm))
}

/// Says what this site is, and who the caller is to it.
#[utoipa::path(get, path = "/v1/site", operation_id = "site_get", tag = "site",
    responses((status = 200, body = Site)))]
async fn get(cx: Context, _none: NoQuery) -> Result<axum::Json<Site>, Failure> {
    shown(&cx).await
}

async fn shown(cx: &Context) -> Result<axum::Json<Site>, Failure> {
    let state = app::restored::state(cx.core(), &cx.caller).await?;
    Ok(axum::Json(Site {
        name: cx.core().site.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        caller: cx.caller.name.clone(),
        restored: state.map(|state| Restored {
            copied_at: state.copied_at,
            restored_at: state.restored_at,
            confirmed_at: state.confirmed_at,
            held: state.held,
        }),
    }))
}

/// Lists what was found on hosts and is not in the backup that the site was restored from. It is left
/// alone until that is confirmed.
#[utoipa::path(get, path = "/v1/site/held", operation_id = "site_held", tag = "site", params(PageQuery),
    responses((status = 200, body = Page<Held>)))]
async fn held(
    cx: Context,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Held>>, Failure> {
    let (rows, next) = app::restored::held(cx.core(), &cx.caller, &query.request()).await?;
    let why = "on its host, and not in the backup that the site was restored from: removed when that \
               is confirmed";
    let items = rows
        .into_iter()
        .map(|row| Held {
            component: row.component_name,
            kind: row.kind,
            resource_id: row.resource,
            since: row.since,
            why: why.to_owned(),
        })
        .collect();
    Ok(axum::Json(Page { items, next }))
}

/// Confirms a restored site: what is left alone on its hosts is removed, and new things may be made.
/// What hosts have that come back later is left alone again, until this is asked once more.
#[utoipa::path(post, path = "/v1/site/confirm", operation_id = "site_confirm", tag = "site",
    responses((status = 200, body = Site)))]
async fn confirm(cx: Context, _none: NoQuery) -> Result<axum::Json<Site>, Failure> {
    app::restored::confirm(cx.core(), &cx.caller).await?;
    shown(&cx).await
}
