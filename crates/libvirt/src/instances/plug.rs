//! Network cards of networks, plugged into routers' VMs while they run, and out of them.
//!
//! ```text
//!   noted ── the VM runs ──► plugged in      leaving ── the guest lets go of it ──► forgotten
//!     └──── the VM does not: it starts with it         └── the VM ends, and starts without it ─┘
//! ```
//!
//! What is noted comes before what is done, under the instance's lock: whoever starts the guest next has all that is
//! noted. That a guest lets go of a card takes as long as the guest wants, so it is asked and looked at again.

use std::time::Duration;

use rhyzome_component::DriverError;
use rhyzome_hostnet::card;
use rhyzome_model::NetworkId;
use rhyzome_model::network::router_mac;

use super::{Instances, Slot, from_disk, from_libvirt};
use crate::cards::Card;
use crate::domain::Nic;
use crate::segments;

/// How long a guest has to let go of a card before the removal is tried again.
const LET_GO: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(250);

fn unkept(error: std::io::Error) -> DriverError {
    from_disk("what is known of a network card could not be kept", error)
}

impl Instances {
    /// Sees to it that a VM has a network card from now on. The VM need not run, nor be known yet.
    pub async fn plug(&self, card: Card) -> Result<(), DriverError> {
        let before = self.cards.of(card.network).unwrap_or_default();
        if before.is_some_and(|before| before.instance != card.instance) {
            self.unplug(card.network).await?;
        }
        let slot = self.slot(card.instance);
        let _working = slot.work().await;
        self.cards.keep(card).map_err(unkept)?;
        self.plug_in(&slot, card).await
    }

    /// Plugs in what is missing of the cards that a running VM is to have. The caller has its lock.
    pub(super) async fn plug_in_all(&self, slot: &Slot) -> Result<(), DriverError> {
        for card in self.cards.wanted_in(slot.id).map_err(unkept)? {
            if has_bridge(card.network).await? {
                self.plug_in(slot, card).await?;
            }
        }
        Ok(())
    }

    async fn plug_in(&self, slot: &Slot, card: Card) -> Result<(), DriverError> {
        if self.is_in(slot, card.network).await? != Some(false) {
            return Ok(());
        }
        let plugged = self.hypervisor.plug(slot.uuid(), card.nic()).await;
        plugged.map_err(|error| {
            let text = "the network card could not be plugged into the router's VM";
            DriverError::transient(text).with_source(error)
        })
    }

    /// Takes a network's card out of the VM that has it. Fine where none has.
    pub async fn unplug(&self, network: NetworkId) -> Result<(), DriverError> {
        let Some(card) = self.cards.of(network).map_err(unkept)? else {
            return Ok(());
        };
        let slot = self.slot(card.instance);
        let _working = slot.work().await;
        let leaving = Card {
            leaving: true,
            ..card
        };
        self.cards.keep(leaving).map_err(unkept)?;
        let limit = tokio::time::Instant::now() + LET_GO;
        let mut refused = None;
        while let Some(is_in) = self.is_in(&slot, network).await? {
            // libvirt forgets the card before QEMU has closed its tap.
            let has_tap = card::has_tap(network).await.map_err(segments::failed)?;
            if !is_in && !has_tap {
                break;
            }
            if tokio::time::Instant::now() >= limit {
                let text = "the router's guest does not let go of the network card";
                let error = DriverError::transient(text);
                return Err(match refused {
                    Some(refused) => error.with_source(refused),
                    None => error,
                });
            }
            if is_in {
                // It may be on its way out already, which libvirt then says.
                refused = self.hypervisor.unplug(slot.uuid(), card.nic()).await.err();
            }
            tokio::time::sleep(LOOK).await;
        }
        self.cards.forget(network).map_err(unkept)
    }

    /// Whether a VM has a network's card; none where it does not run.
    async fn is_in(&self, slot: &Slot, network: NetworkId) -> Result<Option<bool>, DriverError> {
        if self.domain(slot).await?.is_none() {
            return Ok(None);
        }
        let plugged = self.hypervisor.plugged(slot.uuid()).await;
        let plugged = plugged.map_err(from_libvirt)?;
        Ok(plugged.map(|macs| macs.contains(&router_mac(network))))
    }

    /// What of a card is not as it should be; none where nothing is.
    pub async fn check_card(&self, card: Card) -> Result<Option<String>, DriverError> {
        if self.cards.of(card.network).map_err(unkept)? != Some(card) {
            return Ok(Some("its network card is not known".to_owned()));
        }
        let slot = self.slot(card.instance);
        // Whoever works on the VM plugs in what is missing.
        let Ok(_working) = slot.busy.try_lock() else {
            return Ok(None);
        };
        let missing = match self.is_in(&slot, card.network).await? {
            None => false,
            Some(true) => !card::is_plugged(card.network)
                .await
                .map_err(segments::failed)?,
            Some(false) => true,
        };
        Ok(missing.then(|| "its network card is not in its router's VM".to_owned()))
    }

    /// The cards that a VM can be started with: those whose bridges are there already. The others are plugged in with these.
    pub(super) async fn cards_to_start_with(&self, slot: &Slot) -> Result<Vec<Nic>, DriverError> {
        let mut nics = Vec::new();
        for card in self.cards.wanted_in(slot.id).map_err(unkept)? {
            if has_bridge(card.network).await? {
                nics.push(card.nic());
            }
        }
        Ok(nics)
    }
}

async fn has_bridge(network: NetworkId) -> Result<bool, DriverError> {
    card::has_bridge(network).await.map_err(segments::failed)
}
