//! Sessions, and what each may do.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::super::has;
use super::super::ubus::{Reply, Status};
use rhyzome_test_router::Fault;

/// Where the command line has what is not committed.
const SHARED: &str = "/tmp/.uci";

#[derive(Default)]
pub struct Sessions {
    /// The packages that a session may write to, or `*`.
    granted: BTreeMap<String, Vec<String>>,
    made: u64,
}

impl Sessions {
    pub fn answer(&mut self, method: &str, arguments: &Value) -> Reply {
        let id = || {
            arguments["ubus_rpc_session"]
                .as_str()
                .ok_or(Status::InvalidArgument)
        };
        match method {
            "create" => {
                self.made += 1;
                let id = format!("{:032x}", self.made);
                self.granted.insert(id.clone(), Vec::new());
                let timeout = arguments["timeout"].as_u64().unwrap_or(300);
                Ok(
                    json!({"ubus_rpc_session": id, "timeout": timeout, "expires": timeout, "acls": {}, "data": {}}),
                )
            }
            "grant" => {
                let granted = self.granted.get_mut(id()?).ok_or(Status::NotFound)?;
                if arguments["scope"].as_str() == Some("uci") {
                    let objects = arguments["objects"].as_array().into_iter().flatten();
                    let names = objects.filter_map(|pair| pair[0].as_str());
                    granted.extend(names.map(str::to_owned));
                }
                Ok(Value::Null)
            }
            "destroy" => {
                let id = id()?;
                self.granted.remove(id).ok_or(Status::NotFound)?;
                let _ = fs::remove_dir_all(folder(id));
                Ok(Value::Null)
            }
            _ => Err(Status::MethodNotFound),
        }
    }

    /// Who calls, where only those with a session may.
    pub fn require(&self, arguments: &Value) -> Result<String, Status> {
        let id = arguments["ubus_rpc_session"]
            .as_str()
            .ok_or(Status::InvalidArgument)?;
        match self.granted.contains_key(id) {
            true => Ok(id.to_owned()),
            false => Err(Status::PermissionDenied),
        }
    }

    /// The folder of what is not committed: the session's, or the one that all share.
    pub fn delta(
        &self,
        arguments: &Value,
        package: &str,
        only_reads: bool,
    ) -> Result<String, Status> {
        if arguments["ubus_rpc_session"].is_null() {
            return Ok(SHARED.to_owned());
        }
        let id = self.require(arguments)?;
        match only_reads || self.may(&id, package) {
            true => Ok(folder(&id)),
            false => Err(Status::PermissionDenied),
        }
    }

    pub fn may(&self, id: &str, package: &str) -> bool {
        let granted = self.granted.get(id).into_iter().flatten();
        let mut granted = granted.filter(|_| !has(Fault::NoAcl));
        granted.any(|one| one == "*" || one == package)
    }
}

pub fn folder(id: &str) -> String {
    format!("/tmp/run/rpcd/uci-{id}")
}
