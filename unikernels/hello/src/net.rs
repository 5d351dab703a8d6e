//! The network stack: one card, its addresses from the command line or by DHCP, and the sockets.
//!
//! Leaves out name resolution, DHCPv6 and address autoconfiguration: an IPv6 address beside the link-local one comes
//! from the command line.

mod dhcp;
mod random;

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use hello::cmdline::{Network, Settings};
use hello::page::Mac;
use smoltcp::iface::{Config, Interface, PollResult, Route, SocketSet, SocketStorage};
use smoltcp::socket::Socket;
use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Cidr, Ipv6Cidr};

use crate::machine::interrupts::Pace;
use crate::machine::memory::Mapper;
use crate::machine::once::Once;
use crate::machine::serial::say;
use crate::machine::{clock, pci};
use crate::server::CONNECTIONS;
use crate::virtio::net::{Card, Found, is_card};

use dhcp::Client;

/// One socket a connection, and one for DHCP.
const SOCKETS: usize = CONNECTIONS + 1;
/// Cards looked at: more than a machine has that serves one page.
const CARDS: usize = 8;
const MOST_DNS: usize = 4;

static STORAGE: Once<[SocketStorage<'static>; SOCKETS]> =
    Once::new([SocketStorage::EMPTY; SOCKETS]);

/// Everything between the card and the sockets.
pub struct Stack {
    card: Card,
    interface: Interface,
    /// The sockets, among them those of the server.
    pub sockets: SocketSet<'static>,
    settings: Settings<'static>,
    dhcp: Option<Client>,
}

/// Starts the card that the settings name, or else the first. `None`, with a word on the console, where there is none.
pub fn start(settings: Settings<'static>, mapper: &mut Mapper) -> Option<Stack> {
    let card = match choose(settings.mac, mapper)?.start() {
        Ok(card) => card,
        Err(error) => {
            say!("net: cannot use the network card: {error}");
            return None;
        }
    };
    let wakes = if card.interrupts {
        "interrupts"
    } else {
        "polled every millisecond"
    };
    say!(
        "net: virtio network card {}, MTU {}, {wakes}",
        Mac(card.mac),
        card.mtu()
    );
    Some(Stack::new(card, settings))
}

fn choose(wanted: Option<[u8; 6]>, mapper: &mut Mapper) -> Option<Found> {
    let mut functions = [None; CARDS];
    let mut count = 0;
    pci::scan(&mut |function| {
        if is_card(function) && count < CARDS {
            functions[count] = Some(function);
            count += 1;
        }
    });
    let mut first = None;
    for function in functions.into_iter().flatten() {
        match Found::open(function, mapper) {
            Ok(found) if Some(found.mac) == wanted => return Some(found),
            Ok(found) => first = first.or(Some(found)),
            Err(error) => say!("net: cannot use the network card at {function}: {error}"),
        }
    }
    match (&first, wanted) {
        (None, _) => say!("net: no virtio network card: nothing can be served"),
        (Some(found), Some(mac)) => say!(
            "net: no network card {}, using {}",
            Mac(mac),
            Mac(found.mac)
        ),
        (Some(_), None) => {}
    }
    first
}

impl Stack {
    fn new(mut card: Card, settings: Settings<'static>) -> Self {
        let interface = interface(&mut card);
        let mut sockets = SocketSet::new(&mut STORAGE.take()[..]);
        let dhcp = settings.ipv4.is_none().then(|| {
            say!("net: asking for an IPv4 address by DHCP");
            Client::start(&mut sockets, settings.hostname)
        });
        let mut stack = Self {
            card,
            interface,
            sockets,
            settings,
            dhcp,
        };
        stack.configure();
        stack
    }

    /// Sends and receives what there is. Returns whether a socket may have changed.
    pub fn poll(&mut self) -> bool {
        self.card.opening.set(opening(&self.sockets));
        let result = self
            .interface
            .poll(now(), &mut self.card, &mut self.sockets);
        let changed = self
            .dhcp
            .as_mut()
            .is_some_and(|dhcp| dhcp.poll(&mut self.sockets));
        if changed {
            self.reconfigure();
        }
        changed || matches!(result, PollResult::SocketStateChanged)
    }

    /// How often to look, with connections open or without.
    pub fn pace(&self, busy: bool) -> Pace {
        let busy = busy || !self.card.opening.is_empty();
        match (self.card.interrupts, busy) {
            (false, _) => Pace::Polling,
            (true, true) => Pace::Busy,
            (true, false) => Pace::Idle,
        }
    }

    /// Whether packets wait.
    pub fn has_received(&self) -> bool {
        self.card.has_received()
    }

    /// The name from the command line, or else from DHCP.
    pub fn hostname(&self) -> &str {
        let leased = self
            .dhcp
            .as_ref()
            .and_then(|dhcp| dhcp.lease())
            .and_then(|lease| lease.hostname());
        self.settings.hostname.or(leased).unwrap_or("hello")
    }

    /// The network's name.
    pub fn network(&self) -> Option<&'static str> {
        self.settings.network
    }

    /// The card's address.
    pub fn mac(&self) -> [u8; 6] {
        self.card.mac
    }

    /// Whether the IPv4 address comes by DHCP.
    pub fn uses_dhcp(&self) -> bool {
        self.dhcp.is_some()
    }

    /// Its own addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.interface
            .ip_addrs()
            .iter()
            .map(|cidr| (cidr.address().into(), cidr.prefix_len()))
    }

    /// Its ways out.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        let routes = self.interface.routes();
        [
            routes.get_default_ipv4_route(),
            routes.get_default_ipv6_route(),
        ]
        .into_iter()
        .flatten()
        .map(|route| route.via_router.into())
    }

    /// The name servers it was told.
    pub fn dns(&self) -> impl Iterator<Item = IpAddr> {
        let leased = self
            .dhcp
            .as_ref()
            .and_then(|dhcp| dhcp.lease())
            .map(|lease| lease.dns.as_slice());
        let leased = leased
            .unwrap_or_default()
            .iter()
            .map(|address| IpAddr::V4(*address));
        self.settings.dns.into_iter().chain(leased).take(MOST_DNS)
    }

    /// After a change of the lease. A new MTU takes a new interface: it is fixed in there.
    fn reconfigure(&mut self) {
        let mtu = self
            .dhcp
            .as_ref()
            .and_then(Client::lease)
            .and_then(|lease| lease.mtu);
        if self.card.set_mtu(mtu) {
            say!("net: MTU {}", self.card.mtu());
            self.interface = interface(&mut self.card);
        }
        self.configure();
        self.announce();
    }

    /// Gives the interface the addresses and routes of the settings and of the lease.
    fn configure(&mut self) {
        let lease = self.dhcp.as_ref().and_then(Client::lease);
        let ipv4 = self.settings.ipv4;
        let ipv4_address = ipv4.map(
            |Network {
                 address, prefix, ..
             }| Ipv4Cidr::new(address, prefix),
        );
        let ipv4_address = ipv4_address.or(lease.map(|lease| lease.address));
        let ipv6 = self.settings.ipv6;
        let ipv6_address = ipv6.map(
            |Network {
                 address, prefix, ..
             }| Ipv6Cidr::new(address, prefix),
        );
        let link_local = Ipv6Cidr::new(link_local(self.card.mac), 64);
        let addresses = [
            ipv4_address.map(IpCidr::Ipv4),
            ipv6_address.map(IpCidr::Ipv6),
            Some(IpCidr::Ipv6(link_local)),
        ];
        self.interface.update_ip_addrs(|list| {
            list.clear();
            list.extend(addresses.into_iter().flatten());
        });

        let gateways = [
            ipv4.and_then(|ipv4| ipv4.gateway)
                .map(Route::new_ipv4_gateway),
            ipv6.and_then(|ipv6| ipv6.gateway)
                .map(Route::new_ipv6_gateway),
        ];
        let mut left_out = 0;
        self.interface.routes_mut().update(|list| {
            list.clear();
            let leased = lease
                .into_iter()
                .flat_map(|lease| lease.routes.iter().copied());
            for route in gateways.into_iter().flatten().chain(leased) {
                left_out += usize::from(list.push(route).is_err());
            }
        });
        if left_out > 0 {
            say!("net: {left_out} routes are more than fit, and left out");
        }
    }

    /// Says where the server is to be found, once it is.
    pub fn announce(&self) {
        if self
            .dhcp
            .as_ref()
            .is_some_and(|dhcp| dhcp.lease().is_none())
            && self.settings.ipv6.is_none()
        {
            return;
        }
        for (address, prefix) in self.addresses() {
            match address {
                IpAddr::V4(ip) => say!("http: listening on http://{ip}/ (/{prefix})"),
                IpAddr::V6(ip) if ip.is_unicast_link_local() => {}
                IpAddr::V6(ip) => say!("http: listening on http://[{ip}]/ (/{prefix})"),
            }
        }
        for gateway in self.gateways() {
            say!("net: gateway {gateway}");
        }
    }
}

/// Who has been answered, and has not answered yet.
fn opening(sockets: &SocketSet<'static>) -> impl Iterator<Item = SocketAddr> {
    sockets.iter().filter_map(|(_, socket)| match socket {
        Socket::Tcp(socket) if socket.state() == State::SynReceived => {
            let from = socket.remote_endpoint()?;
            Some(SocketAddr::new(from.addr.into(), from.port))
        }
        Socket::Tcp(_) | Socket::Dhcpv4(_) => None,
    })
}

fn now() -> Instant {
    Instant::from_micros(i64::try_from(clock::now_micros()).unwrap_or(i64::MAX))
}

fn interface(card: &mut Card) -> Interface {
    let mut config = Config::new(EthernetAddress(card.mac).into());
    config.random_seed = random::seed();
    Interface::new(config, card, now())
}

/// RFC 4291, appendix A.
fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    let interface = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(interface))
}
