//! Rules that translate addresses.

use super::super::super::config::Options;
use super::super::section::Described;
use super::super::zone::Verdict;
use super::rule::Matches;
use super::{Reference, Ruleset, comment};

const KNOWN_NAT: [&str; 16] = [
    "enabled",
    "name",
    "family",
    "src",
    "device",
    "proto",
    "src_ip",
    "src_port",
    "dest_ip",
    "dest_port",
    "snat_ip",
    "snat_port",
    "limit",
    "mark",
    "counter",
    "target",
];

const KNOWN_REDIRECT: [&str; 18] = [
    "enabled",
    "name",
    "family",
    "src",
    "dest",
    "proto",
    "src_ip",
    "src_mac",
    "src_port",
    "src_dip",
    "src_dport",
    "dest_ip",
    "dest_port",
    "reflection",
    "reflection_src",
    "reflection_zone",
    "counter",
    "target",
];

impl Ruleset {
    /// Where a packet leaves: what its source becomes.
    pub fn add_nat(&mut self, section: &Described<'_>) {
        section.warn_of_unknown(&KNOWN_NAT);
        let Some(matches) = Matches::read(section) else {
            return;
        };
        let Some(source) = self.refer(section, "src") else {
            return;
        };
        let chain = match source {
            Some(Reference::Zone(zone)) => {
                let zone = zone.to_owned();
                self.snat.insert(zone.clone());
                format!("srcnat_{zone}")
            }
            Some(Reference::Any) | None => "srcnat".to_owned(),
        };
        let target = section.section.one("target").unwrap_or("masquerade");
        let statement = match (
            target.to_lowercase().as_str(),
            section.section.one("snat_ip"),
        ) {
            ("masquerade", _) => "masquerade".to_owned(),
            ("accept", _) => "accept".to_owned(),
            ("snat", Some(address)) => format!("snat ip to {address}"),
            _ => {
                section.skip("target", target);
                return;
            }
        };
        let said = comment(&section.title());
        for found in matches.texts() {
            self.push(&chain, format!("{found}counter {statement} {said}"));
        }
    }

    /// Where a packet comes in: where it goes instead.
    pub fn add_redirect(&mut self, section: &Described<'_>) {
        section.warn_of_unknown(&KNOWN_REDIRECT);
        let options = section.section;
        let Some(source) = self.refer(section, "src") else {
            return;
        };
        let Some(Reference::Zone(zone)) = source else {
            section.warn("must specify a source zone for target 'dnat'");
            return;
        };
        let zone = zone.to_owned();
        let Some(to) = options.one("dest_ip") else {
            section.warn("must specify option 'dest_ip' for target 'dnat'");
            return;
        };
        let mut protocols = options.list("proto");
        if protocols.is_empty() {
            protocols.extend(["tcp", "udp"]);
        }
        let (outer, inner) = (options.one("src_dport"), options.one("dest_port"));
        let at = match options.one("src_dip") {
            Some(address) => format!("ip daddr {address} "),
            None => String::new(),
        };
        let port = inner
            .or(outer)
            .map_or(String::new(), |port| format!(":{port}"));
        let said = comment(&section.title());
        for protocol in protocols {
            let which = match outer {
                Some(port) => format!("{protocol} dport {port} "),
                None => format!("meta l4proto {protocol} "),
            };
            let rule = format!("meta nfproto ipv4 {at}{which}counter dnat ip to {to}{port} {said}");
            self.push(&format!("dstnat_{zone}"), rule);
        }
        self.dnat.insert(zone);
        if let Some(Some(Reference::Zone(inside))) = self.refer(section, "dest") {
            let inside = inside.to_owned();
            self.verdicts.insert((Verdict::Accept, "to", inside));
        }
    }
}
