//! `rhyzome ssh` and `rhyzome ssh-config`: the system's own `ssh`, led through a tunnel in a process of
//! this program, to a host whose keys are known beforehand.
//!
//! * [`known`]: the host's keys, from what the instance's console printed at its first boot.
//! * [`identity`]: which of the project's keys are on this device.
//! * [`route`]: all of it as options of `ssh`.

mod identity;
mod known;
mod route;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, io};

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_model::Name;

use crate::args::duration;
use crate::complete;
use crate::failure::Failure;
use crate::session::Cx;
use crate::tunnel::Device;

use route::Route;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the SSH host keys of {0} are not known: its console has not printed any")]
    NoHostKeys(Name),
    #[error(
        "the SSH host keys of {name} are still not known after {seconds} s: its console has not printed any"
    )]
    Late { name: Name, seconds: u64 },
    #[error("`ssh` cannot be started")]
    Start(#[source] io::Error),
    #[error("this program does not know where it is itself")]
    Program(#[source] io::Error),
}

impl Error {
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::NoHostKeys(name) => Some(format!(
                "cloud-init prints them at the end of the first boot: `rhyzome instance logs {name}` shows \
                 how far it is, and `--wait 5m` waits. `--accept-new` takes those that it shows now, and keeps \
                 to them"
            )),
            Self::Late { name, .. } => Some(format!(
                "`rhyzome instance logs {name}` shows how far it is; `--accept-new` takes those that it \
                 shows now, and keeps to them"
            )),
            Self::Start(error) if error.kind() == io::ErrorKind::NotFound => {
                Some("install OpenSSH's client: `apt-get install openssh-client`".to_owned())
            }
            Self::Start(_) | Self::Program(_) => None,
        }
    }
}

#[derive(Debug, Args)]
pub struct To {
    /// The instance.
    #[arg(value_name = "INSTANCE", add = ArgValueCandidates::new(complete::instances))]
    instance: Name,
    /// The user to log in as; by default the one that got the project's keys at the first boot.
    #[arg(long, short = 'l', value_name = "NAME")]
    user: Option<String>,
    /// The private key to show; by default those of this device whose public keys the project has.
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The port of the SSH server.
    #[arg(long, short, value_name = "PORT", default_value_t = 22)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// If the host's keys are not known, believe those that it shows the first time, and keep to them.
    #[arg(long)]
    accept_new: bool,
    /// If the host's keys are not known yet, wait for them, like 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    device: Device,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rhyzome ssh web
  rhyzome ssh web -- uname -a
  rhyzome ssh web --user admin --wait 5m -- cloud-init status --wait

The host's keys are those that the instance's console printed at its first boot. The exit code is that
of the command, or 255 where there is no connection.")]
pub struct Ssh {
    #[command(flatten)]
    to: To,
    /// What to run there; a shell if nothing is said.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rhyzome ssh-config web
  rhyzome ssh-config web >> ~/.ssh/config

After the second, `ssh web`, `scp file web:` and `rsync -a folder web:` go through the tunnel.")]
pub struct SshConfig {
    #[command(flatten)]
    to: To,
}

impl Ssh {
    /// Becomes `ssh`: its terminal, its signals and its exit code are the caller's own.
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let route = Route::find(cx, &self.to).await?;
        let mut ssh = Command::new("ssh");
        for (key, value) in route.options() {
            ssh.arg("-o").arg(format!("{key}={value}"));
        }
        ssh.arg("--").arg(&route.host).args(&self.command);
        Err(Error::Start(ssh.exec()).into())
    }
}

impl SshConfig {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let route = Route::find(cx, &self.to).await?;
        if cx.context_name()?.is_none() {
            cx.output.note(
                "the core is known by the environment alone (RHYZOME_URL): it has to be there for `ssh`, too",
            );
        }
        let mut text = format!("Host {} {}\n", self.to.instance, route.host);
        for (key, value) in route.options() {
            text.push_str(&format!("  {key} {value}\n"));
        }
        cx.output.print(&text)
    }
}

/// The path of this program, for `ssh` to start.
fn own_path() -> Result<PathBuf, Error> {
    env::current_exe().map_err(Error::Program)
}
