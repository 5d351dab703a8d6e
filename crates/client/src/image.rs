//! Images: besides what every resource can do, reading their bytes where they are kept.

use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::image::{ImageSpec, ImageVerification};
use rhyzome_model::resource::{Image, ImageSummary};

use crate::{Collection, Error};

pub type Images = Collection<ImageSummary, Image, ImageSpec>;

impl Images {
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
