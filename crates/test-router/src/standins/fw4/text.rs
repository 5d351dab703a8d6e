//! The table as nftables reads it.

use std::fmt::Write;

use super::ruleset::Ruleset;
use super::zone::{Verdict, Zone};

impl Ruleset {
    /// The chains of zones that were there and are not any more stay, empty: a table is flushed, and not deleted.
    pub fn text(&self) -> String {
        let mut text = String::from("table inet fw4\nflush table inet fw4\n\ntable inet fw4 {\n");
        for zone in &self.zones {
            let devices = zone.device_set();
            let _ = writeln!(text, "\tdefine {}_devices = {devices}", zone.name);
        }
        let _ = writeln!(text, "\n\tinclude \"/etc/nftables.d/*.nft\"\n");
        self.filter(&mut text);
        for zone in &self.zones {
            self.zone(&mut text, zone);
        }
        self.nat(&mut text);
        self.mangle(&mut text);
        text.push_str("}\n");
        text
    }

    fn filter(&self, text: &mut String) {
        for (hook, policy, word) in [
            ("input", self.defaults.input, "iifname"),
            ("forward", self.defaults.forward, "iifname"),
            ("output", self.defaults.output, "oifname"),
        ] {
            let otherwise = if policy == Verdict::Accept {
                "accept"
            } else {
                "drop"
            };
            let _ = writeln!(
                text,
                "\tchain {hook} {{\n\t\ttype filter hook {hook} priority filter; policy {otherwise};\n"
            );
            if hook != "forward" {
                let _ = writeln!(
                    text,
                    "\t\t{word} \"lo\" accept comment \"!fw4: Accept traffic from loopback\""
                );
            }
            text.push_str("\t\tct state vmap { established : accept, related : accept } comment \"!fw4: Handle flows\"\n");
            if hook == "input" && self.defaults.synflood {
                text.push_str("\t\ttcp flags & (fin | syn | rst | ack) == syn jump syn_flood comment \"!fw4: Rate limit TCP syn packets\"\n");
            }
            self.rules(text, hook);
            for zone in self.zones.iter().filter(|zone| !zone.devices.is_empty()) {
                let (name, devices) = (&zone.name, zone.device_set());
                let _ = writeln!(
                    text,
                    "\t\t{word} {devices} jump {hook}_{name} comment \"!fw4: Handle {name} IPv4/IPv6 {hook} traffic\""
                );
            }
            if policy == Verdict::Reject {
                text.push_str("\t\tjump handle_reject\n");
            }
            text.push_str("\t}\n\n");
        }
        text.push_str(
            "\tchain handle_reject {\n\t\tmeta l4proto tcp reject with tcp reset comment \"!fw4: Reject TCP traffic\"\n\
             \t\treject with icmpx type port-unreachable comment \"!fw4: Reject any other traffic\"\n\t}\n\n",
        );
        if self.defaults.synflood {
            text.push_str(
                "\tchain syn_flood {\n\t\tlimit rate 25/second burst 50 packets return comment \"!fw4: Accept SYN packets below rate-limit\"\n\
                 \t\tdrop comment \"!fw4: Drop excess packets\"\n\t}\n\n",
            );
        }
    }

    fn rules(&self, text: &mut String, chain: &str) {
        for rule in self.rules.get(chain).into_iter().flatten() {
            let _ = writeln!(text, "\t\t{rule}");
        }
    }

    fn zone(&self, text: &mut String, zone: &Zone) {
        let name = &zone.name;
        for (hook, way, verdict) in [
            ("input", "from", zone.input),
            ("output", "to", zone.output),
            ("forward", "to", zone.forward),
        ] {
            let _ = writeln!(text, "\tchain {hook}_{name} {{");
            self.rules(text, &format!("{hook}_{name}"));
            if hook != "output" && self.dnat.contains(name) {
                text.push_str("\t\tct status dnat accept comment \"!fw4: Accept port forwards\"\n");
            }
            let _ = writeln!(text, "\t\tjump {}_{way}_{name}\n\t}}\n", verdict.text());
        }
        for (verdict, way, _) in self.verdicts.iter().filter(|(_, _, zone)| zone == name) {
            let _ = writeln!(text, "\tchain {}_{way}_{name} {{", verdict.text());
            if !zone.devices.is_empty() {
                let devices = zone.device_set();
                let word = if *way == "from" { "iifname" } else { "oifname" };
                if zone.masquerade && *way == "to" && *verdict == Verdict::Accept {
                    let _ = writeln!(
                        text,
                        "\t\tmeta nfproto ipv4 {word} {devices} ct state invalid counter drop comment \"!fw4: Prevent NAT leakage\""
                    );
                }
                let (statement, said) = (verdict.statement(), verdict.text());
                let _ = writeln!(
                    text,
                    "\t\t{word} {devices} counter {statement} comment \"!fw4: {said} {name} IPv4/IPv6 traffic\""
                );
            }
            text.push_str("\t}\n\n");
        }
    }

    fn nat(&self, text: &mut String) {
        for (chain, hook, word, zones) in [
            ("dstnat", "prerouting", "iifname", &self.dnat),
            ("srcnat", "postrouting", "oifname", &self.snat),
        ] {
            let _ = writeln!(
                text,
                "\tchain {chain} {{\n\t\ttype nat hook {hook} priority {chain}; policy accept;"
            );
            self.rules(text, chain);
            let translated: Vec<&Zone> = self
                .zones
                .iter()
                .filter(|zone| zones.contains(&zone.name))
                .collect();
            for zone in translated.iter().filter(|zone| !zone.devices.is_empty()) {
                let (name, devices) = (&zone.name, zone.device_set());
                let _ = writeln!(
                    text,
                    "\t\t{word} {devices} jump {chain}_{name} comment \"!fw4: Handle {name} IPv4/IPv6 {chain} traffic\""
                );
            }
            text.push_str("\t}\n\n");
            for zone in translated {
                let name = &zone.name;
                let _ = writeln!(text, "\tchain {chain}_{name} {{");
                self.rules(text, &format!("{chain}_{name}"));
                if chain == "srcnat" && zone.masquerade {
                    let _ = writeln!(
                        text,
                        "\t\tmeta nfproto ipv4 masquerade comment \"!fw4: Masquerade IPv4 {name} traffic\""
                    );
                }
                text.push_str("\t}\n\n");
            }
        }
    }

    fn mangle(&self, text: &mut String) {
        text.push_str("\tchain mangle_forward {\n\t\ttype filter hook forward priority mangle; policy accept;\n");
        for zone in self
            .zones
            .iter()
            .filter(|zone| zone.mtu_fix && !zone.devices.is_empty())
        {
            let (name, devices) = (&zone.name, zone.device_set());
            for (word, way) in [("iifname", "ingress"), ("oifname", "egress")] {
                let _ = writeln!(
                    text,
                    "\t\t{word} {devices} tcp flags syn / syn,fin,rst tcp option maxseg size set rt mtu comment \"!fw4: Zone {name} IPv4/IPv6 {way} MTU fixing\""
                );
            }
        }
        text.push_str("\t}\n");
    }
}
