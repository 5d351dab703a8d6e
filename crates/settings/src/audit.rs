//! Checks on a program's configuration struct itself, for its tests: what
//! would trouble every user of it, whatever they wrote; and on the page that
//! tells them what they can write.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

mod page;

pub use page::audit_page;

use crate::layers::variable;
use crate::{Settings, tree};

/// A mistake in the struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Two keys share an environment variable.
    SameVariable { first: String, second: String },
    /// A default names a server that is not this machine.
    ForeignServer { key: String, host: String },
    /// `PATHS`, `SECRETS`, `MEANT` or the page for operators speaks of a key that there is not.
    NoSuchKey { key: String },
    /// The page for operators does not say what a key is for.
    Undocumented { key: String },
    /// The page says another default.
    OtherDefault {
        key: String,
        default: String,
        said: String,
    },
}

/// All mistakes in a struct; none is right.
///
/// # Panics
/// When the default cannot be serialized.
#[must_use]
pub fn audit<T: Settings>() -> Vec<Finding> {
    let default = serde_json::to_value(T::default())
        .expect("the default of a configuration can be serialized");
    let mut findings = Vec::new();
    let mut variables = BTreeMap::new();
    for (key, value) in tree::leaves(&default) {
        let dotted = tree::dotted(&key);
        if let Some(first) = variables.insert(variable("", &key), dotted.clone()) {
            let second = dotted.clone();
            findings.push(Finding::SameVariable { first, second });
        }
        let hosts = foreign_hosts(value).into_iter();
        findings.extend(hosts.map(|host| Finding::ForeignServer {
            key: dotted.clone(),
            host,
        }));
    }
    let spoken_of = T::PATHS
        .iter()
        .map(|(key, _)| key)
        .chain(T::SECRETS)
        .chain(T::MEANT.iter().map(|(_, meant)| meant));
    let missing = spoken_of.filter(|key| tree::get(&default, &tree::split(key)).is_none());
    findings.extend(missing.map(|key| Finding::NoSuchKey {
        key: (*key).to_owned(),
    }));
    findings
}

fn foreign_hosts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => host_of(text).into_iter().collect(),
        Value::Array(list) => list.iter().flat_map(foreign_hosts).collect(),
        Value::Object(map) => map.values().flat_map(foreign_hosts).collect(),
        _ => Vec::new(),
    }
}

/// The host of a URL, unless it is this machine.
fn host_of(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit('@').next()?;
    let host = match host_port.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => host_port.split(':').next()?,
    };
    let here = host.is_empty()
        || host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
    (!here).then(|| host.to_owned())
}

#[cfg(test)]
mod tests;
