//! The command line of `rhyzome-api`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use rhyzome_settings::{Errors, Loaded, Loader};

use crate::configuration::Configuration;

/// The file that is read where none is named.
const USUAL_FILE: &str = "/etc/rhyzome/api.toml";

/// The core of Rhyzome: the HTTP API, and what components connect to.
#[derive(Debug, Parser)]
#[command(name = "rhyzome-api", version, about)]
pub struct Command {
    /// The configuration, TOML or JSON by its ending; by default /etc/rhyzome/api.toml, if there is one.
    #[arg(long, value_name = "FILE", env = "RHYZOME_API_CONFIG")]
    pub config: Option<PathBuf>,

    /// Sets one key, over file and environment.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Says all that is wrong with the configuration, and ends.
    #[arg(long)]
    pub check_config: bool,

    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Prints the API's definition.
    #[command(hide = true)]
    Openapi,
}

impl Command {
    /// Reads the configuration from all its sources.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn configuration(&self) -> Result<Loaded<Configuration>, Errors> {
        let loader = Loader::new("RHYZOME_API")
            .env(std::env::vars_os())
            .ignore_env(["RHYZOME_API_CONFIG"])
            .set(self.set.iter().cloned());
        let loader = match &self.config {
            Some(file) => loader.file(file),
            None => loader.file_if_present(USUAL_FILE),
        };
        loader.load()
    }
}
