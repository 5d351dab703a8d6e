//! The site: its name, its version, and who the caller is to it.

use rhyzome_wire::request::Site;

use crate::{Client, Error};

pub struct SiteInfo {
    pub(crate) client: Client,
}

impl SiteInfo {
    pub async fn get(&self) -> Result<Site, Error> {
        self.client.get("v1/site").send().await?.json()
    }
}
