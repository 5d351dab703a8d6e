//! API tokens.

use std::ops::Deref;

use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::resource::ApiToken;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_wire::request::{Create, MintedToken};

use crate::{Client, Collection, Error};

/// API tokens of a project, or of the site. They are made by [`Tokens::mint`].
pub struct Tokens(Collection<ApiToken, ApiToken, ()>);

impl Tokens {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self(Collection::new(client, path))
    }

    /// A new token, whose secret is shown this once.
    pub async fn mint(&self, name: &Name, spec: ApiTokenSpec) -> Result<MintedToken, Error> {
        let body = Create {
            name: name.clone(),
            spec,
        };
        let call = self.client.call(Method::POST, &self.path).json(&body);
        call.send().await?.json()
    }
}

impl Deref for Tokens {
    type Target = Collection<ApiToken, ApiToken, ()>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
