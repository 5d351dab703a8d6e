//! Addresses of links.

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::{LinkError, Links, failed, or_missing, or_there_already};

impl Links {
    /// The addresses of a link with their prefix lengths, link-local ones included.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNet>, LinkError> {
        Ok(self
            .all_addresses()
            .await?
            .into_iter()
            .filter(|(of, _)| *of == index)
            .map(|(_, net)| net)
            .collect())
    }

    /// The addresses of all links: the link's index and the address.
    pub async fn all_addresses(&self) -> Result<Vec<(u32, IpNet)>, LinkError> {
        let messages: Vec<AddressMessage> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list", "addresses"))?;
        Ok(messages
            .into_iter()
            .filter_map(|message| {
                let of = message.header.index;
                parse(&message).map(|net| (of, net))
            })
            .collect())
    }

    pub async fn add_address(&self, index: u32, address: IpNet) -> Result<bool, LinkError> {
        let mut request = self
            .handle
            .address()
            .add(index, address.addr(), address.prefix_len());
        if let IpNet::V6(_) = address {
            // It was given out and is nobody else's: it is of use now, and not when the kernel comes to
            // say that nobody else has it, before which nothing can be bound to it.
            let flags = AddressAttribute::Flags(AddressFlags::Nodad);
            request.message_mut().attributes.push(flags);
        }
        or_there_already(
            request
                .execute()
                .await
                .map_err(failed("add the address", address)),
        )
    }

    pub async fn delete_address(&self, index: u32, address: IpNet) -> Result<bool, LinkError> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = address.prefix_len();
        message.header.family = match address {
            IpNet::V4(_) => netlink_packet_route::AddressFamily::Inet,
            IpNet::V6(_) => netlink_packet_route::AddressFamily::Inet6,
        };
        message
            .attributes
            .push(AddressAttribute::Local(address.addr()));
        message
            .attributes
            .push(AddressAttribute::Address(address.addr()));
        let result = self.handle.address().del(message).execute().await;
        or_missing(result.map_err(failed("delete the address", address)))
    }

    /// Gives a link exactly these addresses; link-local ones are left alone. Returns whether it had
    /// others.
    pub async fn ensure_addresses(&self, index: u32, want: &[IpNet]) -> Result<bool, LinkError> {
        let have = self.addresses(index).await?;
        let mut changed = false;
        for extra in have
            .iter()
            .filter(|net| !want.contains(net) && !is_link_local(net))
        {
            changed |= self.delete_address(index, *extra).await?;
        }
        for missing in want.iter().filter(|net| !have.contains(net)) {
            changed |= self.add_address(index, *missing).await?;
        }
        Ok(changed)
    }
}

fn is_link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
}

/// The local address; on a point-to-point link `Address` is the other end's.
fn parse(message: &AddressMessage) -> Option<IpNet> {
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
    let any = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
    IpNet::new(local.or(any)?, message.header.prefix_len).ok()
}
