//! Components: they join by token, so they are never created here.

use std::ops::Deref;

use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::component::ComponentSpec;
use rhyzome_model::resource::{Component, ComponentSummary};
use rhyzome_wire::request::{CreateJoinToken, JoinToken, UpgradeComponent};

use crate::{Client, Collection, Error};

pub struct Components(Collection<ComponentSummary, Component, ComponentSpec>);

impl Components {
    pub(crate) fn new(client: Client) -> Self {
        Self(Collection::new(client, "v1/components".to_owned()))
    }

    /// A one-time token that a component joins with. It is shown this once.
    pub async fn create_token(&self, request: &CreateJoinToken) -> Result<JoinToken, Error> {
        let call = self
            .client
            .call(Method::POST, "v1/component-tokens")
            .json(request);
        call.send().await?.json()
    }

    /// Ends its session and lets it never connect again.
    pub async fn revoke(&self, name: &Name) -> Result<Component, Error> {
        let path = format!("{}/revoke", self.at(name));
        self.client.call(Method::POST, &path).send().await?.json()
    }

    /// Asks it to run another program; how far that is, it says when it is looked at.
    pub async fn upgrade(
        &self,
        name: &Name,
        request: &UpgradeComponent,
    ) -> Result<Component, Error> {
        let path = format!("{}/upgrade", self.at(name));
        let call = self.client.call(Method::POST, &path).json(request);
        call.send().await?.json()
    }
}

impl Deref for Components {
    type Target = Collection<ComponentSummary, Component, ComponentSpec>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
