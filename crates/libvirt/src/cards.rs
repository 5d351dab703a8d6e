//! The network cards that routers' VMs are to have, one for each network that is carried so (`port`): a file each, named by
//! the network. Neither a new start of the guest nor a lost record of it loses them: they are the networks', and go with
//! these alone.

use std::fs;
use std::io;
use std::path::PathBuf;

use rhyzome_model::network::{bridge_name, card_name, router_mac};
use rhyzome_model::{InstanceId, NetworkId};
use serde::{Deserialize, Serialize};

use crate::domain::Nic;
use crate::record::replace;

/// A network card of a router's VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub network: NetworkId,
    pub instance: InstanceId,
    /// The largest IP packet of the network, in bytes.
    pub mtu: u16,
    /// Whether it is being taken out: a start of the guest leaves it away.
    #[serde(default)]
    pub leaving: bool,
}

impl Card {
    /// What the guest gets. Nothing is filtered: a router passes on what is not its own.
    pub fn nic(&self) -> Nic {
        Nic {
            tap: card_name(self.network),
            bridge: bridge_name(self.network),
            mac: router_mac(self.network),
            mtu: Some(self.mtu),
            slot: None,
        }
    }
}

/// The folder with all of them.
#[derive(Clone, Debug)]
pub struct Cards(PathBuf);

impl Cards {
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn file(&self, network: NetworkId) -> PathBuf {
        self.0.join(network.to_string())
    }

    pub fn of(&self, network: NetworkId) -> io::Result<Option<Card>> {
        match fs::read(self.file(network)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Those that a VM is to have, in the order of their networks' ids.
    pub fn wanted_in(&self, instance: InstanceId) -> io::Result<Vec<Card>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            // What is half written has another name.
            if let Some(network) = name.to_str().and_then(|name| name.parse().ok()) {
                found.extend(self.of(network)?);
            }
        }
        found.retain(|card| card.instance == instance && !card.leaving);
        found.sort_by_key(|card| card.network);
        Ok(found)
    }

    /// Writes it down, unless it is written so.
    pub fn keep(&self, card: Card) -> io::Result<()> {
        if self.of(card.network).is_ok_and(|have| have == Some(card)) {
            return Ok(());
        }
        fs::create_dir_all(&self.0)?;
        replace(&self.file(card.network), &serde_json::to_vec(&card)?)
    }

    pub fn forget(&self, network: NetworkId) -> io::Result<()> {
        match fs::remove_file(self.file(network)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_card_is_its_machines_until_it_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let cards = Cards::new(folder.path().join("cards"));
        let card = |network: u128, instance: u128| Card {
            network: NetworkId(Uuid::from_u128(network)),
            instance: InstanceId(Uuid::from_u128(instance)),
            mtu: 1450,
            leaving: false,
        };
        let (one, two, other) = (card(1, 7), card(2, 7), card(3, 8));
        assert_eq!(cards.wanted_in(one.instance).unwrap(), []);
        for card in [two, other, one] {
            cards.keep(card).unwrap();
        }
        fs::write(folder.path().join("cards/half.new"), "{").unwrap();
        assert_eq!(cards.wanted_in(one.instance).unwrap(), [one, two]);
        let leaving = Card {
            leaving: true,
            ..one
        };
        cards.keep(leaving).unwrap();
        assert_eq!(cards.of(one.network).unwrap(), Some(leaving));
        assert_eq!(cards.wanted_in(one.instance).unwrap(), [two]);
        cards.forget(two.network).unwrap();
        cards.forget(two.network).unwrap();
        assert_eq!(cards.wanted_in(one.instance).unwrap(), []);
    }
}
