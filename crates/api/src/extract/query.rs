//! Query parameters.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::refused;
use crate::problem::{Failure, Refused};

/// The query's parameters. Every handler takes these or [`NoQuery`], so that a misspelt parameter is
/// an error everywhere.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// No parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(query(&parts.uri)?)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(Self(query(&parts.uri)?))
    }
}

/// The parameters of a URI.
///
/// # Errors
/// Those of the first parameter that is wrong.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refused> {
    parse(uri.query().unwrap_or_default())
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Refused> {
    let source = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(source)
        .map_err(|error| refused(error.path(), error.inner().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageQuery;

    fn check(query: &str, expect: Result<(), (&str, &str)>) {
        let got = parse::<PageQuery>(query).map(drop).map_err(|refused| {
            let problem = Failure::from(refused).problem();
            (problem.code, problem.field.unwrap_or_default())
        });
        assert_eq!(
            got,
            expect.map_err(|(code, field)| (code.to_owned(), field.to_owned())),
            "{query}"
        );
    }

    #[test]
    fn a_wrong_query_is_refused_with_the_parameters_name() {
        check("", Ok(()));
        check("limit=5&after=web", Ok(()));
        check("limits=5", Err(("unknown_field", "limits")));
        check("limit=five", Err(("invalid", "limit")));
        check("limit=0", Err(("invalid", "limit")));
        check("limit=1001", Err(("invalid", "limit")));
        check("limit=1&limit=2", Err(("invalid", "limit")));
    }
}
