//! A look at all networks: what of each is not as recorded, in the files or in what runs.

use std::collections::{BTreeMap, BTreeSet};

use rhyzome_model::NetworkId;
use rhyzome_uci::{Change, Package};
use uuid::Uuid;

use crate::apply::{Apply, Look};
use crate::error::Error;
use crate::goal::{self, Goal};
use crate::names::part_of;
use crate::plan::{Plan, Within};
use crate::present::Present;
use crate::record::Records;
use crate::verify::{About, Difference, What};

/// What differs, by network; and the networks that nobody knows of.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub differences: BTreeMap<NetworkId, Vec<Difference>>,
    pub strangers: BTreeSet<NetworkId>,
}

/// The most of what differs of one placement that is told, in bytes.
const LONGEST: usize = 900;
/// The most of an option that somebody has set, in characters.
const MOST_SHOWN: usize = 60;

impl Survey {
    /// What of a part of a network is not as it should be, as far as it fits. With a network, all that belongs to it is
    /// mended, and told; and nothing of that where the network itself is not as it should be.
    pub fn told(&self, network: NetworkId, about: About) -> String {
        let found = self
            .differences
            .get(&network)
            .map_or(&[][..], Vec::as_slice);
        let is_of = |one: &&Difference| match about {
            About::Network => !self.is_good(network, about),
            _ => one.about == about && self.is_good(network, About::Network),
        };
        let (mut told, mut more) = (String::new(), 0);
        for one in found.iter().filter(is_of) {
            let line = one.to_string();
            // The first is cut off where it is told.
            if told.is_empty() {
                told = line;
            } else if more == 0 && told.len() + line.len() < LONGEST {
                told.push_str("; ");
                told.push_str(&line);
            } else {
                more += 1;
            }
        }
        if more > 0 {
            told.push_str(&format!("; and {more} more"));
        }
        told
    }

    /// Whether a part of a network is as it should be; where the network itself is not, nothing of it is known to be.
    pub fn is_good(&self, network: NetworkId, about: About) -> bool {
        let found = self.differences.get(&network);
        found.is_none_or(|found| {
            found.iter().all(|one| {
                one.about != about && (about == About::Network || one.about != About::Network)
            })
        })
    }
}

pub(crate) async fn survey(apply: &Apply, records: &Records) -> Result<Survey, Error> {
    let current = apply.current()?;
    let look = Look::new(apply.look().await?);
    let router = &apply.settings.router;
    let goal = Goal::new(
        router,
        goal::networks(records, &BTreeSet::new()),
        &current.present,
    );
    let mut survey = Survey::default();
    for (id, why) in &goal.blocked {
        let what = What::Refused(why.to_string());
        let about = About::Network;
        survey
            .differences
            .insert(*id, vec![Difference { about, what }]);
    }
    for network in &goal.networks {
        let id = network.spec.network;
        let these = BTreeSet::from([id]);
        let names = goal::within(&[records], &current.present, &these);
        let plan = goal.plan(router, &current.present, &these, &Within::These(names));
        let mut found = plan
            .map(|plan| in_files(&plan, &current.present))
            .unwrap_or_default();
        found.extend(apply.differences(network, &look).await?);
        if !found.is_empty() {
            survey.differences.insert(id, found);
        }
    }
    let marked = current.present.marked();
    survey.strangers = marked
        .into_iter()
        .map(|(_, id)| id)
        .filter(|id| !records.networks.contains_key(id))
        .collect();
    Ok(survey)
}

/// A difference for each option that would have to change, and for each section that is not there or not ours.
fn in_files(plan: &Plan, present: &Present) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    // What is changed of one section stands together.
    let mut whole = None;
    for (package, changes) in plan.packages() {
        for change in changes {
            let section = (package, change.section());
            let is_whole = matches!(
                change,
                Change::SetSection { .. } | Change::DeleteSection { .. }
            );
            if whole != Some(section) {
                whole = is_whole.then_some(section).or(whole);
                let about = part_of(change.section()).map_or(About::Network, about);
                let was = before(present.package(package), change);
                let change = change.to_string();
                let what = What::Section {
                    package,
                    change,
                    was,
                };
                found.push(Difference { about, what });
            }
        }
    }
    found
}

/// What somebody has put into an option of ours. What is in one for a key may be a secret, whatever its name.
fn before(package: &Package, change: &Change) -> Option<String> {
    let Change::SetOption {
        section, option, ..
    } = change
    else {
        return None;
    };
    let value = package.section(section)?.get(option.as_str())?;
    let text = value.items().join(" ");
    (!option.as_str().ends_with("key")).then(|| text.chars().take(MOST_SHOWN).collect())
}

/// Whose placement a part of a network is.
fn about(part: &str) -> About {
    let id = |text: &str| text.get(..32).and_then(|id| id.parse::<Uuid>().ok());
    let of = |prefix: &str| part.strip_prefix(prefix).and_then(id);
    if let Some(id) = of("peer_") {
        return About::Peer(id);
    }
    if let Some(id) = of("host_").or(of("dns4_")).or(of("dns6_")) {
        return About::Lease(id);
    }
    match of("end_") {
        Some(id) => About::Vtep(id),
        None => About::Network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_about_what_its_name_says() {
        let id = Uuid::from_u128(7);
        let part = |prefix: &str| format!("{prefix}{}", id.simple());
        assert_eq!(about(&part("peer_")), About::Peer(id));
        assert_eq!(about(&part("dns6_")), About::Lease(id));
        let end = format!("{}_000000000000", part("end_"));
        assert_eq!(about(&end), About::Vtep(id));
        assert_eq!(about("wg"), About::Network);
        assert_eq!(about("peer_"), About::Network);
    }

    #[test]
    fn where_the_network_is_not_good_nothing_of_it_is() {
        let network = NetworkId(Uuid::from_u128(1));
        let peer = About::Peer(Uuid::from_u128(2));
        let survey = |about| Survey {
            differences: BTreeMap::from([(
                network,
                vec![Difference {
                    about,
                    what: What::NoServer,
                }],
            )]),
            strangers: BTreeSet::new(),
        };
        assert!(survey(peer).is_good(network, About::Network));
        assert!(!survey(peer).is_good(network, peer));
        assert!(!survey(About::Network).is_good(network, peer));
        assert!(Survey::default().is_good(network, peer));
    }
}
