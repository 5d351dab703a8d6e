//! What netifd says of interfaces and bridges.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::system::System;
use crate::ubus::{self, UbusError};

/// An interface as netifd sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub up: bool,
    pub pending: bool,
    /// As in `NO_DEVICE`.
    pub errors: Vec<String>,
}

/// The VLANs of a bridge, and the ports of each, as in `eth0:t`. netifd's own text for that (`bridge_dump_port` in
/// bridge.c) gives its flags where a name is expected, so that there is `eth0` alone.
pub(crate) type BridgeVlans = BTreeMap<u16, BTreeSet<String>>;

pub(super) async fn dump(system: &System) -> Result<BTreeMap<String, Interface>, UbusError> {
    let answer = ubus::call(system, "network.interface", "dump", &json!({})).await?;
    Ok(interfaces(&answer))
}

fn interfaces(answer: &Value) -> BTreeMap<String, Interface> {
    let all = answer["interface"].as_array().into_iter().flatten();
    all.filter_map(|one| {
        let errors = one["errors"].as_array().into_iter().flatten();
        let is = |key: &str| one[key] == json!(true);
        let interface = Interface {
            up: is("up"),
            pending: is("pending"),
            errors: errors
                .filter_map(|error| error["code"].as_str().map(str::to_owned))
                .collect(),
        };
        Some((one["interface"].as_str()?.to_owned(), interface))
    })
    .collect()
}

pub(super) async fn bridge_vlans(system: &System, bridge: &str) -> Result<BridgeVlans, UbusError> {
    let name = json!({ "name": bridge });
    let answer = ubus::call(system, "network.device", "status", &name).await?;
    Ok(vlans(&answer))
}

fn vlans(answer: &Value) -> BridgeVlans {
    let all = answer["bridge-vlans"].as_array().into_iter().flatten();
    all.filter_map(|vlan| {
        let ports = vlan["ports"].as_array().into_iter().flatten();
        let ports = ports.filter_map(|port| port.as_str().map(str::to_owned));
        Some((u16::try_from(vlan["id"].as_u64()?).ok()?, ports.collect()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_as_netifd_says_them() {
        let answer = json!({ "interface": [
            { "interface": "lan", "up": true, "pending": false, "proto": "static" },
            { "interface": "rz_v1", "up": false, "pending": true,
              "errors": [{ "subsystem": "interface", "code": "NO_DEVICE" }] },
        ] });
        let read = interfaces(&answer);
        assert!(read["lan"].up && read["lan"].errors.is_empty());
        assert!(!read["rz_v1"].up && read["rz_v1"].pending);
        assert_eq!(read["rz_v1"].errors, ["NO_DEVICE"]);
        assert!(interfaces(&Value::Null).is_empty());
    }

    #[test]
    fn vlans_of_a_bridge_are_read_as_netifd_says_them() {
        let answer = json!({ "bridge-members": ["eth2"], "bridge-vlans": [
            { "id": 100, "local": true, "ports": ["eth2"] },
        ] });
        let ports = BTreeSet::from(["eth2".to_owned()]);
        assert_eq!(vlans(&answer), BTreeMap::from([(100, ports)]));
    }
}
