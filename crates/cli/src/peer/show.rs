//! How peers are shown.

use rhyzome_model::Timestamp;
use rhyzome_model::resource::{Peer, PeerNetwork, PeerSummary};

use crate::output::table::Tone;
use crate::output::{Cell, Details, Row, Thing, time};

impl Row for PeerSummary {
    const HEADER: &'static [&'static str] = &["NAME", "PHASE", "IPV4", "NETWORKS", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let networks: Vec<_> = self.networks.iter().map(ToString::to_string).collect();
        vec![
            Cell::new(&self.meta.name),
            Cell::phase(self.phase),
            Cell::new(self.ipv4),
            Cell::maybe((!networks.is_empty()).then(|| networks.join(", "))),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

impl Thing for Peer {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let networks = self.status.networks.iter().map(|network| {
            let endpoint = network.endpoint.address.as_ref();
            let ready = match network.ready {
                true => Cell::new("yes").tone(Tone::Good),
                false => Cell::new("no").tone(Tone::Busy),
            };
            vec![
                Cell::new(&network.network),
                ready,
                Cell::new(network.ipv4),
                Cell::new(network.ipv6),
                Cell::maybe(endpoint),
                Cell::new(applied(network)),
            ]
        });
        let header = &["NETWORK", "READY", "IPV4", "IPV6", "ENDPOINT", "APPLIED"];
        Details::of(&self.meta, now)
            .phase(self.status.phase)
            .text("public key", &self.spec.public_key)
            .text("ipv4", self.status.ipv4)
            .text("ipv6", self.status.ipv6)
            .section("networks", header, networks.collect())
            .conditions(&self.status.conditions, now)
    }
}

/// Which networks a peer reaches, in a sentence.
pub fn reaches(peer: &Peer) -> String {
    let names: Vec<_> = peer.spec.networks.iter().map(ToString::to_string).collect();
    match names.is_empty() {
        true => "reaches no network".to_owned(),
        false => format!("reaches {}", names.join(", ")),
    }
}

/// When the endpoint was asked and when it had applied it.
pub fn applied(network: &PeerNetwork) -> String {
    let asked = network.asked_at;
    match network.applied_at {
        Some(applied) => {
            let millis = applied.as_millis().saturating_sub(asked.as_millis());
            format!("asked {asked}, applied {millis} ms later")
        }
        None => format!("asked {asked}, not applied yet"),
    }
}
