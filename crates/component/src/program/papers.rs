//! What the program's package brings besides the program.

use std::io::Write;

use anyhow::Context as _;
use clap::CommandFactory as _;
use rhyzome_settings::usage::{self, Shell};

use super::Program;
use super::arguments::Arguments;
use super::install::Package;

/// The command line.
pub(super) fn command<P: Program>() -> clap::Command {
    Arguments::<P::Command>::command()
        .name(P::NAME)
        .version(P::VERSION)
        .about(P::ABOUT)
}

/// The man page, of section 8.
pub(super) fn page<P: Program>() -> anyhow::Result<String> {
    usage::page(command::<P>()).context("the man page could not be made")
}

pub(super) fn completion<P: Program>(shell: Shell) -> String {
    usage::completion(command::<P>(), shell)
}

pub(super) fn package<P: Program>() -> anyhow::Result<Package> {
    Ok(Package {
        program: P::NAME,
        unit: P::UNIT,
        sysusers: P::SYSUSERS,
        page: page::<P>()?,
        completions: [Shell::Bash, Shell::Zsh, Shell::Fish].map(completion::<P>),
    })
}

pub(super) fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("the output cannot be written")
}
