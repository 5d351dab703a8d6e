//! A project's quota.

use reqwest::Method;
use rhyzome_model::quota::{Quota, QuotaSpec};
use rhyzome_wire::request::Update;

use crate::collection::EDITS;
use crate::{Client, Error, Tagged};

#[derive(Clone)]
pub struct Quotas {
    client: Client,
    path: String,
}

impl Quotas {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self { client, path }
    }

    pub async fn get(&self) -> Result<Quota, Error> {
        Ok(self.tagged().await?.value)
    }

    /// Replaces all limits; only those of the version `if_match`, if one is given.
    pub async fn set(&self, spec: QuotaSpec, if_match: Option<&str>) -> Result<Quota, Error> {
        let call = self.client.call(Method::PUT, &self.path);
        let call = call.json(&Update { spec }).if_match(if_match);
        call.send().await?.json()
    }

    /// Reads the limits, lets `change` make the new ones, and sets those; starts again if somebody else set them in
    /// between.
    ///
    /// # Errors
    /// Those of reading and setting, and `changed` if they were set under it again and again.
    pub async fn edit(&self, change: impl Fn(&mut QuotaSpec)) -> Result<Quota, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let Tagged { value, etag } = self.tagged().await?;
            let mut spec = value.spec;
            change(&mut spec);
            match self.set(spec, etag.as_deref()).await {
                Err(e) if e.code() == Some("changed") && tries < EDITS => {}
                other => return other,
            }
        }
    }

    async fn tagged(&self) -> Result<Tagged<Quota>, Error> {
        let answer = self.client.get(&self.path).send().await?;
        Ok(Tagged {
            value: answer.json()?,
            etag: answer.etag(),
        })
    }
}
