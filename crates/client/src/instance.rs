//! Instances: besides what every resource can do, their power and what they say.

use std::time::Duration;

use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::resource::{Instance, InstanceSummary, InstanceWhy};
use rhyzome_wire::request::Stop;

use crate::{Collection, Error};

pub type Instances = Collection<InstanceSummary, Instance, InstanceSpec>;

impl Instances {
    pub async fn start(&self, name: &Name, wait: Option<Duration>) -> Result<Instance, Error> {
        self.act(name, "start", None, wait).await
    }

    /// Asks the guest, and forces it after the instance's stop timeout; at once with `force`.
    pub async fn stop(
        &self,
        name: &Name,
        force: bool,
        wait: Option<Duration>,
    ) -> Result<Instance, Error> {
        self.act(name, "stop", Some(Stop { force }), wait).await
    }

    pub async fn reboot(&self, name: &Name, wait: Option<Duration>) -> Result<Instance, Error> {
        self.act(name, "reboot", None, wait).await
    }

    async fn act(
        &self,
        name: &Name,
        verb: &str,
        body: Option<Stop>,
        wait: Option<Duration>,
    ) -> Result<Instance, Error> {
        let call = self
            .client
            .call(Method::POST, &format!("{}/{verb}", self.at(name)))
            .wait(wait);
        let call = match body {
            Some(body) => call.json(&body),
            None => call,
        };
        call.send().await?.json()
    }

    /// The last `bytes` of its serial console, as the guest wrote them: any bytes at all.
    pub async fn console(&self, name: &Name, bytes: u32) -> Result<bytes::Bytes, Error> {
        let path = format!("{}/console", self.at(name));
        Ok(self
            .client
            .get(&path)
            .query("bytes", bytes)
            .send()
            .await?
            .body)
    }

    pub async fn why(&self, name: &Name) -> Result<InstanceWhy, Error> {
        self.client
            .get(&format!("{}/why", self.at(name)))
            .send()
            .await?
            .json()
    }
}
