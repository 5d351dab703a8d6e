//! The man pages: one for each command, out of what `--help` says.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rhyzome man /usr/local/share/man/man1")]
pub struct Man {
    /// The folder, which has to be there.
    folder: PathBuf,
}

impl Man {
    pub fn run(self) -> Result<(), Failure> {
        clap_mangen::generate_to(crate::args::Args::command(), &self.folder)
            .map_err(|source| Failure::Output { source })
    }
}
