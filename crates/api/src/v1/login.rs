//! Logging in and out, and asking who one is.

use axum::extract::State;
use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::user::{LoginMethods, Whoami};
use rhyzome_wire::request::{LogIn, LoggedIn, SessionSecret};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{Json, NoQuery};
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(whoami))
        .routes(routes!(end))
}

/// What people ask who are not known yet.
pub fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(methods))
        .routes(routes!(begin))
}

/// Says how people log in.
#[utoipa::path(get, path = "/v1/login", operation_id = "login_methods", tag = "people", security(()),
    responses((status = 200, body = LoginMethods)))]
async fn methods(State(api): State<Api>, _none: NoQuery) -> axum::Json<LoginMethods> {
    axum::Json(app::login::methods(&api.core))
}

/// Begins a session of whoever shows an ID token that the site's issuer made for this site.
#[utoipa::path(post, path = "/v1/sessions", operation_id = "session_begin", tag = "people", security(()),
    responses((status = 201, body = LoggedIn)))]
async fn begin(
    State(api): State<Api>,
    _none: NoQuery,
    Json(body): Json<LogIn>,
) -> Result<(StatusCode, axum::Json<LoggedIn>), Failure> {
    let made = app::login::login(&api.core, &body.id_token).await?;
    let shown = LoggedIn {
        user: made.user,
        session: SessionSecret {
            secret: made.secret.reveal(),
            expires_at: made.expires_at,
        },
    };
    Ok((StatusCode::CREATED, axum::Json(shown)))
}

/// Ends the caller's own session.
#[utoipa::path(delete, path = "/v1/session", operation_id = "session_end", tag = "people",
    responses((status = 204, description = "It is over")))]
async fn end(cx: Context, _none: NoQuery) -> Result<StatusCode, Failure> {
    app::login::logout(cx.core(), &cx.caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says who the caller is, and what they may.
#[utoipa::path(get, path = "/v1/whoami", operation_id = "whoami", tag = "people",
    responses((status = 200, body = Whoami)))]
async fn whoami(cx: Context, _none: NoQuery) -> Result<axum::Json<Whoami>, Failure> {
    Ok(axum::Json(app::login::whoami(&cx.caller)?))
}
