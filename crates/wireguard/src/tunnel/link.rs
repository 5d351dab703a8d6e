//! Between the WireGuard device and who has the TCP: packets both ways, through bounded queues to the stack in
//! this crate, or through a TUN device's descriptor to the kernel.
//!
//! The device hands over a packet while it holds its own locks, so handing over never waits: a
//! packet that finds the queue full is dropped and counted, and TCP sends it again. The stack
//! waits instead: it makes no packet before there is room for it.

#[cfg(target_os = "linux")]
pub(super) mod tun;

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use gotatun::packet::{Ip, Packet, PacketBufPool};
use gotatun::tun::{IpRecv, IpSend, MtuWatcher};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use tokio::sync::mpsc;

/// Packets on their way to the stack: about what two full windows hold.
const ARRIVALS: usize = 2048;

/// Packets on their way to the device, which has a longer queue of its own.
const DEPARTURES: usize = 256;

/// The four ends of the link.
pub(super) struct Link {
    /// Where the device puts what it decrypted.
    pub(super) inlet: Inlet,
    /// Where the driver finds it.
    pub(super) arrivals: mpsc::Receiver<Packet>,
    /// The stack's network card.
    pub(super) wire: Wire,
    /// Where the device finds what is to be encrypted.
    pub(super) outlet: Outlet,
}

pub(super) fn new(mtu: u16) -> Link {
    let (arrive, arrivals) = mpsc::channel(ARRIVALS);
    let (depart, departures) = mpsc::channel(DEPARTURES);
    let dropped = Arc::new(AtomicU64::new(0));
    Link {
        inlet: Inlet(Into::Stack {
            arrive,
            dropped: Arc::clone(&dropped),
        }),
        arrivals,
        wire: Wire {
            arrived: VecDeque::new(),
            depart,
            mtu,
            dropped,
        },
        outlet: Outlet {
            from: From::Stack(departures),
            batch: Vec::new(),
            mtu,
        },
    }
}

/// The same ends of a TUN device.
#[cfg(target_os = "linux")]
pub(super) fn of_tun(tun: tun::Tun, mtu: u16) -> (Inlet, Outlet) {
    let tun = Arc::new(tun);
    let outlet = Outlet {
        from: From::Tun(Arc::clone(&tun)),
        batch: Vec::new(),
        mtu,
    };
    (Inlet(Into::Tun(tun)), outlet)
}

/// Takes decrypted packets from the device.
pub(super) struct Inlet(Into);

enum Into {
    Stack {
        arrive: mpsc::Sender<Packet>,
        dropped: Arc<AtomicU64>,
    },
    #[cfg(target_os = "linux")]
    Tun(Arc<tun::Tun>),
}

impl IpSend for Inlet {
    async fn send(&mut self, packet: Packet<Ip>) -> io::Result<()> {
        match &self.0 {
            Into::Stack { arrive, dropped } => {
                if arrive.try_send(packet.into_bytes()).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
            #[cfg(target_os = "linux")]
            Into::Tun(tun) => tun.write(&packet.into_bytes()).await,
        }
    }
}

/// Gives the device packets to encrypt.
pub(super) struct Outlet {
    from: From,
    batch: Vec<Packet<Ip>>,
    mtu: u16,
}

enum From {
    Stack(mpsc::Receiver<Packet<Ip>>),
    #[cfg(target_os = "linux")]
    Tun(Arc<tun::Tun>),
}

impl IpRecv for Outlet {
    async fn recv<'a>(
        &'a mut self,
        pool: &mut PacketBufPool,
    ) -> io::Result<impl Iterator<Item = Packet<Ip>> + Send + 'a> {
        match &mut self.from {
            From::Stack(departures) => {
                let received = departures.recv_many(&mut self.batch, DEPARTURES).await;
                if received == 0 {
                    // The stack is gone, and an error would be retried at once and for ever.
                    pending::<()>().await;
                }
            }
            #[cfg(target_os = "linux")]
            From::Tun(tun) => tun.read(pool, &mut self.batch).await?,
        }
        Ok(self.batch.drain(..))
    }

    fn mtu(&self) -> MtuWatcher {
        MtuWatcher::new(self.mtu)
    }
}

/// The stack's network card.
pub(super) struct Wire {
    /// What the driver has received and the stack has not seen.
    pub(super) arrived: VecDeque<Packet>,
    depart: mpsc::Sender<Packet<Ip>>,
    mtu: u16,
    dropped: Arc<AtomicU64>,
}

impl Wire {
    /// The queue to wait at if the stack could send nothing for want of room in it.
    pub(super) fn stalled(&self) -> Option<mpsc::Sender<Packet<Ip>>> {
        (self.depart.capacity() == 0).then(|| self.depart.clone())
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Device for Wire {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Departing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Arrived, Departing<'_>)> {
        // An answer must have room, so that no packet is read whose answer would be lost.
        let room = self.depart.try_reserve().ok()?;
        let packet = self.arrived.pop_front()?;
        Some((Arrived(packet), Departing(room)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Departing<'_>> {
        self.depart.try_reserve().ok().map(Departing)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu.into();
        capabilities
    }
}

pub(super) struct Arrived(Packet);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub(super) struct Departing<'a>(mpsc::Permit<'a, Packet<Ip>>);

impl TxToken for Departing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut bytes = BytesMut::zeroed(length);
        let written = write(&mut bytes);
        // The stack writes nothing but IP packets; were it to, the packet would be lost.
        if let Ok(packet) = Packet::from_bytes(bytes).try_into_ip() {
            self.0.send(packet);
        }
        written
    }
}
