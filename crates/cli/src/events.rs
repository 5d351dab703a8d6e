//! `rhyzome events`

use clap::Args;
use rhyzome_client::Heard;
use rhyzome_model::event::Event;

use crate::failure::Failure;
use crate::output::table::{Tone, printable};
use crate::output::{Cell, Mode};
use crate::session::Cx;

/// Rows a page.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rhyzome events
  rhyzome events --follow --json
  rhyzome events --after 1200 --site")]
pub struct Events {
    /// Go on with what happens from now on, over broken connections too.
    #[arg(long, short)]
    follow: bool,
    /// Begin behind the event with this number.
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// Those of the whole site, not of one project.
    #[arg(long)]
    site: bool,
}

impl Events {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let events = if self.site {
            session.client.event()
        } else {
            session.scope.event()
        };
        if !self.follow {
            let mut after = self.after;
            loop {
                let page = events.list(PAGE, after).await?;
                for event in &page.items {
                    print(cx, event)?;
                }
                match (page.next, page.items.last()) {
                    (Some(_), Some(last)) => after = Some(last.id),
                    _ => return Ok(()),
                }
            }
        }
        let mut follow = events.follow(self.after);
        loop {
            match follow.next().await? {
                Heard::Event(event) => print(cx, &event)?,
                Heard::Lost(reason) => cx.output.note(&format!("{reason}; connecting again")),
            }
        }
    }
}

fn print(cx: &Cx, event: &Event) -> Result<(), Failure> {
    match cx.output.mode {
        Mode::Json => cx.output.json_line(event),
        Mode::Quiet => cx
            .output
            .line(&format!("{} {}", event.what, event.resource_name)),
        Mode::People => {
            let tone = match event.what.as_str() {
                "ready" => Tone::Good,
                "failed" => Tone::Bad,
                _ => Tone::Plain,
            };
            let what = cx
                .output
                .paint(&Cell::new(format!("{:<9}", event.what)).tone(tone));
            let (kind, name) = (&event.resource_kind, printable(&event.resource_name));
            let message = match event.message.as_str() {
                "" => String::new(),
                message => format!(": {}", printable(message)),
            };
            let id = event.id;
            cx.output.line(&format!(
                "{id:>6}  {}  {what}  {kind} {name}{message}",
                event.time
            ))
        }
    }
}
