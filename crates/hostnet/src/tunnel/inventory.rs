//! What a component's tunnels are now, a segment at a time.

use std::collections::BTreeMap;

use rhyzome_model::network::VtepPlacement;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::{NetworkId, PlacementId};

use super::rules::{self, Kept, Numbers};
use super::{Segment, TunnelError, Tunnels, device_difference, frames_difference};
use crate::Links;
use crate::nft;

impl Tunnels {
    /// All that this component keeps, observed where it is as accepted.
    pub async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, TunnelError> {
        let Some(listing) = nft::list("inet", rules::TABLE)
            .await
            .map_err(TunnelError::Rules)?
        else {
            return Ok(Vec::new());
        };
        let mut segments: BTreeMap<NetworkId, Vec<Kept>> = BTreeMap::new();
        for kept in rules::kept(&listing) {
            segments.entry(kept.network).or_default().push(kept);
        }
        let accepted: BTreeMap<PlacementId, (u64, &VtepPlacement)> = accepted
            .iter()
            .filter_map(|placement| match &placement.spec {
                PlacementSpec::Vtep(spec) => Some((placement.id, (placement.generation, spec))),
                _ => None,
            })
            .collect();
        let links = Links::open().map_err(TunnelError::Link)?;
        let numbers = Numbers::parse(&listing);
        let frames = frames_difference().await?;
        let mut found = Vec::new();
        for (network, kept) in segments {
            let own: Vec<Kept> = kept
                .iter()
                .filter(|kept| kept.mark == self.mark)
                .cloned()
                .collect();
            let spec = own.iter().find_map(|kept| accepted.get(&kept.placement));
            let segment = Segment {
                chain: rules::chain(network),
                listing: None,
                kept,
                numbers: numbers.clone(),
            };
            let difference = match spec.map(|(_, spec)| self.device(spec)) {
                Some(Ok(device)) => device_difference(&links, network, device, &segment).await?,
                Some(Err(error)) => Some(error.to_string()),
                None => None,
            };
            let difference = difference.or_else(|| frames.clone());
            if let Some(why) = difference.as_ref().filter(|_| spec.is_some()) {
                tracing::info!(%network, why, "a tunnel is not as it should be");
            }
            let as_accepted = |kept: &Kept| {
                accepted
                    .get(&kept.placement)
                    .is_some_and(|(generation, spec)| {
                        self.wanted(kept.placement, *generation, spec) == *kept
                    })
            };
            found.extend(own.iter().map(|kept| {
                let as_accepted = as_accepted(kept);
                let healthy = difference.is_none() && as_accepted;
                let differs = difference.clone().filter(|_| as_accepted);
                Found {
                    placement: reference(kept),
                    generation: kept.generation,
                    observed: healthy.then_some(Observed::Vtep),
                    differs: differs.unwrap_or_default(),
                }
            }));
        }
        Ok(found)
    }
}

fn reference(kept: &Kept) -> PlacementRef {
    PlacementRef {
        id: kept.placement,
        kind: PlacementKind::Vtep,
        resource: kept.host.0,
        network: Some(kept.network),
    }
}
