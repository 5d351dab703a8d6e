//! Forwarding entries: to which other end a tunnel sends a frame, and which MACs its bridge expects
//! there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures::{StreamExt, TryStreamExt};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};

use super::{LinkError, Links, failed, or_missing};

/// What a tunnel does with frames that are for more than one, or for nobody it knows.
pub const EVERYBODY: [u8; 6] = [0; 6];

/// The entries of one tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// Where frames to a MAC are sent; [`EVERYBODY`] has an entry for each other end.
    pub ends: BTreeSet<([u8; 6], IpAddr)>,
    /// The MACs that the bridge sends into the tunnel.
    pub behind: BTreeSet<[u8; 6]>,
}

impl Links {
    /// The entries of a tunnel that is a bridge's port.
    pub async fn forwarding(&self, index: u32) -> Result<Forwarding, LinkError> {
        // A connection of its own: the kernel filters by link where requests are checked strictly.
        let (connection, handle, _) =
            rtnetlink::new_connection_with_strict_check().map_err(LinkError::Open)?;
        let connection = tokio::spawn(connection);
        let mut request = handle
            .neighbours()
            .get()
            .set_address_family(AddressFamily::Bridge);
        let of_link = NeighbourAttribute::IfIndex(index);
        request.message_mut().attributes.push(of_link);
        let messages: Result<Vec<NeighbourMessage>, _> = request.execute().try_collect().await;
        connection.abort();
        let messages = messages.map_err(failed("list the forwarding entries of link", index))?;
        Ok(parse(index, &messages))
    }

    /// Brings a tunnel's entries from what is there to what is wanted: first what is missing, then what
    /// is too much.
    pub async fn change_forwarding(
        &self,
        index: u32,
        have: &Forwarding,
        want: &Forwarding,
    ) -> Result<(), LinkError> {
        for (mac, end) in want.ends.difference(&have.ends) {
            let flag = if *mac == EVERYBODY {
                NLM_F_APPEND
            } else {
                NLM_F_REPLACE
            };
            let message = to_end(index, *mac, *end);
            self.add_entry(message, flag, *mac).await?;
        }
        for mac in want.behind.difference(&have.behind) {
            self.add_entry(behind(index, *mac), NLM_F_REPLACE, *mac)
                .await?;
        }
        for mac in have.behind.difference(&want.behind) {
            self.delete_entry(behind(index, *mac), *mac).await?;
        }
        for (mac, end) in have.ends.difference(&want.ends) {
            // Where it moved, the entry was replaced, and is not this one any more.
            let moved = *mac != EVERYBODY && want.ends.iter().any(|(wanted, _)| wanted == mac);
            if !moved {
                self.delete_entry(to_end(index, *mac, *end), *mac).await?;
            }
        }
        Ok(())
    }

    async fn add_entry(
        &self,
        message: NeighbourMessage,
        flag: u16,
        mac: [u8; 6],
    ) -> Result<(), LinkError> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | flag;
        let failed = || failed("add a forwarding entry for", hex::encode(mac));
        let mut answers = self
            .handle
            .clone()
            .request(request)
            .map_err(|e| failed()(e))?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(failed()(rtnetlink::Error::NetlinkError(error)));
            }
        }
        Ok(())
    }

    async fn delete_entry(&self, message: NeighbourMessage, mac: [u8; 6]) -> Result<(), LinkError> {
        let result = self.handle.neighbours().del(message).execute().await;
        let failed = failed("delete a forwarding entry for", hex::encode(mac));
        or_missing(result.map_err(failed)).map(drop)
    }
}

fn to_end(index: u32, mac: [u8; 6], end: IpAddr) -> NeighbourMessage {
    let mut message = entry(index, mac, NeighbourFlags::Own, NeighbourState::Permanent);
    let end = NeighbourAttribute::Destination(NeighbourAddress::from(end));
    message.attributes.push(end);
    message
}

fn behind(index: u32, mac: [u8; 6]) -> NeighbourMessage {
    // Static to a bridge; *permanent* would be its own address.
    entry(
        index,
        mac,
        NeighbourFlags::Controller,
        NeighbourState::Noarp,
    )
}

fn entry(
    index: u32,
    mac: [u8; 6],
    flags: NeighbourFlags,
    state: NeighbourState,
) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = state;
    message.header.flags = flags;
    let mac = NeighbourAttribute::LinkLayerAddress(mac.to_vec());
    message.attributes.push(mac);
    message
}

fn parse(index: u32, messages: &[NeighbourMessage]) -> Forwarding {
    let mut forwarding = Forwarding::default();
    for message in messages {
        let (mut mac, mut end) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::LinkLayerAddress(octets) => {
                    mac = <[u8; 6]>::try_from(octets.as_slice()).ok();
                }
                NeighbourAttribute::Destination(address) => end = ip(address),
                _ => {}
            }
        }
        let own = message.header.flags.contains(NeighbourFlags::Own);
        match (mac, end) {
            _ if message.header.ifindex != index => {}
            (Some(mac), Some(end)) if own => {
                forwarding.ends.insert((mac, end));
            }
            (Some(mac), _) if !own && message.header.state == NeighbourState::Noarp => {
                forwarding.behind.insert(mac);
            }
            _ => {}
        }
    }
    forwarding
}

/// An address of a forwarding entry comes without its family.
fn ip(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some((*address).into()),
        NeighbourAddress::Inet6(address) => Some((*address).into()),
        NeighbourAddress::Other(octets) => match octets.len() {
            4 => Some(<[u8; 4]>::try_from(octets.as_slice()).ok()?.into()),
            16 => Some(<[u8; 16]>::try_from(octets.as_slice()).ok()?.into()),
            _ => None,
        },
        _ => None,
    }
}
