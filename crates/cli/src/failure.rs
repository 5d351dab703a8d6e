//! Why a command failed: one message, what to do about it, and an exit code.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use rhyzome_model::Name;

use crate::context;
use crate::output::table::printable;
use crate::site;
use crate::ssh;
use crate::tunnel;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{}", client_message(.0))]
    Client(#[from] rhyzome_client::Error),
    #[error("{0}")]
    Context(#[from] context::Error),
    #[error("{0}")]
    Login(#[from] crate::login::Error),
    #[error("{0}")]
    Tunnel(#[from] tunnel::Error),
    #[error("{0}")]
    Ssh(#[from] ssh::Error),
    #[error("{0}")]
    Site(#[from] site::Error),
    /// The command line is wrong in a way that only its meaning shows.
    #[error("{0}")]
    Usage(String),
    /// Bytes are not the ones that they shall be.
    #[error("{0}")]
    Bytes(String),
    #[error("{} cannot be prepared", .image.display())]
    Prepare {
        image: PathBuf,
        source: rhyzome_openwrt_image::Error,
    },
    #[error("the router's archive cannot be made")]
    Pack {
        source: rhyzome_openwrt_image::Error,
    },
    #[error("{kind} {name} failed: {reason}")]
    Failed {
        kind: &'static str,
        name: String,
        reason: String,
    },
    #[error("{kind} {name} is still {state} after {seconds} s: {reason}")]
    Late {
        kind: &'static str,
        name: String,
        state: String,
        seconds: u64,
        reason: String,
    },
    #[error("interrupted; the core goes on with {kind} {name}")]
    Interrupted { kind: &'static str, name: String },
    #[error("interrupted before the core answered")]
    InterruptedEarly { look: String },
    /// The user had enough of something that leaves nothing behind.
    #[error("interrupted")]
    Stopped,
    #[error("{what} is not on this device: there is no {}", .path.display())]
    NoKey { what: String, path: PathBuf },
    #[error("the peer {name} exists already, and its private key is on this device")]
    PeerHere { name: Name },
    #[error("the peer {name} exists already, and its private key is not on this device")]
    PeerElsewhere { name: Name },
    /// Somebody else writes to a console.
    #[error("{0}")]
    ConsoleTaken(String),
    #[error("{} is not a private key", .path.display())]
    BadKey {
        path: PathBuf,
        source: rhyzome_wireguard::key::KeyError,
    },
    #[error("network {network} of peer {peer}: its endpoint is not known yet")]
    NoEndpoint { peer: Name, network: Name },
    #[error("network {network} of peer {peer} has an endpoint that is none: {reason}")]
    BadEndpoint {
        peer: Name,
        network: Name,
        reason: String,
    },
    #[error("{} cannot be read", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} may be read by others (its mode is {mode:04o})", .path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{0} was answered with status {1}")]
    HttpStatus(String, u16),
    #[error("{what} failed: {reason}")]
    Http { what: String, reason: String },
    #[error("port {address} of this machine cannot be used")]
    Listen { address: String, source: io::Error },
    #[error("the output cannot be written")]
    Output { source: io::Error },
    #[error("the process cannot be set up")]
    Runtime { source: io::Error },
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Client(rhyzome_client::Error::Url { .. }) => 2,
            Self::NoKey { .. } => 3,
            Self::PeerHere { .. } | Self::PeerElsewhere { .. } | Self::ConsoleTaken(_) => 4,
            Self::Client(error) => match error.problem().map(|problem| problem.status) {
                Some(404) => 3,
                Some(400..500) => 4,
                Some(_) => 1,
                None if error.is_unreachable() => 5,
                None => 1,
            },
            Self::Site(error) => error.exit_code(),
            Self::Context(error) if error.is_unknown() => 3,
            Self::Context(_) => 5,
            Self::Late { .. } | Self::Ssh(ssh::Error::Late { .. }) => 6,
            Self::Interrupted { .. } | Self::InterruptedEarly { .. } | Self::Stopped => 130,
            Self::Output { source } if source.kind() == io::ErrorKind::BrokenPipe => 0,
            _ => 1,
        }
    }

    /// What to do about it, if something can be done.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Client(error) => client_advice(error),
            Self::Context(error) => error.advice(),
            Self::Login(error) => error.advice(),
            Self::Tunnel(error) => error.advice(),
            Self::Ssh(error) => error.advice(),
            Self::Site(error) => error.advice(),
            Self::Prepare { source, .. } | Self::Pack { source } => source.advice(),
            Self::Late { kind, name, .. } | Self::Interrupted { kind, name } => Some(look(kind, name)),
            Self::Failed { kind: kind @ "instance", name, .. } => {
                Some(format!("`rhyzome {kind} why {name}` and `rhyzome {kind} logs {name}` say more"))
            }
            Self::Failed { kind, name, .. } => Some(look(kind, name)),
            Self::InterruptedEarly { look } => Some(look.clone()),
            Self::NoKey { .. } => Some(
                "a private key never leaves the device it was made on: run this there, or make a peer \
                 for this device with `rhyzome peer create`"
                    .to_owned(),
            ),
            Self::ConsoleTaken(_) => {
                Some("`--take` takes over, `--read-only` only reads".to_owned())
            }
            Self::PeerHere { name } => Some(format!(
                "`rhyzome peer show {name}`, or `rhyzome peer update {name} --add-network NETWORK`"
            )),
            Self::PeerElsewhere { name } => Some(format!(
                "choose another name for this device, or `rhyzome peer delete {name}` first"
            )),
            Self::NoEndpoint { network, .. } => Some(format!(
                "its router has not reported yet; `rhyzome network show {network}` says how far it is"
            )),
            Self::Exposed { path, .. } => Some(format!("`chmod 600 {}`", path.display())),
            _ => None,
        }
    }
}

fn look(kind: &str, name: &str) -> String {
    match kind {
        "instance" => format!("look with `rhyzome instance why {name}` and `rhyzome job list`"),
        _ => format!("look with `rhyzome {kind} show {name}` and `rhyzome job list`"),
    }
}

/// A problem's message with the field as the flag that it was given by.
fn client_message(error: &rhyzome_client::Error) -> String {
    match error.problem() {
        Some(problem) => match problem.field.as_deref().map(flag) {
            Some(Some(flag)) if !problem.detail.is_empty() => format!("{flag}: {}", problem.detail),
            Some(None) if !problem.detail.is_empty() => problem.detail.clone(),
            _ => error.to_string(),
        },
        None => error.to_string(),
    }
}

/// A field of a request as people gave it; none for what they did not give by itself.
fn flag(field: &str) -> Option<String> {
    let field = field.split('[').next().unwrap_or(field);
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    Some(match field.strip_prefix("spec.").unwrap_or(field) {
        "name" => "NAME".to_owned(),
        "networks" => "--network".to_owned(),
        "labels" => "--label".to_owned(),
        "power" => "--stopped".to_owned(),
        "expires_in" => "--expires".to_owned(),
        "digest" | "public_key" => return None,
        known if known.bytes().all(plain) => format!("--{}", known.replace('_', "-")),
        _ => field.to_owned(),
    })
}

fn client_advice(error: &rhyzome_client::Error) -> Option<String> {
    if error.is_unreachable() {
        return Some(
            "is the core running, and is this the right context? `rhyzome context list` shows the \
             contexts; on one machine, `rhyzome up` starts a site"
                .to_owned(),
        );
    }
    let problem = error.problem()?;
    match problem.code.as_str() {
        "unauthenticated" => Some(
            "what was shown is missing, wrong or no longer good: `rhyzome login` logs in anew, `rhyzome context \
             add --replace` takes another token, and so does RHYZOME_TOKEN_FILE"
                .to_owned(),
        ),
        _ if problem.status >= 500 => problem
            .request_id
            .as_ref()
            .map(|id| format!("the core's log has more, under the request id {id}")),
        _ => None,
    }
}

/// Prints a failure as one message with its causes, and what to do about it. An output that nobody reads
/// any more and an interruption need no words.
pub fn report(failure: &Failure, colour: bool) {
    if failure.exit_code() == 0 || matches!(failure, Failure::Stopped) {
        return;
    }
    eprint!("{}", render(failure, colour));
}

fn render(failure: &Failure, colour: bool) -> String {
    let (red, off) = if colour {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    let mut message = failure.to_string();
    let mut source = match failure {
        Failure::Client(error) => error.source(),
        Failure::Context(error) => error.source(),
        Failure::Tunnel(error) => error.source(),
        Failure::Ssh(error) => error.source(),
        Failure::Site(error) => error.source(),
        other => other.source(),
    };
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.ends_with(&text) && !says_nothing(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    // What a guest wrote to its console may be in it, and gives this terminal no orders.
    let lines: Vec<String> = message.lines().map(printable).collect();
    let mut text = format!("{red}error{off}: {}\n", lines.join("\n  "));
    if let Some(advice) = failure.advice() {
        text.push_str(&format!("  {advice}\n"));
    }
    text
}

/// What the HTTP library's errors say of themselves before they come to the cause.
fn says_nothing(text: &str) -> bool {
    matches!(
        text,
        "error sending request" | "client error (Connect)" | "client error (SendRequest)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyzome_client::Problem;

    fn problem(status: u16, code: &str, field: Option<&str>, detail: &str) -> Failure {
        Failure::Client(rhyzome_client::Error::Problem(Box::new(Problem {
            kind: "about:blank".to_owned(),
            title: "…".to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.to_owned(),
            field: field.map(str::to_owned),
            request_id: Some("r1".to_owned()),
        })))
    }

    fn check(failure: Failure, code: u8, expect: &str) {
        assert_eq!(
            (failure.exit_code(), render(&failure, false).trim_end()),
            (code, expect)
        );
    }

    #[test]
    fn a_wrong_field_is_named_by_its_flag() {
        let invalid = |field| problem(422, "invalid", Some(field), "no");
        check(invalid("spec.memory"), 4, "error: --memory: no");
        check(invalid("spec.command_line"), 4, "error: --command-line: no");
        check(invalid("spec.networks[1]"), 4, "error: --network: no");
        check(invalid("name"), 4, "error: NAME: no");
        check(invalid("spec.digest"), 4, "error: no");
        check(invalid("spec.odd.one"), 4, "error: spec.odd.one: no");
    }

    #[test]
    fn a_guest_gives_no_orders_through_an_error() {
        let reason = "it crashed:\n\x1b[2Jpanic".to_owned();
        let failure = Failure::Failed {
            kind: "network",
            name: "lab".to_owned(),
            reason,
        };
        check(
            failure,
            1,
            "error: network lab failed: it crashed:\n  \u{fffd}[2Jpanic\n  look with `rhyzome network show \
             lab` and `rhyzome job list`",
        );
    }

    #[test]
    fn exit_codes_tell_failures_apart() {
        check(
            problem(404, "not_found", None, "there is no network lab"),
            3,
            "error: there is no network lab",
        );
        check(
            problem(500, "internal", None, "something went wrong"),
            1,
            "error: something went wrong\n  the core's log has more, under the request id r1",
        );
        let late = Failure::Late {
            kind: "network",
            name: "lab".to_owned(),
            state: "pending".to_owned(),
            seconds: 300,
            reason: "no router".to_owned(),
        };
        check(
            late,
            6,
            "error: network lab is still pending after 300 s: no router\n  look with `rhyzome network \
             show lab` and `rhyzome job list`",
        );
        check(
            Failure::Interrupted {
                kind: "instance",
                name: "web".to_owned(),
            },
            130,
            "error: interrupted; the core goes on with instance web\n  look with `rhyzome instance why \
             web` and `rhyzome job list`",
        );
    }
}
