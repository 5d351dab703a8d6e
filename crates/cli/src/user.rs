//! `rhyzome user …`

use clap::{Args, Subcommand};
use rhyzome_model::user::{User, UserSpec};
use rhyzome_model::{Name, Timestamp};

use crate::args::WaitArgs;
use crate::failure::Failure;
use crate::output::{Cell, Details, Row, Thing, time};
use crate::project::people::told;
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the people of the site.
    #[command(after_help = "Example:\n  rhyzome user list")]
    List,
    /// Show a person: what they are in projects, and what they lost.
    #[command(after_help = "Example:\n  rhyzome user show ada")]
    Show(Named),
    /// Keep somebody out: their logins, tokens and peers are gone at once.
    #[command(after_help = "Example:\n  rhyzome user disable ada")]
    Disable {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Let somebody in again who was kept out.
    #[command(after_help = "Example:\n  rhyzome user enable ada")]
    Enable(Named),
    /// Remove somebody from the site, with all that they have on it.
    #[command(after_help = "Example:\n  rhyzome user delete ada")]
    Delete(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME")]
    name: Name,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let users = session.client.user();
        match self {
            Self::List => cx
                .output
                .list(&users.all().await?, "nobody has logged in yet"),
            Self::Show(Named { name }) => cx.output.thing(&users.get(&name).await?),
            Self::Disable {
                named: Named { name },
                wait,
            } => {
                let wait = (!wait.no_wait).then_some(wait.timeout);
                let user = users
                    .update(&name, UserSpec { disabled: true }, None, wait)
                    .await?;
                let mut sentence = format!("{name} is kept out");
                for lost in &user.revocations {
                    sentence.push_str(&format!("\n {}:{}", lost.project, told(lost)));
                }
                cx.output.outcome(&user, &sentence)
            }
            Self::Enable(Named { name }) => {
                let user = users
                    .update(&name, UserSpec { disabled: false }, None, None)
                    .await?;
                cx.output
                    .outcome(&user, &format!("{name} may log in again"))
            }
            Self::Delete(Named { name }) => {
                users.delete(&name, None, None).await?;
                cx.output.gone(
                    &None::<User>,
                    name.as_str(),
                    &format!("{name} is not known any more"),
                )
            }
        }
    }
}

impl Row for User {
    const HEADER: &'static [&'static str] = &["NAME", "CALLED", "STATE", "PROJECTS", "LAST LOGIN"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::new(&self.display_name),
            Cell::new(if self.spec.disabled {
                "disabled"
            } else {
                "enabled"
            }),
            Cell::new(self.projects.len()),
            Cell::new(
                self.last_login_at
                    .map_or_else(|| "never".to_owned(), |at| time::ago(at, now)),
            ),
        ]
    }
}

impl Thing for User {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let mut details = Details::of(&self.meta, now)
            .text("called", &self.display_name)
            .text(
                "state",
                if self.spec.disabled {
                    "disabled"
                } else {
                    "enabled"
                },
            )
            .maybe("issuer", self.issuer.as_ref())
            .maybe("on the site", self.site_role)
            .maybe(
                "last login",
                self.last_login_at.map(|at| time::ago(at, now)),
            );
        for one in &self.projects {
            details = details.text("project", format!("{} ({})", one.project, one.role));
        }
        for lost in &self.revocations {
            details = details.text(
                "lost",
                format!(
                    "in {} ({}){}",
                    lost.project,
                    lost.cause.as_str(),
                    told(lost)
                ),
            );
        }
        details
    }
}
