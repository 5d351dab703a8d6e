//! Services of the host and of the core's machine that nobody else must reach.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use rhyzome_end_to_end::{World, stranger};

/// Where they listen, at every address.
pub const PORT: u16 = 7373;

const ANSWERED: Duration = Duration::from_secs(5);

pub struct Canaries {
    /// At the host, and at the core's machine.
    listeners: [TcpListener; 2],
}

impl Canaries {
    pub fn start(world: &World) -> Self {
        let listen = || {
            // Takes IPv4 too, as Linux does unless it is told otherwise.
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Self {
            listeners: [world.host.run(listen), world.core.run(listen)],
        }
    }

    /// How many came since this was asked last.
    pub fn heard(&self) -> usize {
        let came = |listener: &TcpListener| std::iter::from_fn(|| listener.accept().ok()).count();
        self.listeners.iter().map(came).sum()
    }

    /// The control: from the machines themselves, they are reached, at the addresses that were tried.
    pub fn work(&self, world: &World) {
        use rhyzome_end_to_end::world::{CORE, HOST, PUBLIC, PUBLIC_IPV6};
        let own = [
            (&world.host, HOST),
            (&world.host, PUBLIC),
            (&world.host, PUBLIC_IPV6),
            (&world.core, CORE),
        ];
        for (place, address) in own {
            let address = SocketAddr::new(address.parse().unwrap(), PORT);
            let connected =
                place.block_on(async || stranger::connect(address, ANSWERED).await.is_ok());
            assert!(connected, "{address} is not reached by its own machine");
        }
        assert_eq!(self.heard(), own.len());
    }
}
