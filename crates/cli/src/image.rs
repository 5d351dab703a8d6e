//! `rhyzome image …`

mod export;
pub(crate) mod import;
mod tag;
mod verify;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::resource::{Image, ImageSummary};
use rhyzome_model::{Name, Timestamp};

use crate::complete;
use crate::failure::Failure;
use crate::output::{Cell, Details, Row, Thing, time};
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Upload a kernel or unikernel, unless the core has its bytes, and give it a name.
    #[command(after_help = "\
Example:
  rhyzome image import ./hello --command-line 'ip={{ip}}/{{prefix}} gw={{gateway}}'
  rhyzome image import https://example.org/vmlinuz --name debian --initrd ./initrd.img
  rhyzome image import ./debian.qcow2 --name debian-20261101 --tag debian:12")]
    Import(import::Import),
    /// List the images.
    #[command(after_help = "\
Example:
  rhyzome image list
  rhyzome image list --tag debian:12
  rhyzome image list --tag debian")]
    List(tag::List),
    /// Show an image: its digest, size, format and tags.
    #[command(after_help = "\
Example:
  rhyzome image show hello
  rhyzome image show debian:12")]
    Show(Named),
    /// Point tags at an image. Instances keep the image that they were made of.
    #[command(after_help = "Example:\n  rhyzome image tag debian-20261101 debian:12 debian:stable")]
    Tag(tag::Set),
    /// Delete tags. The images that they point at stay.
    #[command(after_help = "Example:\n  rhyzome image untag debian:stable")]
    Untag(tag::Unset),
    /// Write an image's bytes into a file, and go on where an earlier export was cut off.
    #[command(after_help = "\
Example:
  rhyzome image export hello --output hello.elf
  rhyzome image export debian:12 --output - > debian.qcow2")]
    Export(export::Export),
    /// Read an image's bytes where they are kept, to see whether they are whole.
    #[command(after_help = "Example:\n  rhyzome image verify hello")]
    Verify(Named),
    /// Delete an image and its tags, unless an instance was made of it.
    #[command(after_help = "Example:\n  rhyzome image delete hello")]
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct Named {
    /// An image's name, or a tag that points at it.
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(complete::images_and_tags))]
    image: tag::Named,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::images))]
    name: Name,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self {
            Self::Import(import) => import.run(cx).await,
            Self::List(list) => list.run(cx).await,
            Self::Show(Named { image }) => cx
                .output
                .thing(&tag::find(&cx.session()?.scope, &image).await?),
            Self::Tag(tag) => tag.run(cx).await,
            Self::Untag(untag) => untag.run(cx).await,
            Self::Export(export) => export.run(cx).await,
            Self::Verify(Named { image }) => {
                let found = tag::find(&cx.session()?.scope, &image).await?;
                verify::verify(cx, &found.meta.name).await
            }
            Self::Delete(Delete { name }) => {
                cx.session()?
                    .scope
                    .image()
                    .delete(&name, None, None)
                    .await?;
                cx.output.gone(
                    &None::<Image>,
                    name.as_str(),
                    &format!("image {name} is deleted"),
                )
            }
        }
    }
}

impl Row for ImageSummary {
    const HEADER: &'static [&'static str] = &["NAME", "FORMAT", "SIZE", "DIGEST", "TAGS", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::new(self.format.as_str()),
            Cell::new(import::rough(self.size.as_bytes())),
            Cell::new(self.digest.short()),
            Cell::maybe((!self.tags.is_empty()).then(|| tag::joined(&self.tags))),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

impl Thing for Image {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let line = &self.spec.command_line;
        Details::of(&self.meta, now)
            .text("format", self.format.as_str())
            .text("size", import::rough(self.blob.size.as_bytes()))
            .text("digest", format!("sha256:{}", self.blob.digest))
            .maybe(
                "tags",
                (!self.tags.is_empty()).then(|| tag::joined(&self.tags)),
            )
            .maybe(
                "initrd",
                self.spec.initrd.map(|digest| format!("sha256:{digest}")),
            )
            .maybe("command line", (!line.is_empty()).then_some(line))
    }
}
