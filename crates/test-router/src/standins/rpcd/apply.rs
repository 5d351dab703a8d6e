//! Applying what a session has changed, with a way back.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::ubus::{Reply, Status};
use super::session::folder;
use super::{Shared, State, changed, edit};

/// Where the files are as they were.
const COPY: &str = "/tmp/rpcd-rollback";

/// What waits to be confirmed.
pub struct Pending {
    session: String,
    packages: Vec<String>,
    until: Instant,
}

/// A new process knows nothing of what waited.
pub fn forget() {
    let _ = fs::remove_dir_all(COPY);
}

pub fn apply(state: &mut State, shared: &Shared, arguments: &Value) -> Reply {
    let session = state.sessions.require(arguments)?;
    let rollback = arguments["rollback"].as_bool().unwrap_or(false);
    let timeout = arguments["timeout"].as_u64().unwrap_or(30);
    if rollback && state.pending.is_some() {
        return Err(Status::PermissionDenied);
    }
    let packages = changed_by(&session);
    if packages.is_empty() {
        return Err(Status::NoData);
    }
    if !packages
        .iter()
        .all(|package| state.sessions.may(&session, package))
    {
        return Err(Status::PermissionDenied);
    }
    // Whoever waits to be confirmed has nothing to go back to any more.
    forget();
    state.pending = None;
    if rollback {
        fs::create_dir_all(COPY).map_err(|_| Status::Unknown)?;
        for package in edit::packages() {
            let _ = fs::copy(
                format!("/etc/config/{package}"),
                format!("{COPY}/{package}"),
            );
        }
        let until = Instant::now() + Duration::from_secs(timeout);
        state.pending = Some(Pending {
            session: session.clone(),
            packages: packages.clone(),
            until,
        });
        wait(shared, until);
    }
    let delta = folder(&session);
    for package in packages {
        edit::answer("commit", &json!({"config": package}), &delta)?;
        changed(&package);
    }
    Ok(Value::Null)
}

/// The packages with something that is not committed.
fn changed_by(session: &str) -> Vec<String> {
    let folder = folder(session);
    let mut packages = edit::packages();
    packages.retain(|package| {
        let path = Path::new(&folder).join(package);
        fs::metadata(path).is_ok_and(|file| file.len() > 0)
    });
    packages
}

fn wait(shared: &Shared, until: Instant) {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        let mut state = shared.lock().expect("nobody panics with it");
        if state
            .pending
            .as_ref()
            .is_some_and(|pending| pending.until == until)
        {
            restore(&mut state);
        }
    });
}

pub fn confirm(state: &mut State, arguments: &Value) -> Reply {
    own(state, arguments)?;
    state.pending = None;
    forget();
    Ok(Value::Null)
}

pub fn rollback(state: &mut State, arguments: &Value) -> Reply {
    own(state, arguments)?;
    restore(state);
    Ok(Value::Null)
}

/// # Errors
/// Nothing waits, or what waits is somebody else's.
fn own(state: &State, arguments: &Value) -> Result<(), Status> {
    let session = state.sessions.require(arguments)?;
    match &state.pending {
        None => Err(Status::NoData),
        Some(pending) if pending.session != session => Err(Status::PermissionDenied),
        Some(_) => Ok(()),
    }
}

/// Puts the files back, and has them reloaded.
fn restore(state: &mut State) {
    let Some(pending) = state.pending.take() else {
        return;
    };
    for package in pending.packages {
        let _ = fs::copy(
            format!("{COPY}/{package}"),
            format!("/etc/config/{package}"),
        );
        changed(&package);
    }
    forget();
}
