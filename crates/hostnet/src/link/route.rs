//! Routes in the main table.

use std::net::IpAddr;

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use rtnetlink::RouteMessageBuilder;

use super::{LinkError, Links, failed, or_missing, or_there_already};

/// "To these addresses through this link".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `0.0.0.0/0` and `::/0` are the default routes.
    pub to: IpNet,
    pub via: Option<IpAddr>,
    /// The index of the link.
    pub link: u32,
}

impl Links {
    pub async fn add_route(&self, route: Route) -> Result<bool, LinkError> {
        let result = self
            .handle
            .route()
            .add(message(route))
            .replace()
            .execute()
            .await;
        or_there_already(result.map_err(failed("add the route to", route.to)))
    }

    pub async fn delete_route(&self, route: Route) -> Result<bool, LinkError> {
        let result = self.handle.route().del(message(route)).execute().await;
        or_missing(result.map_err(failed("delete the route to", route.to)))
    }

    /// The unicast routes of the main table, those that follow from addresses included.
    pub async fn routes(&self) -> Result<Vec<Route>, LinkError> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = family;
            let messages: Vec<RouteMessage> = self
                .handle
                .route()
                .get(filter)
                .execute()
                .try_collect()
                .await
                .map_err(failed("list", "routes"))?;
            routes.extend(messages.iter().filter_map(parse));
        }
        Ok(routes)
    }
}

fn message(route: Route) -> RouteMessage {
    match route.to {
        IpNet::V4(to) => {
            let mut builder = RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .output_interface(route.link);
            match route.via {
                Some(IpAddr::V4(via)) => builder = builder.gateway(via),
                Some(IpAddr::V6(via)) => builder = builder.via(via),
                None => builder = builder.scope(netlink_packet_route::route::RouteScope::Link),
            }
            builder.build()
        }
        IpNet::V6(to) => {
            let mut builder = RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .output_interface(route.link);
            if let Some(IpAddr::V6(via)) = route.via {
                builder = builder.gateway(via);
            }
            builder.build()
        }
    }
}

fn parse(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let mut table = u32::from(header.table);
    let mut to = None;
    let mut via = None;
    let mut link = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    if header.kind != RouteType::Unicast || table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return None;
    }
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        _ => IpAddr::from([0; 16]),
    };
    let to = IpNet::new(to.unwrap_or(unspecified), header.destination_prefix_length).ok()?;
    Some(Route {
        to,
        via,
        link: link?,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
