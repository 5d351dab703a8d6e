//! JSON bodies.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::refused;
use crate::problem::{Failure, Refused};

/// The largest JSON body, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// A body that has to be there.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A body that may be left out, for its default.
#[derive(Debug)]
pub struct MaybeJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        let typed = is_json(&request);
        let bytes = body(request.into_body()).await?;
        if !typed {
            return Err(Refused::MediaType {
                wanted: "application/json",
            }
            .into());
        }
        Ok(Self(parse(&bytes)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        let typed = is_json(&request);
        let bytes = body(request.into_body()).await?;
        match (bytes.is_empty(), typed) {
            (true, _) => Ok(Self(T::default())),
            (false, true) => Ok(Self(parse(&bytes)?)),
            (false, false) => Err(Refused::MediaType {
                wanted: "application/json",
            }
            .into()),
        }
    }
}

fn is_json(request: &Request) -> bool {
    let Some(value) = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
    else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// How long a JSON body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The whole body, up to [`MAX_BODY`].
///
/// # Errors
/// Where it is larger, breaks off or takes too long.
pub async fn body(body: Body) -> Result<Bytes, Refused> {
    let whole = Limited::new(body, MAX_BODY).collect();
    let whole = tokio::time::timeout(BODY_TIME, whole)
        .await
        .map_err(|_| Refused::TooSlow)?;
    match whole {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refused::TooLarge { limit: MAX_BODY }),
        Err(_) => Err(Refused::Broken),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let path = error.path().clone();
        let error = error.into_inner();
        match error.classify() {
            Category::Data => refused(&path, without_position(&error)),
            Category::Syntax | Category::Eof | Category::Io => {
                Refused::Malformed(error.to_string())
            }
        }
    })?;
    source
        .end()
        .map_err(|error| Refused::Malformed(error.to_string()))?;
    Ok(value)
}

/// The field's path says more than line and column of a text that a program wrote.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyzome_model::instance::InstanceSpec;
    use rhyzome_wire::request::Create;

    fn check(text: &str, expect: (&str, &str)) {
        let failure: Failure = parse::<Create<InstanceSpec>>(text.as_bytes())
            .expect_err(text)
            .into();
        let problem = failure.problem();
        let field = problem.field.unwrap_or_default();
        assert_eq!(
            (problem.code.as_str(), field.as_str()),
            expect,
            "{text}: {}",
            problem.detail
        );
    }

    #[test]
    fn a_wrong_body_is_refused_with_the_path_of_what_is_wrong() {
        check(
            r#"{"name":"web","spec":{"image":"hello"},"colour":1}"#,
            ("unknown_field", "colour"),
        );
        check(
            r#"{"name":"web","spec":{"image":"hello","cpu":1}}"#,
            ("unknown_field", "spec.cpu"),
        );
        check(r#"{"name":"web","spec":{}}"#, ("invalid", "spec.image"));
        check(r#"{"name":"web"}"#, ("invalid", "spec"));
        check(
            r#"{"name":"Web","spec":{"image":"hello"}}"#,
            ("invalid", "name"),
        );
        check(
            r#"{"name":"web","spec":{"image":"h","cpus":"two"}}"#,
            ("invalid", "spec.cpus"),
        );
        check(
            r#"{"name":"web","spec":{"image":"h","networks":["a","B"]}}"#,
            ("invalid", "spec.networks[1]"),
        );
        check(r#"{"name":"web","#, ("malformed", ""));
        check(
            r#"{"name":"web","spec":{"image":"hello"}} x"#,
            ("malformed", ""),
        );
    }
}
