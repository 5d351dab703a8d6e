//! From sections to rules in chains.

mod nat;
mod rule;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::config::{self, Options, Section};
use super::super::has;
use super::super::ubus::call;
use super::addresses::Family;
use super::section::Described;
use super::zone::{Verdict, Zone};
use rhyzome_test_router::Fault;

/// All that becomes the table.
#[derive(Debug)]
pub struct Ruleset {
    pub defaults: Defaults,
    pub zones: Vec<Zone>,
    /// By chain, in their order.
    pub rules: BTreeMap<String, Vec<String>>,
    /// The chains `accept_to_wan` and so on that something jumps to.
    pub verdicts: BTreeSet<(Verdict, &'static str, String)>,
    /// Zones that have a chain of their own for addresses that are translated.
    pub dnat: BTreeSet<String>,
    pub snat: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    pub input: Verdict,
    pub output: Verdict,
    pub forward: Verdict,
    pub synflood: bool,
}

/// A zone that a rule names, or any.
pub enum Reference<'a> {
    Any,
    Zone(&'a str),
}

impl Ruleset {
    pub fn read(quiet: bool) -> Self {
        let package = config::read("firewall");
        let sections = package.map(|package| package.sections).unwrap_or_default();
        let defaults = Defaults::read(&sections);
        let devices = devices();
        let policies = [defaults.input, defaults.output, defaults.forward];
        let zones = Described::all(&sections, "zone", quiet)
            .filter(Described::is_enabled)
            .filter_map(|section| Zone::read(&section, &devices, policies))
            .collect();
        let mut made = Self {
            defaults,
            zones,
            rules: BTreeMap::new(),
            verdicts: BTreeSet::new(),
            dnat: BTreeSet::new(),
            snat: BTreeSet::new(),
        };
        made.add_zones();
        for section in Described::all(&sections, "rule", quiet).filter(Described::is_enabled) {
            if has(Fault::FirewallSkips) && !section.section.anonymous {
                section.skip("src", "");
            } else {
                made.add_rule(&section);
            }
        }
        for section in Described::all(&sections, "forwarding", quiet).filter(Described::is_enabled)
        {
            made.add_forwarding(&section);
        }
        for section in Described::all(&sections, "redirect", quiet).filter(Described::is_enabled) {
            made.add_redirect(&section);
        }
        for section in Described::all(&sections, "nat", quiet).filter(Described::is_enabled) {
            made.add_nat(&section);
        }
        made
    }

    fn add_zones(&mut self) {
        for zone in &self.zones {
            let name = zone.name.clone();
            self.verdicts.insert((zone.input, "from", name.clone()));
            self.verdicts.insert((zone.output, "to", name.clone()));
            self.verdicts.insert((zone.forward, "to", name.clone()));
            if zone.masquerade {
                self.snat.insert(name);
            }
        }
    }

    fn add_forwarding(&mut self, section: &Described<'_>) {
        section.warn_of_unknown(&["enabled", "name", "src", "dest", "family"]);
        let (Some(source), Some(destination)) =
            (self.refer(section, "src"), self.refer(section, "dest"))
        else {
            return;
        };
        let (Some(Reference::Zone(source)), Some(Reference::Zone(destination))) =
            (source, destination)
        else {
            section.skip("dest", "*");
            return;
        };
        let (source, destination) = (source.to_owned(), destination.to_owned());
        let family = match section.section.one("family").map(Family::parse) {
            Some(Some(Some(family))) => format!("meta nfproto {} ", family.nfproto()),
            _ => String::new(),
        };
        let comment = format!("!fw4: Accept {source} to {destination} forwarding");
        let rule = format!("{family}jump accept_to_{destination} comment \"{comment}\"");
        self.push(&format!("forward_{source}"), rule);
        self.verdicts.insert((Verdict::Accept, "to", destination));
    }

    pub fn push(&mut self, chain: &str, rule: String) {
        self.rules.entry(chain.to_owned()).or_default().push(rule);
    }

    /// The zone of an option; none where it says nothing. Nothing at all where it is one that is not there, which is
    /// said.
    pub fn refer<'a>(
        &'a self,
        section: &'a Described<'_>,
        option: &str,
    ) -> Option<Option<Reference<'a>>> {
        match section.section.one(option) {
            None => Some(None),
            Some("*") => Some(Some(Reference::Any)),
            Some(name) if self.zones.iter().any(|zone| zone.name == name) => {
                Some(Some(Reference::Zone(name)))
            }
            Some(name) => {
                section.skip(option, name);
                None
            }
        }
    }
}

impl Defaults {
    fn read(sections: &[Section]) -> Self {
        let section = sections.iter().find(|section| section.kind == "defaults");
        let verdict = |option: &str| {
            let text = section.and_then(|section| section.one(option));
            text.and_then(Verdict::parse).unwrap_or(Verdict::Drop)
        };
        Self {
            input: verdict("input"),
            output: verdict("output"),
            forward: verdict("forward"),
            synflood: section.is_some_and(|section| {
                section.flag("synflood_protect", false) || section.flag("syn_flood", false)
            }),
        }
    }
}

/// The device of each interface, as netifd says.
fn devices() -> BTreeMap<String, String> {
    let dump = call("network.interface", "dump", &json!({})).unwrap_or_default();
    let interfaces = dump["interface"].as_array().into_iter().flatten();
    let pairs = interfaces.filter_map(|interface| {
        let text = |key: &str| interface[key].as_str().map(str::to_owned);
        Some((
            text("interface")?,
            text("l3_device").or_else(|| text("device"))?,
        ))
    });
    pairs.collect()
}

/// A comment with an option's text.
pub fn comment(title: &str) -> String {
    let text: Value = json!(format!("!fw4: {title}"));
    format!("comment {text}")
}
