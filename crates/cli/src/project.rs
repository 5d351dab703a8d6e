//! `rhyzome project …`

pub mod people;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::resource::Project;
use rhyzome_model::{Name, Timestamp};

use crate::complete;
use crate::failure::Failure;
use crate::output::{Cell, Details, Row, Thing, time};
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a project.
    #[command(after_help = "Example:\n  rhyzome project create shop")]
    Create {
        #[arg(value_name = "NAME")]
        name: Name,
    },
    /// List the projects.
    #[command(after_help = "Example:\n  rhyzome project list")]
    List,
    /// Show a project.
    #[command(after_help = "Example:\n  rhyzome project show shop")]
    Show(Named),
    /// Delete a project that nothing is in.
    #[command(after_help = "Example:\n  rhyzome project delete shop")]
    Delete(Named),
    /// Invite somebody: make a link that lets one person in.
    #[command(after_help = "Example:\n  rhyzome project invite garden --role member --expires 2d")]
    Invite(people::Invite),
    /// Come into a project by an invitation.
    #[command(after_help = "\
Example:
  rhyzome project join 'https://core.example:8080/join#rzi_…' --name ada")]
    Join(people::Join),
    /// List the invitations that nobody has redeemed.
    #[command(after_help = "Example:\n  rhyzome project invitations garden")]
    Invitations(people::Of),
    /// Take an invitation back.
    #[command(after_help = "Example:\n  rhyzome project uninvite garden i-0123456789")]
    Uninvite(people::Uninvite),
    /// List the members of a project.
    #[command(after_help = "Example:\n  rhyzome project members garden")]
    Members(people::Of),
    /// Give a member another role.
    #[command(after_help = "Example:\n  rhyzome project role garden ada viewer")]
    Role(people::SetRole),
    /// Take somebody out of a project: their tokens and peers in it are gone at once.
    #[command(after_help = "Example:\n  rhyzome project remove garden ada")]
    Remove(people::Remove),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::projects))]
    name: Name,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        // It may be what makes the first context.
        if let Self::Join(join) = self {
            return join.run(cx).await;
        }
        let session = cx.session()?;
        let projects = session.client.project();
        match self {
            Self::Join(join) => join.run(cx).await,
            Self::Invite(invite) => invite.run(cx).await,
            Self::Invitations(of) => people::invitations(cx, of).await,
            Self::Uninvite(uninvite) => uninvite.run(cx).await,
            Self::Members(of) => people::members(cx, of).await,
            Self::Role(role) => role.run(cx).await,
            Self::Remove(remove) => remove.run(cx).await,
            Self::Create { name } => {
                let project = projects.create_named(&name).await?;
                cx.output
                    .done(&project, &format!("project {name} is created"))
            }
            Self::List => cx
                .output
                .list(&projects.all().await?, "there are no projects"),
            Self::Show(Named { name }) => cx.output.thing(&projects.get(&name).await?),
            Self::Delete(Named { name }) => {
                projects.delete(&name, None, None).await?;
                cx.output.gone(
                    &None::<Project>,
                    name.as_str(),
                    &format!("project {name} is deleted"),
                )
            }
        }
    }
}

impl Row for Project {
    const HEADER: &'static [&'static str] = &["NAME", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

impl Thing for Project {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        Details::of(&self.meta, now)
    }
}
