//! The DHCP client: asks, keeps what came, and says when it changed.

use core::fmt::Write;
use core::net::Ipv4Addr;

use hello::options::{self, CLASSLESS_ROUTES, HOST_NAME, MTU};
use hello::text::Text;
use smoltcp::iface::{Route, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{self, Event, RetryConfig};
use smoltcp::time::Duration;
use smoltcp::wire::{DhcpOption, Ipv4Cidr};

use crate::machine::once::Once;
use crate::machine::serial::say;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const NAME_SERVER: u8 = 6;
const WANTED: [u8; 6] = [
    SUBNET_MASK,
    ROUTER,
    NAME_SERVER,
    HOST_NAME,
    MTU,
    CLASSLESS_ROUTES,
];
/// A DHCP message without option overload is never longer here: one Ethernet frame.
const LONGEST: usize = 1500;
const MOST_ROUTES: usize = 6;
const MOST_DNS: usize = 3;

static PACKET: Once<[u8; LONGEST]> = Once::new([0; LONGEST]);
static OUTGOING: Once<[DhcpOption<'static>; 1]> = Once::new([DhcpOption {
    kind: HOST_NAME,
    data: &[],
}]);

/// A list in place, up to `N` long; what is more is left out.
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> List<T, N> {
    fn collect(empty: T, from: impl Iterator<Item = T>) -> Self {
        let mut list = Self {
            items: [empty; N],
            len: 0,
        };
        for (slot, item) in list.items.iter_mut().zip(from) {
            *slot = item;
            list.len += 1;
        }
        list
    }

    /// What is in it.
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }

    /// Goes through it.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.as_slice().iter()
    }
}

/// What a server gave.
pub struct Lease {
    /// Its own address.
    pub address: Ipv4Cidr,
    /// Where packets go that are not for the link.
    pub routes: List<Route, MOST_ROUTES>,
    /// Name servers.
    pub dns: List<Ipv4Addr, MOST_DNS>,
    /// Largest IP packet.
    pub mtu: Option<u16>,
    hostname: Text<64>,
}

impl Lease {
    /// The name that the server gave.
    pub fn hostname(&self) -> Option<&str> {
        (!self.hostname.is_empty()).then(|| self.hostname.as_str())
    }
}

/// The client, with its lease when it has one.
pub struct Client {
    handle: SocketHandle,
    lease: Option<Lease>,
}

impl Client {
    /// Begins to ask, under a name if there is one.
    pub fn start(sockets: &mut SocketSet<'static>, hostname: Option<&'static str>) -> Self {
        let mut socket = dhcpv4::Socket::new();
        let mut retry = RetryConfig::default();
        // The switch or the server may be a moment later than we are.
        retry.discover_timeout = Duration::from_secs(1);
        retry.initial_request_timeout = Duration::from_secs(1);
        socket.set_retry_config(retry);
        socket.set_parameter_request_list(&WANTED);
        socket.set_receive_packet_buffer(&mut PACKET.take()[..]);
        if let Some(hostname) = hostname {
            let outgoing = OUTGOING.take();
            outgoing[0].data = hostname.as_bytes();
            socket.set_outgoing_options(outgoing);
        }
        Self {
            handle: sockets.add(socket),
            lease: None,
        }
    }

    /// The lease held.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Takes note of what the server said. Returns whether the lease changed.
    pub fn poll(&mut self, sockets: &mut SocketSet<'static>) -> bool {
        match sockets
            .get_mut::<dhcpv4::Socket<'static>>(self.handle)
            .poll()
        {
            None => false,
            Some(Event::Configured(config)) => {
                say!(
                    "net: DHCP lease of {} from {}",
                    config.address,
                    config.server.address
                );
                self.lease = Some(read(&config));
                true
            }
            Some(Event::Deconfigured) => {
                let had = self.lease.take().is_some();
                if had {
                    say!("net: DHCP lease lost, asking again");
                }
                had
            }
        }
    }
}

fn read(config: &dhcpv4::Config<'_>) -> Lease {
    let option = |kind| {
        let packet = config.packet.as_ref()?;
        packet
            .options()
            .find(|option| option.kind == kind)
            .map(|option| option.data)
    };
    let mut hostname = Text::new();
    let name = option(HOST_NAME)
        .and_then(|name| core::str::from_utf8(name).ok())
        .unwrap_or_default();
    // A name that is too long for DNS is as good as none.
    let _ = hostname.write_str(name.trim_end_matches('\0'));
    let none = Route::new_ipv4_gateway(Ipv4Addr::UNSPECIFIED);
    // RFC 3442: who gets option 121 does not look at the router option.
    let routes = match option(CLASSLESS_ROUTES) {
        Some(bytes) => List::collect(none, options::classless_routes(bytes).filter_map(route)),
        None => List::collect(none, config.router.into_iter().map(Route::new_ipv4_gateway)),
    };
    Lease {
        address: config.address,
        routes,
        dns: List::collect(Ipv4Addr::UNSPECIFIED, config.dns_servers.iter().copied()),
        mtu: option(MTU).and_then(options::mtu),
        hostname,
    }
}

/// The stack's form of a route. A single host on the link is its own next hop; a whole network on the link beside our
/// own has no such form, and is left out.
fn route(from: options::Route) -> Option<Route> {
    let on_link = from.router.is_unspecified();
    if on_link && from.prefix != 32 {
        say!(
            "net: left out the on-link route to {}/{}",
            from.destination,
            from.prefix
        );
        return None;
    }
    let via_router = if on_link {
        from.destination
    } else {
        from.router
    };
    let cidr = Ipv4Cidr::new(from.destination, from.prefix);
    Some(Route {
        cidr: cidr.into(),
        via_router: via_router.into(),
        preferred_until: None,
        expires_at: None,
    })
}
