//! Zones: which devices are in them, and what is done with what comes from and goes to them.

use std::collections::BTreeMap;

use super::super::config::Options;
use super::section::Described;

const KNOWN: [&str; 25] = [
    "enabled",
    "name",
    "network",
    "device",
    "subnet",
    "family",
    "input",
    "output",
    "forward",
    "masq",
    "masq6",
    "masq_src",
    "masq_dest",
    "masq_allow_invalid",
    "mtu_fix",
    "log",
    "log_limit",
    "auto_helper",
    "helper",
    "custom_chains",
    "counter",
    "extra",
    "extra_src",
    "extra_dest",
    "conntrack",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Accept,
    Reject,
    Drop,
}

impl Verdict {
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_lowercase().as_str() {
            "accept" => Some(Self::Accept),
            "reject" => Some(Self::Reject),
            "drop" => Some(Self::Drop),
            _ => None,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Drop => "drop",
        }
    }

    /// What nftables does for it.
    pub fn statement(self) -> &'static str {
        match self {
            Self::Reject => "jump handle_reject",
            other => other.text(),
        }
    }
}

#[derive(Debug)]
pub struct Zone {
    pub name: String,
    networks: Vec<String>,
    pub devices: Vec<String>,
    pub input: Verdict,
    pub output: Verdict,
    pub forward: Verdict,
    pub masquerade: bool,
    pub mtu_fix: bool,
}

impl Zone {
    /// Nothing where it is skipped. A network that is not there is not missed.
    pub fn read(
        section: &Described<'_>,
        devices: &BTreeMap<String, String>,
        default: [Verdict; 3],
    ) -> Option<Self> {
        section.warn_of_unknown(&KNOWN);
        let name = section.name();
        if !is_name(name) {
            section.skip("name", name);
            return None;
        }
        let mut verdicts = default;
        for (verdict, option) in verdicts.iter_mut().zip(["input", "output", "forward"]) {
            if let Some(text) = section.section.one(option) {
                let Some(found) = Verdict::parse(text) else {
                    section.skip(option, text);
                    return None;
                };
                *verdict = found;
            }
        }
        let [input, output, forward] = verdicts;
        let list = |option: &str| -> Vec<String> {
            let items = section.section.list(option);
            items.into_iter().map(str::to_owned).collect()
        };
        let networks = list("network");
        let of_networks = networks.iter().filter_map(|network| devices.get(network));
        let mut devices: Vec<String> = of_networks.cloned().chain(list("device")).collect();
        devices.sort();
        devices.dedup();
        Some(Self {
            name: name.to_owned(),
            networks,
            devices,
            input,
            output,
            forward,
            masquerade: section.section.flag("masq", false),
            mtu_fix: section.section.flag("mtu_fix", false),
        })
    }

    pub fn has_network(&self, network: &str) -> bool {
        self.networks.iter().any(|one| one == network)
    }

    /// Its devices as a set of nftables.
    pub fn device_set(&self) -> String {
        set(&self
            .devices
            .iter()
            .map(|device| format!("\"{device}\""))
            .collect::<Vec<_>>())
    }
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || "_.".contains(c));
    first && letters.all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c))
}

pub fn set(items: &[String]) -> String {
    match items {
        [one] => one.clone(),
        several => format!("{{ {} }}", several.join(", ")),
    }
}
