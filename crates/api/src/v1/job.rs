//! Jobs: what components were told to do, and how far they are.

use rhyzome_app as app;
use rhyzome_model::resource::Job;
use rhyzome_model::{JobId, Name};
use rhyzome_wire::Page;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::context::{Api, Context};
use crate::extract::{NoQuery, Path, Query};
use crate::page::{Cursor, Limit, PageQuery, page};
use crate::problem::Failure;

/// Which jobs.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobQuery {
    /// How many rows at most: 1 to 1000.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
    /// Where the page begins: the `next` of the page before it.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    after: Option<Cursor>,
    /// Only those about this resource, by its id.
    #[serde(default)]
    #[param(value_type = Option<String>, format = "uuid")]
    resource: Option<Uuid>,
}

impl JobQuery {
    fn request(self) -> app::PageRequest {
        let Self { limit, after, .. } = self;
        PageQuery { limit, after }.request()
    }
}

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(list_of_site))
        .routes(routes!(get_of_site))
}

/// Lists a project's jobs, the newest first.
#[utoipa::path(get, path = "/v1/projects/{project}/jobs", operation_id = "job_list", tag = "jobs", params(JobQuery),
    responses((status = 200, body = Page<Job>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<JobQuery>,
) -> Result<axum::Json<Page<Job>>, Failure> {
    Ok(page(
        app::job::list(
            cx.core(),
            &cx.caller,
            Some(&project),
            query.resource,
            &query.request(),
        )
        .await?,
    ))
}

/// Shows one job of a project.
#[utoipa::path(get, path = "/v1/projects/{project}/jobs/{id}", operation_id = "job_get", tag = "jobs",
    responses((status = 200, body = Job)))]
async fn get(
    cx: Context,
    Path((project, id)): Path<(Name, JobId)>,
    _none: NoQuery,
) -> Result<axum::Json<Job>, Failure> {
    Ok(axum::Json(
        app::job::get(cx.core(), &cx.caller, Some(&project), id).await?,
    ))
}

/// Lists the jobs of the whole site, the newest first.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "site_job_list", tag = "jobs", params(JobQuery),
    responses((status = 200, body = Page<Job>)))]
async fn list_of_site(
    cx: Context,
    Query(query): Query<JobQuery>,
) -> Result<axum::Json<Page<Job>>, Failure> {
    Ok(page(
        app::job::list(
            cx.core(),
            &cx.caller,
            None,
            query.resource,
            &query.request(),
        )
        .await?,
    ))
}

/// Shows one job, of whatever project.
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "site_job_get", tag = "jobs",
    responses((status = 200, body = Job)))]
async fn get_of_site(
    cx: Context,
    Path(id): Path<JobId>,
    _none: NoQuery,
) -> Result<axum::Json<Job>, Failure> {
    Ok(axum::Json(
        app::job::get(cx.core(), &cx.caller, None, id).await?,
    ))
}
