//! `rhyzome image …`

mod import;
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
  rhyzome image import https://example.org/vmlinuz --name debian --initrd ./initrd.img")]
    Import(import::Import),
    /// List the images.
    #[command(after_help = "Example:\n  rhyzome image list")]
    List,
    /// Show an image: its digest, size and format.
    #[command(after_help = "Example:\n  rhyzome image show hello")]
    Show(Named),
    /// Read an image's bytes where they are kept, to see whether they are whole.
    #[command(after_help = "Example:\n  rhyzome image verify hello")]
    Verify(Named),
    /// Delete an image. Instances that were made of it keep running.
    #[command(after_help = "Example:\n  rhyzome image delete hello")]
    Delete(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::images))]
    name: Name,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self {
            Self::Import(import) => import.run(cx).await,
            Self::List => {
                let images = cx.session()?.scope.image().all().await?;
                cx.output.list(
                    &images,
                    "there are no images; `rhyzome image import` makes one",
                )
            }
            Self::Show(Named { name }) => cx
                .output
                .thing(&cx.session()?.scope.image().get(&name).await?),
            Self::Verify(Named { name }) => verify::verify(cx, &name).await,
            Self::Delete(Named { name }) => {
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
    const HEADER: &'static [&'static str] = &["NAME", "FORMAT", "SIZE", "DIGEST", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::new(self.format.as_str()),
            Cell::new(import::rough(self.size.as_bytes())),
            Cell::new(self.digest.short()),
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
                "initrd",
                self.spec.initrd.map(|digest| format!("sha256:{digest}")),
            )
            .maybe("command line", (!line.is_empty()).then_some(line))
    }
}
