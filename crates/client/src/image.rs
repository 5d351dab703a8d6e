//! Images: besides what every resource can do, reading their bytes where they are kept.

use futures::TryStreamExt as _;
use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::image::{ImageSpec, ImageVerification, TagFilter};
use rhyzome_model::resource::{Image, ImageSummary};

use crate::collection::pages;
use crate::{Collection, Error};

pub type Images = Collection<ImageSummary, Image, ImageSpec>;

impl Images {
    /// Those that a tag points at, or any tag of a family.
    pub async fn tagged(&self, tag: &TagFilter) -> Result<Vec<ImageSummary>, Error> {
        pages(self.client.clone(), format!("{}?tag={tag}", self.path))
            .try_collect()
            .await
    }

    /// Begins to read an image's bytes, or joins a reading that is under way.
    pub async fn verify(&self, name: &Name) -> Result<ImageVerification, Error> {
        let path = format!("{}/verify", self.at(name));
        let call = self.client.call(Method::POST, &path);
        call.send().await?.json()
    }

    /// How far that is, or what came of it.
    pub async fn verification(&self, name: &Name) -> Result<ImageVerification, Error> {
        let path = format!("{}/verify", self.at(name));
        self.client.get(&path).send().await?.json()
    }
}
