//! What runs on the router, whatever its files say: asked of netifd, the kernel and fw4.

mod end;
mod interface;
mod link;
mod name;
mod rules;
mod tunnel;

use std::collections::BTreeMap;

use crate::system::{CommandError, Failed, System};
use crate::ubus::{self, UbusError};

pub(crate) use end::{ALL, End, Ends};
pub(crate) use interface::{BridgeVlans, Interface};
#[cfg(test)]
pub(crate) use link::Link;
pub(crate) use link::{Links, Route, Rule};
pub(crate) use name::ask;
pub(crate) use rules::{Rules, Skipped};
pub(crate) use tunnel::{Tunnel, Tunnels};

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("cannot look at the router's services")]
    Ubus(#[from] UbusError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("cannot look at what runs")]
    Failed(#[from] Failed),
}

/// All that is looked at, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running {
    /// By name.
    pub interfaces: BTreeMap<String, Interface>,
    pub links: Links,
    pub tunnels: Tunnels,
    /// Those of fw4's table.
    pub rules: Rules,
    /// Whether dnsmasq has a process.
    pub server: bool,
    /// Of VXLANs.
    pub ends: Ends,
    /// Of the trunk, where it is a bridge.
    pub bridge: BridgeVlans,
}

/// Looks at all of it.
pub(crate) async fn look(system: &System, bridge: Option<&str>) -> Result<Running, LookError> {
    Ok(Running {
        interfaces: interface::dump(system).await?,
        links: link::look(system).await?,
        tunnels: tunnel::look(system).await?,
        rules: rules::in_kernel(system).await?,
        ends: end::look(system).await?,
        server: ubus::is_running(system, "dnsmasq").await?,
        bridge: match bridge {
            Some(bridge) => interface::bridge_vlans(system, bridge).await?,
            None => BridgeVlans::default(),
        },
    })
}

/// The rules that fw4 makes of the router's files, and what it leaves out.
pub(crate) async fn meant_rules(system: &System) -> Result<(Rules, Vec<Skipped>), LookError> {
    rules::meant(system).await
}
