//! The command line.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{FromArgMatches as _, Parser, Subcommand};
use rhyzome_model::Name;
use rhyzome_settings::usage::Shell;

/// Where a token is read from if it is not an argument.
const TOKEN_VARIABLE: &str = "RHYZOME_JOIN_TOKEN";

#[derive(Debug, Parser)]
pub(super) struct Arguments<C: Subcommand> {
    /// The configuration, TOML or JSON by its ending; by default /etc/rhyzome/KIND.toml if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one key of the configuration; may be given several times.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Says all that is wrong with the configuration, and ends.
    #[arg(long, global = true)]
    pub check_config: bool,
    /// Logs one JSON object a line.
    #[arg(long, global = true)]
    pub log_json: bool,
    #[command(subcommand)]
    pub command: Option<Command<C>>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command<C: Subcommand> {
    /// Serves the core until SIGTERM or SIGINT. What is on the host goes on without it.
    Run,
    /// Becomes a component of a core.
    Join {
        /// Where the core listens for components: https://HOST:PORT.
        core: String,
        /// The one-time token, or - to read it from standard input; by default RHYZOME_JOIN_TOKEN.
        token: Option<String>,
        /// The name to ask for; by default the core makes one from the host's.
        #[arg(long)]
        name: Option<Name>,
        /// Runs it from now on, with systemd: by the package's unit, or by the same one where there is no
        /// package, with man page and completions.
        #[arg(long)]
        install: bool,
    },
    /// Stops all that is ours on this host; the next run brings it up again.
    Down {
        /// Removes it, with all data and the identity.
        #[arg(long)]
        purge: bool,
    },
    /// Prints the man page.
    #[command(hide = true)]
    Man,
    /// Prints what makes a shell complete commands.
    #[command(hide = true)]
    Completion { shell: Shell },
    #[command(flatten)]
    Own(C),
}

/// For a program without commands of its own.
#[derive(Debug, Subcommand)]
pub enum NoCommand {}

impl<C: Subcommand> Arguments<C> {
    /// Those of the process; says what is wrong with them, or helps, and exits.
    pub fn of_process(command: clap::Command) -> Self {
        match Self::from_arg_matches(&command.get_matches()) {
            Ok(arguments) => arguments,
            Err(error) => error.exit(),
        }
    }
}

/// A token as an argument, from standard input (`-`), or from the environment, where no list of
/// processes shows it.
///
/// # Errors
/// Where there is none.
pub fn parse_token(argument: Option<String>) -> anyhow::Result<String> {
    match argument.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("the token could not be read from standard input")?;
            Ok(text.trim().to_owned())
        }
        Some(token) => Ok(token.to_owned()),
        None => std::env::var(TOKEN_VARIABLE).with_context(|| {
            format!("a join token is needed, as an argument or in {TOKEN_VARIABLE}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[derive(Debug, Subcommand)]
    enum Own {
        #[command(hide = true)]
        Endpoint { device: String },
    }

    #[test]
    fn options_stand_before_or_behind_a_command_and_programs_add_commands() {
        Arguments::<NoCommand>::command().debug_assert();
        Arguments::<Own>::command().debug_assert();
        let line = "x --set a=1 join https://core:1 rzj_x --name host-1 --install --config c.toml";
        let arguments = Arguments::<NoCommand>::try_parse_from(line.split(' ')).expect(line);
        assert_eq!(arguments.set, ["a=1"]);
        assert_eq!(arguments.config, Some(PathBuf::from("c.toml")));
        let Some(Command::Join {
            core,
            token,
            name,
            install: true,
        }) = arguments.command
        else {
            panic!("{:?}", arguments.command)
        };
        let name = name.expect("a name");
        assert_eq!(
            (core.as_str(), token.as_deref()),
            ("https://core:1", Some("rzj_x"))
        );
        assert_eq!(name.as_str(), "host-1");
        let own = Arguments::<Own>::try_parse_from(["x", "endpoint", "wg0"]).expect("a command");
        let Some(Command::Own(Own::Endpoint { device })) = own.command else {
            panic!("{:?}", own.command)
        };
        assert_eq!(device, "wg0");
        assert!(Arguments::<NoCommand>::try_parse_from(["x", "endpoint"]).is_err());
    }
}
