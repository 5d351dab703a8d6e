//! Rules of the filter.

use super::super::super::config::Options;
use super::super::addresses::{Family, Subnet, icmp_type, port, protocols};
use super::super::section::Described;
use super::super::zone::{Verdict, set};
use super::{Reference, Ruleset, comment};

const KNOWN: [&str; 33] = [
    "enabled",
    "name",
    "family",
    "src",
    "dest",
    "device",
    "direction",
    "ipset",
    "helper",
    "set_helper",
    "proto",
    "src_ip",
    "src_mac",
    "src_port",
    "dest_ip",
    "dest_port",
    "icmp_type",
    "limit",
    "limit_burst",
    "utc_time",
    "start_date",
    "stop_date",
    "start_time",
    "stop_time",
    "weekdays",
    "monthdays",
    "mark",
    "set_mark",
    "set_xmark",
    "dscp",
    "set_dscp",
    "counter",
    "target",
];

/// What a packet has to be for a rule.
pub struct Matches {
    family: Option<Family>,
    protocols: Vec<String>,
    sources: Vec<Subnet>,
    destinations: Vec<Subnet>,
    macs: Vec<String>,
    source_ports: Vec<String>,
    ports: Vec<String>,
    icmp: Vec<[Option<String>; 2]>,
    limit: Option<String>,
}

impl Ruleset {
    pub fn add_rule(&mut self, section: &Described<'_>) {
        section.warn_of_unknown(&KNOWN);
        let Some(matches) = Matches::read(section) else {
            return;
        };
        let target = section.section.one("target").unwrap_or("drop");
        let Some(verdict) = Verdict::parse(target) else {
            section.skip("target", target);
            return;
        };
        let (Some(source), Some(destination)) =
            (self.refer(section, "src"), self.refer(section, "dest"))
        else {
            return;
        };
        let to = match &destination {
            Some(Reference::Zone(zone)) if source.is_some() => Some((*zone).to_owned()),
            _ => None,
        };
        let chain = match (source, destination) {
            (Some(Reference::Any), None) => "input".to_owned(),
            (Some(Reference::Zone(zone)), None) => format!("input_{zone}"),
            (Some(Reference::Any), Some(_)) => "forward".to_owned(),
            (Some(Reference::Zone(zone)), Some(_)) => format!("forward_{zone}"),
            (None, Some(Reference::Zone(zone))) => format!("output_{zone}"),
            (None, _) => "output".to_owned(),
        };
        let statement = match to {
            Some(zone) => {
                self.verdicts.insert((verdict, "to", zone.clone()));
                format!("jump {}_to_{zone}", verdict.text())
            }
            None => verdict.statement().to_owned(),
        };
        let said = comment(&section.title());
        for found in matches.texts() {
            self.push(&chain, format!("{found}counter {statement} {said}"));
        }
    }
}

impl Matches {
    /// Nothing where it is skipped, which is said.
    pub fn read(section: &Described<'_>) -> Option<Self> {
        let options = section.section;
        let family = match options.one("family") {
            None => None,
            Some(text) => parsed(section, "family", text, Family::parse(text))?,
        };
        let subnets = |option: &str| all(section, option, Subnet::parse);
        let ports = |option: &str| all(section, option, port);
        let mut names = options.list("proto");
        if names.is_empty() {
            names.push("tcpudp");
        }
        Some(Self {
            family,
            protocols: names.into_iter().flat_map(protocols).collect(),
            sources: subnets("src_ip")?,
            destinations: subnets("dest_ip")?,
            macs: options
                .list("src_mac")
                .into_iter()
                .map(str::to_owned)
                .collect(),
            source_ports: ports("src_port")?,
            ports: ports("dest_port")?,
            icmp: all(section, "icmp_type", icmp_type)?,
            limit: options
                .one("limit")
                .map(|text| text.replace("sec", "second").replace("secondond", "second")),
        })
    }

    /// A rule's beginning for each family and protocol that it is for.
    pub fn texts(&self) -> Vec<String> {
        let mut found = Vec::new();
        let protocols: Vec<Option<&str>> = match self.protocols.is_empty() {
            true => vec![None],
            false => self
                .protocols
                .iter()
                .map(|one| Some(one.as_str()))
                .collect(),
        };
        for protocol in protocols {
            for family in self.families(protocol) {
                if let Some(text) = self.text(family, protocol) {
                    found.push(text);
                }
            }
        }
        found
    }

