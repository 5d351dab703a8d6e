//! The command line of `rhyzome-api`.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use rhyzome_settings::usage::{self, Shell};
use rhyzome_settings::{Errors, Loaded, Loader};

use crate::configuration::Configuration;
use crate::openapi;

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
    /// Prints which role may do what.
    #[command(hide = true)]
    Roles,
    /// Prints the man page.
    #[command(hide = true)]
    Man,
    /// Prints what makes a shell complete commands.
    #[command(hide = true)]
    Completion { shell: Shell },
    /// Write the whole site into one file, while the core runs.
    ///
    /// Database, authority and administrator's token, as they are at one moment; it can be looked into
    /// with tar. Who has the file has the site: keep it like a private key.
    #[command(after_help = "Example:\n  rhyzome-api backup --with-images /backup/site.tar")]
    Backup {
        /// The file to write.
        file: PathBuf,
        /// With the bytes of images too.
        #[arg(long)]
        with_images: bool,
        /// Replace the file if it is there.
        #[arg(long)]
        overwrite: bool,
    },
    /// Bring a site back from a backup; no core may run here.
    ///
    /// Components connect again with their certificates. What is on their hosts and not in the backup is
    /// left alone until `rhyzome site confirm`.
    #[command(
        after_help = "Example:\n  rhyzome-api --config /etc/rhyzome/api.toml restore /backup/site.tar"
    )]
    Restore {
        /// The file to read.
        file: PathBuf,
        /// Replace the site that is here.
        #[arg(long)]
        overwrite: bool,
    },
    /// What concerns the database.
    #[command(subcommand)]
    Db(Db),
}

#[derive(Debug, Subcommand)]
pub enum Db {
    /// Copy the site's state into another database, which has to be empty; no core may run.
    ///
    /// Jobs in flight go along. What arrived is compared before it counts, and the database that it came
    /// from stays as it is. Then set `db` to the new one and start the core.
    #[command(
        after_help = "Example:\n  rhyzome-api db move --to postgres://rhyzome@db.example/rhyzome \\\n    --to-password-file /etc/rhyzome/db.password"
    )]
    Move {
        /// Where to, as sqlite://PATH or postgres://USER@HOST/NAME.
        #[arg(long, value_name = "URL")]
        to: String,
        /// The file with the password for it; PGPASSWORD in the environment does too.
        #[arg(long, value_name = "FILE")]
        to_password_file: Option<PathBuf>,
    },
}

impl Action {
    /// What is only printed, out of the program itself: definition, man page (of section 8) or completion.
    pub fn printed(&self) -> Option<String> {
        Some(match self {
            Self::Openapi => openapi::text(),
            Self::Roles => rhyzome_app::policy::markdown(),
            Self::Man => usage::page(Command::command()).expect("memory takes all"),
            Self::Completion { shell } => usage::completion(Command::command(), *shell),
            Self::Backup { .. } | Self::Restore { .. } | Self::Db(_) => return None,
        })
    }
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
