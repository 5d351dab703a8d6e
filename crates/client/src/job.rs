//! Jobs, of a project or of the site; the newest first.

use futures::Stream;
use rhyzome_model::JobId;
use rhyzome_model::resource::Job;
use rhyzome_wire::Page;
use uuid::Uuid;

use crate::{Client, Error, collection};

#[derive(Clone)]
pub struct Jobs {
    client: Client,
    path: String,
}

impl Jobs {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self { client, path }
    }

    pub async fn list(&self, limit: u32, after: Option<&str>) -> Result<Page<Job>, Error> {
        collection::page(&self.client, &self.path, limit, after).await
    }

    /// The newest ones about one resource.
    pub async fn of_resource(&self, resource: Uuid, limit: u32) -> Result<Page<Job>, Error> {
        let call = self.client.get(&self.path).query("limit", limit);
        call.query("resource", resource).send().await?.json()
    }

    pub fn list_all(&self) -> impl Stream<Item = Result<Job, Error>> + use<> {
        collection::pages(self.client.clone(), self.path.clone())
    }

    pub async fn get(&self, id: JobId) -> Result<Job, Error> {
        self.client
            .get(&format!("{}/{id}", self.path))
            .send()
            .await?
            .json()
    }
}
