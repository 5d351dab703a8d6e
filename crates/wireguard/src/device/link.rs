//! Addresses and routes of a TUN device, over netlink. What is there already is fine: an address brings a
//! route of its own, which may be one of those asked for.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::{Error, Handle, RouteMessageBuilder};

pub(crate) async fn add_address(netlink: &Handle, index: u32, address: IpNet) -> Result<(), Error> {
    let add = netlink.address();
    let mut add = add.add(index, address.addr(), address.prefix_len());
    if address.addr().is_ipv6() {
        // Nobody else is there who could have it; until the kernel has come to see that, it is of no use.
        let flags = AddressAttribute::Flags(AddressFlags::Nodad);
        add.message_mut().attributes.push(flags);
    }
    or_there(add.execute().await)
}

pub(crate) async fn add_route(netlink: &Handle, index: u32, prefix: &IpNet) -> Result<(), Error> {
    let length = prefix.prefix_len();
    let message = match prefix {
        IpNet::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(net.network(), length)
            .output_interface(index)
            .build(),
        IpNet::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(net.network(), length)
            .output_interface(index)
            .build(),
    };
    or_there(netlink.route().add(message).execute().await)
}

fn or_there(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::NetlinkError(message)) if message.raw_code() == -(Errno::EEXIST as i32) => {
            Ok(())
        }
        other => other,
    }
}
