//! Hosts on one wire: a bridge in a namespace of its own that each of them has a link to.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use rhyzome_hostnet::link::Change;
use rhyzome_hostnet::segment::{self, Holder, Role};
use rhyzome_hostnet::{Links, Mark, Tunnels};
use rhyzome_model::network::{VtepPlacement, bridge_name};
use rhyzome_model::{ComponentId, MacAddr, NetworkId, PlacementId};
use uuid::Uuid;

use crate::mark;
use crate::world::{Place, plug, up};

pub const PORT: u16 = 4789;

/// A network between hosts.
pub struct Wire {
    switch: Place,
    hosts: u8,
    under: Under,
}

/// What the hosts of a wire speak with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    Ipv4,
    Ipv6,
}

impl Under {
    /// The largest packet of an instance that fits into a packet of 1500 bytes.
    pub fn mtu(self) -> u16 {
        match self {
            Self::Ipv4 => 1450,
            Self::Ipv6 => 1430,
        }
    }

    fn address(self, host: u8) -> IpNet {
        match self {
            Self::Ipv4 => IpNet::new([192, 0, 2, host].into(), 24),
            Self::Ipv6 => IpNet::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()].into(), 64),
        }
        .unwrap()
    }
}

/// A host on a wire, at an address of its own.
pub struct Host {
    pub place: Place,
    pub address: IpAddr,
    under: Under,
    pub component: ComponentId,
    pub mark: Mark,
}

/// A network that spans hosts.
#[derive(Clone, Copy)]
pub struct Spanning {
    pub network: NetworkId,
    pub vni: u32,
}

impl Spanning {
    pub fn new(vni: u32) -> Self {
        Self {
            network: NetworkId(Uuid::new_v4()),
            vni,
        }
    }
}

impl Wire {
    pub async fn new(under: Under) -> Self {
        let switch = Place::new("wire").await;
        switch
            .run(|| async {
                Links::open().unwrap().add_bridge("br").await.unwrap();
                up("br").await;
            })
            .await;
        Self {
            switch,
            hosts: 0,
            under,
        }
    }

    pub async fn host(&mut self) -> Host {
        self.hosts += 1;
        let own = self.under.address(self.hosts);
        let place = Place::new("host").await;
        let (name, target) = (format!("h{}", self.hosts), place.0.path());
        self.switch
            .run(move || async move {
                let links = Links::open().unwrap();
                links.add_veth(&name, "under").await.unwrap();
                let (_, port) = up(&name).await;
                let bridge = links.find("br").await.unwrap().unwrap();
                let plugged = Change {
                    controller: Some(bridge.index),
                    ..Change::default()
                };
                links.change(port, plugged).await.unwrap();
                let under = links.find("under").await.unwrap().unwrap();
                let namespace = std::fs::File::open(target).unwrap();
                let moved = Change {
                    namespace: Some(&namespace),
                    ..Change::default()
                };
                links.change(under.index, moved).await.unwrap();
            })
            .await;
        place
            .run(move || async move {
                let (links, under) = up("under").await;
                links.ensure_addresses(under, &[own]).await.unwrap();
            })
            .await;
        Host {
            place,
            address: own.addr(),
            under: self.under,
            component: ComponentId(Uuid::new_v4()),
            mark: mark(),
        }
    }
}

impl Host {
    pub fn tunnels(&self) -> Tunnels {
        Tunnels::of(self.mark, Some(self.address))
    }

    pub fn holder(&self) -> Holder {
        Holder {
            role: Role::Hypervisor,
            mark: self.mark,
        }
    }

    pub async fn segment(&self, on: Spanning) {
        let (holder, mtu) = (self.holder(), self.under.mtu());
        self.place
            .run(move || async move {
                let placement = PlacementId(Uuid::new_v4());
                segment::ensure(on.network, placement, mtu, holder)
                    .await
                    .unwrap();
            })
            .await;
    }

    /// What another host is told of this one.
    pub fn end(&self, on: Spanning, macs: &[&str]) -> VtepPlacement {
        VtepPlacement {
            network: on.network,
            host: self.component,
            address: self.address,
            vni: on.vni,
            port: PORT,
            macs: macs.iter().map(|mac| mac.parse().unwrap()).collect(),
        }
    }

    pub async fn connect(&self, end: VtepPlacement, generation: u64) -> PlacementId {
        let (tunnels, placement) = (self.tunnels(), PlacementId(Uuid::new_v4()));
        self.place
            .run(move || async move {
                tunnels.ensure((placement, generation), &end).await.unwrap();
                let check = tunnels.check((placement, generation), &end).await.unwrap();
                assert_eq!(check, None);
                placement
            })
            .await
    }

    pub async fn instance(&self, on: Spanning, mac: &str, address: &str) -> Place {
        let instance = Place::new("guest").await;
        let mac = mac.parse::<MacAddr>().unwrap().octets();
        let (bridge, address) = (bridge_name(on.network), address.parse().unwrap());
        let tap = format!("t{}", &Uuid::new_v4().simple().to_string()[..10]);
        let guest = instance.0.clone();
        self.place
            .run(move || async move {
                let guest = std::mem::ManuallyDrop::new(Place(guest));
                plug(&guest, &bridge, &tap, mac, vec![address]).await;
            })
            .await;
        instance
    }

    /// Sends a frame to another host as if it came out of a tunnel, from this host's own address.
    pub async fn forge(&self, to: IpAddr, vni: u32, frame: Vec<u8>) {
        let own = self.address;
        self.place
            .run(move || async move {
                let socket = std::net::UdpSocket::bind(SocketAddr::new(own, 0)).unwrap();
                // Flags with the number's, the number, and what is reserved (RFC 7348, section 5).
                let mut packet = vec![8, 0, 0, 0];
                packet.extend((vni << 8).to_be_bytes());
                packet.extend(frame);
                socket.send_to(&packet, SocketAddr::new(to, PORT)).unwrap();
            })
            .await;
    }
}
