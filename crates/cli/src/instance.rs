//! `rhyzome instance …`

mod console;
mod guest;
mod logs;
mod show;
mod terminal;
mod verbs;

pub use show::why;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::Name;

use crate::args::WaitArgs;
use crate::complete;
use crate::failure::Failure;
use crate::output::{Mode, time};
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an instance and start it.
    #[command(after_help = "\
Example:
  rhyzome instance create web --image hello --network lab
  rhyzome instance create db --image hello --network lab --memory 64MiB --cpus 2 --stopped
  rhyzome instance create vm --image debian --network lab --memory 1GiB --disk 20GiB \\
    --user-data web.yaml --ssh-key laptop")]
    Create(verbs::Create),
    /// List the instances.
    #[command(after_help = "Example:\n  rhyzome instance list")]
    List,
    /// Show an instance: where it is, its addresses, how it is.
    #[command(after_help = "Example:\n  rhyzome instance show web")]
    Show(Named),
    /// Change an instance; it says so where that needs a restart.
    #[command(after_help = "\
Example:
  rhyzome instance update web --memory 256MiB
  rhyzome instance update web --restart never
  rhyzome instance update vm --disk 40GiB
  rhyzome instance update web --ssh-key laptop --ssh-key desktop")]
    Update(verbs::Update),
    /// Start an instance.
    #[command(after_help = "Example:\n  rhyzome instance start web")]
    Start(Acted),
    /// Stop an instance: ask it first, then force it after its stop timeout.
    #[command(
        after_help = "Example:\n  rhyzome instance stop web\n  rhyzome instance stop web --force"
    )]
    Stop(Stop),
    /// Restart an instance: ask it first, then force it after its stop timeout.
    #[command(after_help = "Example:\n  rhyzome instance reboot web")]
    Reboot(Acted),
    /// Delete an instance.
    #[command(after_help = "Example:\n  rhyzome instance delete web")]
    Delete(Acted),
    /// Attach to an instance's serial console; Ctrl-] detaches.
    #[command(after_help = "\
Example:
  rhyzome instance console web
  rhyzome instance console web --read-only
  rhyzome instance console web --take

Any number of people read a console, one at a time writes to it. Where the standard input or output is
no terminal, what was written so far is printed, as `rhyzome instance logs` does.")]
    Console(console::Console),
    /// Show what an instance wrote to its serial console.
    #[command(after_help = "\
Example:
  rhyzome instance logs web --lines 20
  rhyzome instance logs web --follow")]
    Logs(logs::Logs),
    /// Say why an instance is where it is and as it is.
    #[command(after_help = "Example:\n  rhyzome instance why web")]
    Why(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::instances))]
    name: Name,
}

#[derive(Debug, Args)]
pub struct Acted {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::instances))]
    name: Name,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    acted: Acted,
    /// Do not ask the guest: switch it off.
    #[arg(long)]
    force: bool,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(cx).await,
            Self::List => {
                let instances = cx.session()?.scope.instance().all().await?;
                cx.output.list(
                    &instances,
                    "there are no instances; `rhyzome instance create` makes one",
                )
            }
            Self::Show(Named { name }) => cx
                .output
                .thing(&cx.session()?.scope.instance().get(&name).await?),
            Self::Update(update) => update.run(cx).await,
            Self::Start(Acted { name, wait }) => {
                verbs::act(cx, &name, verbs::Verb::Start, wait).await
            }
            Self::Stop(Stop {
                acted: Acted { name, wait },
                force,
            }) => verbs::act(cx, &name, verbs::Verb::Stop { force }, wait).await,
            Self::Reboot(Acted { name, wait }) => {
                verbs::act(cx, &name, verbs::Verb::Reboot, wait).await
            }
            Self::Delete(Acted { name, wait }) => verbs::delete(cx, &name, wait).await,
            Self::Console(console) => console.run(cx).await,
            Self::Logs(logs) => logs.run(cx).await,
            Self::Why(Named { name }) => {
                let why = cx.session()?.scope.instance().why(&name).await?;
                match cx.output.mode {
                    Mode::Json => cx.output.json(&why),
                    Mode::Quiet => cx.output.line(&why.summary),
                    Mode::People => cx.output.print(&show::why(&why, &cx.output, time::now())),
                }
            }
        }
    }
}
