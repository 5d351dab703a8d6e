//! rpcd: the object `uci` with its sessions, and applying with a way back.
//!
//! ```text
//!   session create, grant ─► set, add, delete … in the session's own delta ─► apply ─► confirm
//!                                                                               └─ no confirm in time ─► rollback
//! ```
//!
//! As measured: without a session, all share the delta of the command line, and `apply`, `confirm` and `rollback` are
//! refused. A second `apply` without rollback while one waits for its confirmation ends well and destroys the copy. An
//! end of rpcd forgets that there was anything to roll back.

mod apply;
mod edit;
mod session;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::has;
use super::ubus::{Reply, Status, call, serve};
use apply::Pending;
use rhyzome_test_router::Fault;
use session::Sessions;

#[derive(Default)]
pub struct State {
    sessions: Sessions,
    pending: Option<Pending>,
}

/// One call at a time, as a process with one thread has it.
type Shared = Arc<Mutex<State>>;

pub fn run() -> ExitCode {
    apply::forget();
    let state = Shared::default();
    let shared = Arc::clone(&state);
    serve(
        "rpcd",
        move |object, method, arguments| {
            let mut locked = shared.lock().expect("nobody panics with it");
            answer(&mut locked, &shared, object, method, arguments)
        },
        || match has(Fault::NoRpcd) {
            true => Vec::new(),
            false => vec!["session".to_owned(), "uci".to_owned()],
        },
    );
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn answer(
    state: &mut State,
    shared: &Shared,
    object: &str,
    method: &str,
    arguments: &Value,
) -> Reply {
    if has(Fault::NoRpcd) {
        return Err(Status::NotFound);
    }
    match (object, method) {
        ("session", _) => state.sessions.answer(method, arguments),
        ("uci", "apply") => apply::apply(state, shared, arguments),
        ("uci", "confirm") => apply::confirm(state, arguments),
        ("uci", "rollback") => apply::rollback(state, arguments),
        ("uci", "configs") => Ok(json!({"configs": edit::packages()})),
        ("uci", "reload_config") => {
            super::shell::start("/sbin/reload_config");
            Ok(Value::Null)
        }
        ("uci", _) => {
            let package = arguments["config"].as_str().unwrap_or_default();
            let delta =
                state
                    .sessions
                    .delta(arguments, package, method == "get" || method == "changes")?;
            if method == "commit" && state.pending.is_some() {
                return Err(Status::PermissionDenied);
            }
            let done = edit::answer(method, arguments, &delta)?;
            if method == "commit" {
                changed(package);
            }
            Ok(done)
        }
        _ => Err(Status::MethodNotFound),
    }
}

/// Tells procd, which tells those who want to know.
fn changed(package: &str) {
    let event = json!({"type": "config.change", "data": {"package": package}});
    let _ = call("service", "event", &event);
}
