//! The command line: resource first, verb last; tables for people, JSON for programs.
//!
//! It links no libvirt and needs no root. It speaks with a core through `rhyzome-client`, and with
//! instances through a WireGuard tunnel inside this process.
//!
//! * [`args`] and [`command`]: what can be typed. A new command is a variant of [`command::Command`].
//! * [`context`]: which core, as whom, in which project. [`session`]: a client for that.
//! * one module a resource: its verbs, its table, its details.
//! * [`wait`] and [`progress`]: waiting for the core, with what it is doing meanwhile.
//! * [`tunnel`], [`forward`], [`http`], [`ssh`]: reaching instances.
//! * [`site`]: a whole site on this machine.
//! * [`output`], [`failure`]: what is printed, and the exit codes.

pub mod args;
mod audit;
pub mod command;
pub mod complete;
pub mod component;
pub mod context;
pub mod events;
pub mod failure;
pub mod forward;
pub mod http;
pub mod image;
pub mod instance;
pub mod job;
pub mod login;
pub mod man;
pub mod naming;
pub mod network;
pub mod openwrt;
pub mod output;
pub mod peer;
pub mod private;
pub mod progress;
pub mod project;
mod quota;
pub mod session;
pub mod site;
pub mod ssh;
pub mod ssh_key;
pub mod token;
pub mod tunnel;
pub mod user;
pub mod wait;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::failure::Failure;
use crate::session::Cx;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == tunnel::HOLDER)
    {
        // Who started it hears what matters over their socket.
        return match rhyzome_wireguard::tunnel::kernel::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("rhyzome: {error}");
                ExitCode::FAILURE
            }
        };
    }
    CompleteEnv::with_factory(Args::command).complete();
    let args = Args::parse();
    let output = output::Output::new(&args.global);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Runtime { source })
        .and_then(|runtime| {
            let outcome = runtime.block_on(run(args));
            // Nobody waits for what only reads: a terminal's input, a name being looked up.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure::report(&failure, output.stderr_colour());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// How long a command that was interrupted may take to say so, or to end in good order.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs a command. One that does not mind interruptions itself ends by them all the same.
async fn run(args: Args) -> Result<(), Failure> {
    let cx = Cx::new(args.global);
    if args.command.minds_interruptions() {
        return args.command.run(&cx).await;
    }
    // From here on an interruption is heard, however far the command is.
    let failed = |source| Failure::Runtime { source };
    let mut interruptions = signal(SignalKind::interrupt()).map_err(failed)?;
    let (say, heard) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        interruptions.recv().await;
        tokio::time::sleep(LAST_WORDS).await;
        // Who does not hear it has ended, or reads from a terminal and would never look.
        let _ended = say.send(());
        tokio::time::sleep(LAST_WORDS).await;
        std::process::exit(Failure::Stopped.exit_code().into());
    });
    tokio::select! {
        outcome = args.command.run(&cx) => outcome,
        _ = heard => Err(Failure::Stopped),
    }
}
