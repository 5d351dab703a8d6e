//! `rhyzome image tag` and `untag`: names that are moved from one image to the next.

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_client::{Error, Scope};
use rhyzome_model::Name;
use rhyzome_model::image::{Tag, TagFilter};
use rhyzome_model::resource::Image;

use crate::complete;
use crate::failure::Failure;
use crate::session::Cx;

#[derive(Debug, Args)]
pub struct Set {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::images))]
    name: Name,
    /// Tags like debian:12. Those that point at other images are moved.
    #[arg(value_name = "TAG", required = true, add = ArgValueCandidates::new(complete::image_tags))]
    tags: Vec<Tag>,
}

#[derive(Debug, Args)]
pub struct Unset {
    #[arg(value_name = "TAG", required = true, add = ArgValueCandidates::new(complete::image_tags))]
    tags: Vec<Tag>,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those that this tag points at, or any tag of this family, like debian:12 or debian.
    #[arg(long, value_name = "TAG", add = ArgValueCandidates::new(complete::image_tags))]
    tag: Option<TagFilter>,
}

impl Set {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let scope = cx.session()?.scope;
        let image = set(&scope, &self.name, &self.tags).await?;
        let tags = joined(&image.tags);
        cx.output
            .done(&image, &format!("image {} has the tags {tags}", self.name))
    }
}

impl Unset {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let tags = cx.session()?.scope.image_tag();
        for tag in &self.tags {
            tags.delete(tag).await?;
            let sentence = format!("the tag {tag} is deleted");
            cx.output.gone(&None::<Tag>, &tag.to_string(), &sentence)?;
        }
        Ok(())
    }
}

impl List {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let images = cx.session()?.scope.image();
        let (found, empty) = match &self.tag {
            None => (
                images.all().await?,
                "there are no images; `rhyzome image import` makes one".to_owned(),
            ),
            Some(tag) => (
                images.tagged(tag).await?,
                format!("no image has the tag {tag}; `rhyzome image tag NAME TAG` gives it to one"),
            ),
        };
        cx.output.list(&found, &empty)
    }
}

/// Points tags at an image, and gives it with all that it has then.
pub(super) async fn set(scope: &Scope, image: &Name, tags: &[Tag]) -> Result<Image, Error> {
    for tag in tags {
        scope.image_tag().set(tag, image).await?;
    }
    scope.image().get(image).await
}

/// The image that is meant by a name, or by a tag, which has a colon.
pub(super) async fn find(scope: &Scope, named: &Named) -> Result<Image, Error> {
    let name = match named {
        Named::Name(name) => name.clone(),
        Named::Tag(tag) => scope.image_tag().get(tag).await?.image,
    };
    scope.image().get(&name).await
}

/// An image as people say which one they mean.
#[derive(Clone, Debug)]
pub(super) enum Named {
    Name(Name),
    Tag(Tag),
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            text.parse().map(Self::Tag).map_err(|why| format!("{why}"))
        } else {
            text.parse().map(Self::Name).map_err(|why| format!("{why}"))
        }
    }
}

/// In a row, as people read them.
pub(super) fn joined(tags: &[Tag]) -> String {
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    tags.join(", ")
}
