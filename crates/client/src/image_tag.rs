//! Tags: names that point at images and may be moved.

use futures::TryStreamExt as _;
use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::image::{ImageTagSpec, Tag};
use rhyzome_model::resource::ImageTag;
use rhyzome_wire::request::Update;

use crate::collection::pages;
use crate::{Client, Error};

#[derive(Clone)]
pub struct ImageTags {
    client: Client,
    path: String,
}

impl ImageTags {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self { client, path }
    }

    pub async fn all(&self) -> Result<Vec<ImageTag>, Error> {
        pages(self.client.clone(), self.path.clone())
            .try_collect()
            .await
    }

    pub async fn get(&self, tag: &Tag) -> Result<ImageTag, Error> {
        self.client.get(&self.at(tag)).send().await?.json()
    }

    /// Points a tag at an image, wherever it points before.
    pub async fn set(&self, tag: &Tag, image: &Name) -> Result<ImageTag, Error> {
        let spec = ImageTagSpec {
            image: image.clone(),
        };
        let call = self.client.call(Method::PUT, &self.at(tag));
        call.json(&Update { spec }).send().await?.json()
    }

    pub async fn delete(&self, tag: &Tag) -> Result<(), Error> {
        let call = self.client.call(Method::DELETE, &self.at(tag));
        call.send().await.map(drop)
    }

    fn at(&self, tag: &Tag) -> String {
        format!("{}/{tag}", self.path)
    }
}
