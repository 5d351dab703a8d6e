//! The audit log, of a project and of the site: entries, chains, and whether they are whole.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_app::audit::Whose;
use rhyzome_model::audit::{AuditChain, AuditEntry, Mark, Verification};
use rhyzome_model::{Name, ProjectId};
use rhyzome_wire::Page;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{NoQuery, Path, Query};
use crate::page::{Limit, PageQuery, page};
use crate::problem::{Failure, Refused};
use crate::sse;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(chain))
        .routes(routes!(verify))
        .routes(routes!(list_of_site))
        .routes(routes!(chain_of_site))
        .routes(routes!(verify_of_site))
        .routes(routes!(chains))
}

/// Where to begin, and whether to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EntryQuery {
    /// The number of the last entry that the caller has seen, or the `next` of the page before; by default all
    /// that are kept are told. For a stream the header `Last-Event-ID` goes before it.
    #[serde(default)]
    after: Option<String>,
    /// `true`: a stream (`text/event-stream`) of what is sealed, which goes on until the caller ends it.
    #[serde(default)]
    #[param(default = false, required = false)]
    follow: bool,
    /// How many entries a page has at most: 1 to 1000.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
}

/// The same, and of which chain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SiteEntryQuery {
    /// The number of the last entry that the caller has seen, or the `next` of the page before; by default all
    /// that are kept are told. For a stream the header `Last-Event-ID` goes before it.
    #[serde(default)]
    after: Option<String>,
    /// `true`: a stream (`text/event-stream`) of what is sealed, which goes on until the caller ends it.
    #[serde(default)]
    #[param(default = false, required = false)]
    follow: bool,
    /// How many entries a page has at most: 1 to 1000.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
    /// The id of a project whose chain is asked for, which may be gone; by default the site's own.
    #[serde(default)]
    #[param(value_type = String, format = "uuid", required = false)]
    chain: Option<ProjectId>,
}

/// Which chain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ChainQuery {
    /// The id of a project whose chain is asked for, which may be gone; by default the site's own.
    #[serde(default)]
    #[param(value_type = String, format = "uuid", required = false)]
    chain: Option<ProjectId>,
}

/// What is known from elsewhere.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VerifyQuery {
    /// What was `seen` when the chain was verified before, as `NUMBER:HASH`: it has to be in it still.
    #[serde(default)]
    known: Option<String>,
}

/// The same, and of which chain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SiteVerifyQuery {
    /// What was `seen` when the chain was verified before, as `NUMBER:HASH`: it has to be in it still.
    #[serde(default)]
    known: Option<String>,
    /// The id of a project whose chain is asked for, which may be gone; by default the site's own.
    #[serde(default)]
    #[param(value_type = String, format = "uuid", required = false)]
    chain: Option<ProjectId>,
}

/// Tells who did what in a project and what was refused to its members, in the order of its chain; what is
/// not sealed yet comes last. For its owners.
#[utoipa::path(get, path = "/v1/projects/{project}/audit", operation_id = "audit_list", tag = "audit",
    params(EntryQuery),
    responses((status = 200, content((Page<AuditEntry> = "application/json"), (AuditEntry = "text/event-stream")))))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<EntryQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(cx, Whose::Project(project), query, &headers).await
}

/// Says where a project's chain begins and ends.
#[utoipa::path(get, path = "/v1/projects/{project}/audit/chain", operation_id = "audit_chain", tag = "audit",
    responses((status = 200, body = AuditChain)))]
async fn chain(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
) -> Result<axum::Json<AuditChain>, Failure> {
    let whose = Whose::Project(project);
    Ok(axum::Json(
        app::audit::chain(cx.core(), &cx.caller, &whose).await?,
    ))
}

/// Computes a project's chain anew and says what is wrong with it.
#[utoipa::path(get, path = "/v1/projects/{project}/audit/verification", operation_id = "audit_verify", tag = "audit",
    params(VerifyQuery),
    responses((status = 200, body = Verification)))]
async fn verify(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<VerifyQuery>,
) -> Result<axum::Json<Verification>, Failure> {
    verified(&cx, &Whose::Project(project), query.known.as_deref()).await
}

/// Tells what was done on the site and belongs to no project, and what was refused to strangers.
#[utoipa::path(get, path = "/v1/audit", operation_id = "site_audit_list", tag = "audit",
    params(SiteEntryQuery),
    responses((status = 200, content((Page<AuditEntry> = "application/json"), (AuditEntry = "text/event-stream")))))]
async fn list_of_site(
    cx: Context,
    Query(query): Query<SiteEntryQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let SiteEntryQuery {
        after,
        follow,
        limit,
        chain,
    } = query;
    let query = EntryQuery {
        after,
        follow,
        limit,
    };
    answer(cx, whose(chain), query, &headers).await
}

/// Says where the site's chain begins and ends.
#[utoipa::path(get, path = "/v1/audit/chain", operation_id = "site_audit_chain", tag = "audit",
    params(ChainQuery),
    responses((status = 200, body = AuditChain)))]
async fn chain_of_site(
    cx: Context,
    Query(query): Query<ChainQuery>,
) -> Result<axum::Json<AuditChain>, Failure> {
    let whose = whose(query.chain);
    Ok(axum::Json(
        app::audit::chain(cx.core(), &cx.caller, &whose).await?,
    ))
}

/// Computes the site's chain anew and says what is wrong with it.
#[utoipa::path(get, path = "/v1/audit/verification", operation_id = "site_audit_verify", tag = "audit",
    params(SiteVerifyQuery),
    responses((status = 200, body = Verification)))]
async fn verify_of_site(
    cx: Context,
    Query(query): Query<SiteVerifyQuery>,
) -> Result<axum::Json<Verification>, Failure> {
    verified(&cx, &whose(query.chain), query.known.as_deref()).await
}

/// Lists all chains: the site's, and those of projects, also of those that are gone.
#[utoipa::path(get, path = "/v1/audit/chains", operation_id = "site_audit_chain_list", tag = "audit",
    params(PageQuery),
    responses((status = 200, body = Page<AuditChain>)))]
async fn chains(
    cx: Context,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<AuditChain>>, Failure> {
    let request = query.request();
    Ok(page(
        app::audit::chains(cx.core(), &cx.caller, &request).await?,
    ))
}

fn whose(chain: Option<ProjectId>) -> Whose {
    chain.map_or(Whose::Site, |id| Whose::Chain(id.to_string()))
}

async fn answer(
    cx: Context,
    whose: Whose,
    query: EntryQuery,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    if query.follow {
        let behind = match &query.after {
            Some(after) => after.parse::<app::audit::Behind>()?.number,
            None => 0,
        };
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        let after = sse::last_event_id(headers)?.unwrap_or(behind);
        return sse::follow(cx, sse::Source::Audit(whose), after).await;
    }
    let request = app::PageRequest {
        limit: query.limit.get(),
        after: query.after,
    };
    let listed = app::audit::list(cx.core(), &cx.caller, &whose, &request).await?;
    Ok(page(listed).into_response())
}

async fn verified(
    cx: &Context,
    whose: &Whose,
    known: Option<&str>,
) -> Result<axum::Json<Verification>, Failure> {
    let known: Option<Mark> =
        known
            .map(str::parse)
            .transpose()
            .map_err(|why| Refused::Invalid {
                field: "known".to_owned(),
                detail: format!("{why}"),
            })?;
    let found = app::audit::verify(cx.core(), &cx.caller, whose, known).await?;
    Ok(axum::Json(found))
}
