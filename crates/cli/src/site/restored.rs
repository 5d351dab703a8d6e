//! `rhyzome site …`: the site itself, and what its operator decides after a restore.

use clap::Subcommand;
use futures::TryStreamExt;
use rhyzome_model::Timestamp;
use rhyzome_wire::request::{Held, Site};

use crate::failure::Failure;
use crate::output::{Cell, Details, Row, Thing, time};
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the site: its version, who you are to it, whether it was restored.
    #[command(after_help = "Example:\n  rhyzome site show")]
    Show,
    /// List what is on hosts and not in the backup that the site was restored from.
    #[command(after_help = "Example:\n  rhyzome site held")]
    Held,
    /// Confirm a restored site: what `rhyzome site held` lists is removed, new things may be made.
    ///
    /// Best when all hosts are back: what later ones have is left alone again, for another confirm.
    #[command(after_help = "Example:\n  rhyzome site held && rhyzome site confirm")]
    Confirm,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let site = session.client.site();
        match self {
            Self::Show => cx.output.thing(&site.get().await?),
            Self::Held => {
                let held: Vec<Held> = site.held().try_collect().await?;
                cx.output.list(&held, "nothing is left alone")
            }
            Self::Confirm => {
                let confirmed = site.confirm().await?;
                let sentence = "confirmed: what is not in the backup is being removed, and new things may \
                                be made";
                cx.output.done(&confirmed, sentence)
            }
        }
    }
}

impl Row for Held {
    const HEADER: &'static [&'static str] = &["ID", "WHAT", "ON", "SINCE", "WHY"];

    fn name(&self) -> String {
        self.resource_id.clone()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.resource_id),
            Cell::new(&self.kind),
            Cell::new(&self.component),
            Cell::new(time::age(self.since, now)),
            Cell::new(&self.why),
        ]
    }
}

impl Thing for Site {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn details(&self, now: Timestamp) -> Details {
        let details = Details::default()
            .text("name", &self.name)
            .text("version", &self.version)
            .text("you are", &self.caller);
        let Some(restored) = &self.restored else {
            return details;
        };
        details
            .text("restored", time::ago(restored.restored_at, now))
            .text("from a backup of", time::ago(restored.copied_at, now))
            .text(
                "confirmed",
                restored
                    .confirmed_at
                    .map_or_else(|| "no".to_owned(), |at| time::ago(at, now)),
            )
            .text("left alone", restored.held)
    }
}
