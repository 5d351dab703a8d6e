//! Jobs, of a project or of the site; the newest first.

use futures::Stream;
use rhyzome_model::JobId;
use rhyzome_model::resource::Job;
use rhyzome_wire::Page;

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
