//! The tap of a router's network card in a segment (`port`): QEMU makes it as a port of the segment's bridge, and a bridge
//! that had to be made anew has it as one again.

use rhyzome_model::NetworkId;
use rhyzome_model::network::{bridge_name, card_name};

use crate::link::Change;
use crate::{Link, LinkError, Links, SegmentError};

/// Makes the tap a port of its bridge, where there is one that is not.
pub(crate) async fn plug_again(
    links: &Links,
    network: NetworkId,
    bridge: &Link,
) -> Result<(), LinkError> {
    let Some(tap) = links.find(&card_name(network)).await? else {
        return Ok(());
    };
    if tap.controller == Some(bridge.index) {
        return Ok(());
    }
    let change = Change {
        controller: Some(bridge.index),
        ..Change::default()
    };
    links.change(tap.index, change).await
}

/// Whether the tap is there, as a port of its bridge.
pub async fn is_plugged(network: NetworkId) -> Result<bool, SegmentError> {
    let links = Links::open().map_err(SegmentError::Link)?;
    let find = async |name: String| links.find(&name).await.map_err(SegmentError::Link);
    let (tap, bridge) = (
        find(card_name(network)).await?,
        find(bridge_name(network)).await?,
    );
    let bridge = bridge.map(|bridge| bridge.index);
    Ok(tap.is_some_and(|tap| bridge.is_some() && tap.controller == bridge))
}

/// Whether the tap is there, wherever it is plugged.
pub async fn has_tap(network: NetworkId) -> Result<bool, SegmentError> {
    is_there(&card_name(network)).await
}

/// Whether the segment's bridge is there.
pub async fn has_bridge(network: NetworkId) -> Result<bool, SegmentError> {
    is_there(&bridge_name(network)).await
}

async fn is_there(link: &str) -> Result<bool, SegmentError> {
    let links = Links::open().map_err(SegmentError::Link)?;
    let found = links.find(link).await.map_err(SegmentError::Link)?;
    Ok(found.is_some())
}
