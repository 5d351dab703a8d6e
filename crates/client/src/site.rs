//! The site: its name, its version, and who the caller is to it.

use futures::Stream;
use reqwest::Method;
use rhyzome_wire::request::{Held, Site};

use crate::{Client, Error, collection};

pub struct SiteInfo {
    pub(crate) client: Client,
}

impl SiteInfo {
    pub async fn get(&self) -> Result<Site, Error> {
        self.client.get("v1/site").send().await?.json()
    }

    /// What is on hosts and not in the backup that the site was restored from.
    pub fn held(&self) -> impl Stream<Item = Result<Held, Error>> + use<> {
        collection::pages(self.client.clone(), "v1/site/held".to_owned())
    }

    /// Lets what is held be removed.
    pub async fn confirm(&self) -> Result<Site, Error> {
        let call = self.client.call(Method::POST, "v1/site/confirm");
        call.send().await?.json()
    }
}
