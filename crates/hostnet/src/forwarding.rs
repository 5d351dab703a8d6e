//! The host-wide switch for IPv4 forwarding: on while somebody needs it, then as it was before.
//!
//! Who needs it and what it was before is written on the loopback link as an alternative name, one for
//! each holder: it lives as long as the switch itself, until the host or its namespace ends, and no
//! file can disagree with it.
//!
//! The switch makes a router of the whole host. Where it was off before, a holder has to drop what is
//! not its own, with rules that are there before it holds and until it lets go; [`before`] says so. What
//! somebody switched on for a single link counts as off. Who wants to forward something else while it is
//! held from off has to let all holders go (`down`), switch it on, and start them again: it was on then.

use crate::link::{Link, LinkError, Links};
use crate::lock::{self, LockError};
use crate::mark::Mark;
use crate::sysctl::{self, SysctlError};

const SWITCH: &str = "net/ipv4/ip_forward";
const PREFIX: &str = "rzf-";
const LOCK: &str = "forwarding";

#[derive(Debug, thiserror::Error)]
pub enum ForwardingError {
    #[error("cannot note who needs forwarding")]
    Link(#[source] LinkError),
    #[error("cannot switch forwarding")]
    Sysctl(#[source] SysctlError),
    #[error("cannot have the switch for itself")]
    Lock(#[source] LockError),
    #[error("this kernel has no IPv4 forwarding")]
    Missing,
}

/// What the switch was before anybody held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing was forwarded.
    Off,
    /// Somebody else forwards, and it is none of the holders' business.
    On,
}

fn altname(mark: Mark, before: &str) -> String {
    format!("{PREFIX}{mark}-was{before}")
}

/// What is noted of the switch as it was before the first of the holders.
fn noted(loopback: &Link) -> Option<&str> {
    loopback.altnames.iter().find_map(|name| {
        name.strip_prefix(PREFIX)?
            .split_once("-was")
            .map(|(_, was)| was)
    })
}

async fn loopback(links: &Links) -> Result<Link, ForwardingError> {
    links
        .find("lo")
        .await
        .map_err(ForwardingError::Link)?
        .ok_or(ForwardingError::Missing)
}

/// What it was before the first of the holders; where there is none, what it is.
pub async fn before() -> Result<Before, ForwardingError> {
    let _lock = lock::take(LOCK).await.map_err(ForwardingError::Lock)?;
    let links = Links::open().map_err(ForwardingError::Link)?;
    let loopback = loopback(&links).await?;
    let now = read()?;
    Ok(match noted(&loopback).unwrap_or(&now) {
        "0" => Before::Off,
        _ => Before::On,
    })
}

fn read() -> Result<String, ForwardingError> {
    sysctl::read(SWITCH)
        .map_err(ForwardingError::Sysctl)?
        .ok_or(ForwardingError::Missing)
}

/// Switches it on for a holder.
pub async fn hold(mark: Mark) -> Result<(), ForwardingError> {
    let _lock = lock::take(LOCK).await.map_err(ForwardingError::Lock)?;
    let links = Links::open().map_err(ForwardingError::Link)?;
    let loopback = loopback(&links).await?;
    let now = read()?;
    let was = noted(&loopback).unwrap_or(&now);
    links
        .add_altname(loopback.index, &altname(mark, was))
        .await
        .map_err(ForwardingError::Link)?;
    sysctl::ensure(SWITCH, "1").map_err(ForwardingError::Sysctl)?;
    Ok(())
}

/// Lets go of it; the last holder puts it back. Fine where it is not held.
pub async fn release(mark: Mark) -> Result<(), ForwardingError> {
    let _lock = lock::take(LOCK).await.map_err(ForwardingError::Lock)?;
    let links = Links::open().map_err(ForwardingError::Link)?;
    let loopback = loopback(&links).await?;
    let own = format!("{PREFIX}{mark}-");
    let (mine, others): (Vec<&String>, Vec<&String>) = loopback
        .altnames
        .iter()
        .filter(|name| name.starts_with(PREFIX))
        .partition(|name| name.starts_with(&own));
    if !mine.is_empty() && others.is_empty() {
        let was = noted(&loopback).unwrap_or("1");
        sysctl::ensure(SWITCH, was).map_err(ForwardingError::Sysctl)?;
    }
    for name in mine {
        links
            .delete_altname(loopback.index, name)
            .await
            .map_err(ForwardingError::Link)?;
    }
    Ok(())
}

/// Whether it is on, and held.
pub async fn is_held(mark: Mark) -> Result<bool, ForwardingError> {
    let links = Links::open().map_err(ForwardingError::Link)?;
    let own = format!("{PREFIX}{mark}-");
    let held = loopback(&links)
        .await?
        .altnames
        .iter()
        .any(|name| name.starts_with(&own));
    Ok(held
        && sysctl::read(SWITCH)
            .map_err(ForwardingError::Sysctl)?
            .as_deref()
            == Some("1"))
}
