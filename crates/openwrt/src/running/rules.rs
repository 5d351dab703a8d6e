//! fw4's rules: those in the kernel, and those that it makes of the router's files.
//!
//! Both are texts of nftables with the same comments, while expressions are written differently. So a rule is known by
//! its chain, its comment and what it does: enough to see that one is missing, is twice, or does something else.

use std::collections::BTreeMap;

use super::LookError;
use crate::system::System;

/// How often each rule is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(BTreeMap<Known, u32>);

/// Its chain, comment and verdict, a line each: a router has thousands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known(Box<str>);

/// What fw4 says it left out of its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped(pub String);

/// What begins fw4's comments.
const COMMENT: &str = "comment \"!fw4: ";

/// What begins lines of chains that are no rules.
const NO_RULE: [&str; 4] = ["type ", "}", "#", "include "];

pub(super) async fn in_kernel(system: &System) -> Result<Rules, LookError> {
    let listed = system.run("nft", &["list", "table", "inet", "fw4"]).await?;
    // Where there is no table, there are no rules.
    Ok(read(&listed.said))
}

pub(super) async fn meant(system: &System) -> Result<(Rules, Vec<Skipped>), LookError> {
    let printed = system.run("fw4", &["print"]).await?;
    let skipped = skipped(&printed.complained);
    Ok((read(&printed.good()?), skipped))
}

fn skipped(complaints: &str) -> Vec<Skipped> {
    complaints
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[!]"))
        .map(|line| Skipped(line.trim().to_owned()))
        .collect()
}

fn read(text: &str) -> Rules {
    let mut rules = Rules::default();
    let mut chain = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ") {
            chain = name.trim_end_matches('{').trim();
            continue;
        }
        let is_rule = !NO_RULE.iter().any(|start| line.starts_with(start))
            && !line.is_empty()
            && !chain.is_empty();
        if !is_rule {
            if line == "}" {
                chain = "";
            }
            continue;
        }
        let (rule, comment) = line.split_once(COMMENT).unwrap_or((line, ""));
        let known = Known::new(chain, comment.trim_end_matches('"'), &verdict(rule));
        *rules.0.entry(known).or_default() += 1;
    }
    rules
}

/// The last words of a rule; with `jump` and `goto`, where to.
fn verdict(rule: &str) -> String {
    let words: Vec<&str> = rule.split_whitespace().collect();
    match words[..] {
        [.., jump @ ("jump" | "goto"), chain] => format!("{jump} {chain}"),
        [.., last] => last.to_owned(),
        [] => String::new(),
    }
}

impl Rules {
    /// What of these, where it is about something, is not in the others, or not as often.
    pub fn missing_in(&self, others: &Self, about: impl Fn(&str) -> bool) -> Vec<String> {
        let is_missing =
            |known: &Known, count: u32| others.0.get(known).is_none_or(|others| *others < count);
        self.0
            .iter()
            .filter(|(known, count)| known.is_about(&about) && is_missing(known, **count))
            .map(|(known, _)| {
                let [chain, comment, verdict] = known.parts();
                format!("{comment:?} in the chain {chain}, to {verdict}")
            })
            .collect()
    }

    /// Whether any of them is about something.
    pub fn mention(&self, about: impl Fn(&str) -> bool) -> bool {
        self.0.keys().any(|known| known.is_about(&about))
    }
}

impl Known {
    /// The parts are of one line of a listing.
    fn new(chain: &str, comment: &str, verdict: &str) -> Self {
        Self([chain, comment, verdict].join("\n").into())
    }

    fn parts(&self) -> [&str; 3] {
        let mut parts = self.0.split('\n');
        [(); 3].map(|()| parts.next().unwrap_or_default())
    }

    /// A rule is about what its chain, its comment or its verdict names.
    fn is_about(&self, about: &impl Fn(&str) -> bool) -> bool {
        self.parts().into_iter().any(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "table inet fw4\nflush table inet fw4\n\ntable inet fw4 {\n\tchain input {\n\
        \t\ttype filter hook input priority filter; policy drop;\n\
        \t\tiifname \"rz_v1\" jump input_rz_v1 comment \"!fw4: Handle rz_v1 IPv4/IPv6 input traffic\"\n\t}\n\
        \tchain input_rz_v1 {\n\
        \t\tudp dport 67 counter accept comment \"!fw4: Rhyzome default/lab: DHCP\"\n\
        \t\ttcp dport 53 counter accept comment \"!fw4: Rhyzome default/lab: DNS\"\n\
        \t\tudp dport 53 counter accept comment \"!fw4: Rhyzome default/lab: DNS\"\n\t}\n}\n";

    fn in_kernel(change: impl Fn(String) -> String) -> Rules {
        let listed = PRINTED.replace("counter", "counter packets 7 bytes 99");
        read(&change(listed))
    }

    fn missing(change: impl Fn(String) -> String) -> Vec<String> {
        read(PRINTED).missing_in(&in_kernel(change), |text| text.contains("rz_v1"))
    }

    #[test]
    fn rules_are_the_same_however_they_are_written() {
        assert_eq!(missing(|text| text), [""; 0]);
    }

    #[test]
    fn a_rule_that_is_gone_or_does_something_else_is_named() {
        let gone = missing(|text| {
            text.replacen("\t\tudp dport 53", "\t\t#", 1).replacen(
                "# counter packets 7 bytes 99 accept comment \"!fw4: Rhyzome default/lab: DNS\"",
                "",
                1,
            )
        });
        assert_eq!(
            gone,
            ["\"Rhyzome default/lab: DNS\" in the chain input_rz_v1, to accept"]
        );
        let other = missing(|text| text.replacen("accept", "drop", 1));
        assert_eq!(
            other,
            ["\"Rhyzome default/lab: DHCP\" in the chain input_rz_v1, to accept"]
        );
        let jump = missing(|text| text.replace("jump input_rz_v1", "accept"));
        assert_eq!(jump.len(), 1);
    }

    #[test]
    fn a_rule_of_somebody_elses_is_seen_without_a_comment_too() {
        let theirs = in_kernel(|text| {
            text.replace("chain input_rz_v1 {", "chain input_rz_v1 {\n\t\taccept")
        });
        let found = theirs.missing_in(&read(PRINTED), |text| text.contains("rz_v1"));
        assert_eq!(found, ["\"\" in the chain input_rz_v1, to accept"]);
    }

    #[test]
    fn what_is_about_others_is_not_looked_at() {
        let none = read(PRINTED).missing_in(&Rules::default(), |text| text.contains("rz_v2"));
        assert!(none.is_empty());
        assert!(read(PRINTED).mention(|text| text.contains("rz_v1")));
    }

    #[test]
    fn what_is_skipped_is_said_with_a_mark() {
        let complaints = "Section @rule[0] (x) is fine\n[!] Section rz_v1_dns (Rhyzome x: DNS) option 'a' is bad\n";
        assert_eq!(
            skipped(complaints),
            [Skipped(
                "Section rz_v1_dns (Rhyzome x: DNS) option 'a' is bad".to_owned()
            )]
        );
    }
}