    /// Both at once where nothing in it is of one family.
    fn families(&self, protocol: Option<&str>) -> Vec<Option<Family>> {
        let by_family = !self.sources.is_empty()
            || !self.destinations.is_empty()
            || matches!(protocol, Some("icmp" | "ipv6-icmp"));
        match (self.family, by_family) {
            (Some(family), _) => vec![Some(family)],
            (None, true) => Family::BOTH.map(Some).to_vec(),
            (None, false) => vec![None],
        }
    }

    fn text(&self, family: Option<Family>, protocol: Option<&str>) -> Option<String> {
        let mut text = String::new();
        let has_addresses = !self.sources.is_empty() || !self.destinations.is_empty();
        if let Some(family) = family.filter(|_| !has_addresses) {
            text.push_str(&format!("meta nfproto {} ", family.nfproto()));
        }
        let has_ports = !self.source_ports.is_empty() || !self.ports.is_empty();
        let icmp = match (protocol, family) {
            (Some("icmp" | "ipv6-icmp"), Some(family)) => Some(family),
            _ => None,
        };
        match (icmp, protocol) {
            (Some(family), _) => text.push_str(&self.icmp_text(family)?),
            (None, Some(protocol)) if !has_ports => {
                text.push_str(&format!("meta l4proto {protocol} "))
            }
            _ => {}
        }
        if let Some(family) = family {
            text.push_str(&addresses(family, "saddr", &self.sources)?);
            text.push_str(&addresses(family, "daddr", &self.destinations)?);
        }
        let protocol = protocol.unwrap_or("th");
        for (ports, word) in [(&self.source_ports, "sport"), (&self.ports, "dport")] {
            if !ports.is_empty() {
                text.push_str(&format!("{protocol} {word} {} ", set(ports)));
            }
        }
        if !self.macs.is_empty() {
            text.push_str(&format!("ether saddr {} ", set(&self.macs)));
        }
        if let Some(limit) = &self.limit {
            text.push_str(&format!("limit rate {limit} "));
        }
        Some(text)
    }

    /// Nothing where the family has none of the types.
    fn icmp_text(&self, family: Family) -> Option<String> {
        let (name, at) = match family {
            Family::Ipv4 => ("icmp", 0),
            Family::Ipv6 => ("icmpv6", 1),
        };
        if self.icmp.is_empty() {
            let protocol = if at == 0 { "icmp" } else { "ipv6-icmp" };
            return Some(format!("meta l4proto {protocol} "));
        }
        let of_family = self.icmp.iter().filter_map(|types| types[at].clone());
        let (pairs, types): (Vec<String>, Vec<String>) =
            of_family.partition(|text| text.contains('.'));
        match (types.is_empty(), pairs.is_empty()) {
            (true, true) => None,
            (false, _) => Some(format!("{name} type {} ", set(&types))),
            (true, false) => Some(format!(
                "{name} type . {name} code {{ {} }} ",
                pairs.join(", ")
            )),
        }
    }
}

/// Nothing where the addresses are of the other family.
fn addresses(family: Family, word: &str, all: &[Subnet]) -> Option<String> {
    let of_family: Vec<&Subnet> = all.iter().filter(|one| one.family == family).collect();
    if of_family.is_empty() {
        return all.is_empty().then(String::new);
    }
    let mut text = String::new();
    for (inverted, operator) in [(false, ""), (true, "!= ")] {
        let texts = of_family.iter().filter(|one| one.inverted == inverted);
        let texts: Vec<String> = texts.map(|one| one.text.clone()).collect();
        if !texts.is_empty() {
            text.push_str(&format!(
                "{} {word} {operator}{} ",
                family.header(),
                set(&texts)
            ));
        }
    }
    Some(text)
}

fn parsed<T>(section: &Described<'_>, option: &str, text: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        section.skip(option, text);
    }
    value
}

fn all<T>(
    section: &Described<'_>,
    option: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<Vec<T>> {
    let texts = section.section.list(option).into_iter();
    texts
        .map(|text| parsed(section, option, text, parse(text)))
        .collect()
}
