//! Looks at the router every now and then, and says what has changed without being asked to.

use std::collections::{BTreeMap, VecDeque};

use rhyzome_model::NetworkId;
use rhyzome_model::placement::PlacementRef;

use crate::error::lines;
use crate::inventory::members;
use crate::record::Records;
use crate::survey::Survey;
use crate::verify::{About, Difference};

/// What was told, and what is to be.
#[derive(Default)]
pub(crate) struct Watch {
    told: BTreeMap<NetworkId, Vec<Difference>>,
    news: VecDeque<PlacementRef>,
}

impl Watch {
    pub fn next(&mut self) -> Option<PlacementRef> {
        self.news.pop_front()
    }

    /// Notes what a look has found: what differs is told once, and again when it differs otherwise.
    pub fn note(&mut self, records: &Records, survey: &Survey) {
        for (id, found) in &survey.differences {
            if self.told.get(id) == Some(found) {
                continue;
            }
            let Some(kept) = records.networks.get(id) else {
                continue;
            };
            tracing::warn!(
                network = %id,
                name = format!("{}/{}", kept.network.spec.project, kept.network.spec.name),
                what = lines(found),
                "the router is not as it was left"
            );
            if !survey.is_good(*id, About::Network) {
                // With it, all that belongs to it is mended.
                self.news.push_back(kept.reference());
                continue;
            }
            let is_news = |about: &About| found.iter().any(|one| one.about == *about);
            let members = members(*id, kept).into_iter();
            self.news.extend(
                members
                    .filter(|(about, ..)| is_news(about))
                    .map(|(_, reference, ..)| reference),
            );
        }
        self.told = survey.differences.clone();
    }
}
