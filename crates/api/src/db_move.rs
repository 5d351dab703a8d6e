//! A site's state from one database into another: all of it, or nothing.

use std::path::Path;

use rhyzome_pki::file::{self, FileError};
use rhyzome_store::Store;
use rhyzome_store::copy::{self, Copied};
use rhyzome_store::url::{with_password, without_password};

use crate::configuration::Configuration;
use crate::start;

/// By what the target is filled.
const COMMAND: &str = "rhyzome-api db move";

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{from} is where the state is already")]
    Same { from: String },
    #[error("{url:?} is no database's URL: sqlite://PATH or postgres://USER@HOST/NAME")]
    Url { url: String },
    #[error("cannot read a database's password")]
    Password(#[from] FileError),
    #[error(transparent)]
    Folder(#[from] start::StartError),
    #[error("the state stays where it is")]
    Store(#[from] rhyzome_store::Error),
}

/// What was moved, from where to where.
#[derive(Debug)]
pub struct Moved {
    pub from: String,
    pub to: String,
    pub tables: Vec<Copied>,
}

/// Copies everything into an empty database while no core runs; the source stays as it is. A target that
/// holds just the same is fine.
///
/// # Errors
/// [`MoveError`]; the target holds nothing then.
pub async fn run(
    settings: &Configuration,
    to: &str,
    password: Option<&Path>,
) -> Result<Moved, MoveError> {
    let scheme = to.split("://").next().filter(|scheme| *scheme != to);
    if !scheme.is_some_and(|scheme| ["sqlite", "postgres", "postgresql"].contains(&scheme)) {
        return Err(MoveError::Url {
            url: without_password(to),
        });
    }
    let from = settings.db_url()?;
    if without_password(&from) == without_password(to) {
        return Err(MoveError::Same {
            from: without_password(&from),
        });
    }
    let to = match password {
        Some(path) => {
            let bytes = file::read(path)?;
            let text = String::from_utf8_lossy(&bytes);
            with_password(to, text.trim_end_matches(['\r', '\n']))
        }
        None => to.to_owned(),
    };
    // A core holds the one or the other as long as it runs.
    let _lock = start::take_folder(&settings.state_dir)?;
    let source = Store::open_as_it_is(&from).await?;
    let _place = source.take_place(start::COMMANDS_PLACE_WITHIN).await?;
    let target = Store::open_to_fill(&to).await?;
    let _other = target.take_place(start::COMMANDS_PLACE_WITHIN).await?;
    let tables = copy::all(&source, &target, COMMAND).await?;
    let moved = Moved {
        from: source.place(),
        to: target.place(),
        tables,
    };
    source.close().await;
    target.close().await;
    Ok(moved)
}
