//! A virtio network card (VIRTIO 1.2, 5.1) as a device of smoltcp. One queue each way, no offloads.

use hello::opening::Opening;
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::queue::{BUFFER, LONGEST, Memory, Queue, Writer};
use super::transport::{Error, Transport};
use crate::machine::memory::Mapper;
use crate::machine::once::Once;
use crate::machine::pci::{self, Function};

const VIRTIO: u16 = 0x1af4;
const TRANSITIONAL: u16 = 0x1000;
const MODERN: u16 = 0x1041;

const RECEIVE: u16 = 0;
const SEND: u16 = 1;

const HAS_MTU: u64 = 1 << 3;
const HAS_MAC: u64 = 1 << 5;
const MAC_OFFSET: usize = 0;
const MTU_OFFSET: usize = 10;

/// The header before each frame, in both directions; all zero without offloads (5.1.6).
const HEADER: usize = 12;
const ETHERNET_HEADER: usize = 14;
const LARGEST_MTU: u16 = 1500;
/// RFC 791: what every host takes in one piece.
const LEAST_MTU: u16 = 576;

static RECEIVED: Once<Memory> = Once::new(Memory::new());
static SENT: Once<Memory> = Once::new(Memory::new());

/// Whether a PCI function is a virtio network card.
pub fn is_card(function: Function) -> bool {
    function.vendor() == VIRTIO && matches!(function.device(), TRANSITIONAL | MODERN)
}

/// A card that was found, before it is started.
pub struct Found {
    transport: Transport,
    /// Its address.
    pub mac: [u8; 6],
}

/// A running card.
pub struct Card {
    receive: Queue,
    send: Queue,
    /// The buffers for sending that the device does not have: the first `free_len` entries.
    free: [u16; LONGEST as usize],
    free_len: usize,
    /// Its address.
    pub mac: [u8; 6],
    /// Largest IP packet that the card takes, and the one in force.
    most_mtu: u16,
    mtu: u16,
    /// Whether it interrupts when packets arrive.
    pub interrupts: bool,
    /// Whose repeated SYNs are dropped.
    pub opening: Opening,
}

impl Found {
    /// Looks at a card.
    pub fn open(function: pci::Function, mapper: &mut Mapper) -> Result<Self, Error> {
        let transport = Transport::open(function, mapper)?;
        let mac = core::array::from_fn(|index| transport.device().read(MAC_OFFSET + index));
        Ok(Self { transport, mac })
    }

    /// Starts the card. Panics when a second one is started.
    pub fn start(self) -> Result<Card, Error> {
        let Self { transport, mac } = self;
        let agreed = transport.negotiate(HAS_MAC | HAS_MTU)?;
        if agreed & HAS_MAC == 0 {
            return Err(Error::Features);
        }
        let mtu = if agreed & HAS_MTU != 0 {
            transport.device().read(MTU_OFFSET)
        } else {
            LARGEST_MTU
        };
        let mut receive = Queue::new(
            RECEIVED.take(),
            transport.queue_size(RECEIVE)?,
            Writer::Device,
        );
        let mut send = Queue::new(SENT.take(), transport.queue_size(SEND)?, Writer::Driver);
        let interrupts = transport.start_queue(RECEIVE, &mut receive)?;
        transport.start_queue(SEND, &mut send)?;
        receive.set_interrupts(interrupts);
        send.set_interrupts(false);
        for index in 0..receive.size() {
            receive.offer(index, BUFFER);
        }
        let free_len = usize::from(send.size());
        transport.go();
        receive.wake(RECEIVE);
        let free = core::array::from_fn(|index| index as u16);
        let mtu = mtu.clamp(LEAST_MTU, LARGEST_MTU);
        Ok(Card {
            receive,
            send,
            free,
            free_len,
            mac,
            most_mtu: mtu,
            mtu,
            interrupts,
            opening: Opening::default(),
        })
    }
}

impl Card {
    /// Largest IP packet to send.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Sets what the network says about its MTU, as far as the card takes it. Returns whether that changed anything.
    pub fn set_mtu(&mut self, told: Option<u16>) -> bool {
        let before = self.mtu;
        self.mtu = told.unwrap_or(LARGEST_MTU).clamp(LEAST_MTU, self.most_mtu);
        self.mtu != before
    }

    /// Whether packets wait.
    pub fn has_received(&self) -> bool {
        self.receive.has_returned()
    }

    /// Collects what was sent, and says whether there is a buffer to send from. Where there is none, asks for an
    /// interrupt when there is one again.
    fn may_send(&mut self) -> bool {
        self.collect();
        if self.free_len == 0 {
            self.send.set_interrupts(self.interrupts);
            self.collect();
        }
        if self.free_len > 0 {
            self.send.set_interrupts(false);
        }
        self.free_len > 0
    }

    fn collect(&mut self) {
        while let Some(returned) = self.send.take() {
            assert!(
                self.free_len < self.free.len(),
                "the device returns what it does not have"
            );
            self.free[self.free_len] = returned.index;
            self.free_len += 1;
        }
    }
}

impl phy::Device for Card {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        if !self.may_send() {
            return None;
        }
        let returned = loop {
            let returned = self.receive.take()?;
            let frame = self.receive.buffer(returned.index);
            let frame = frame.get(HEADER..returned.len).unwrap_or_default();
            if self.opening.admits(frame) {
                break returned;
            }
            self.receive.offer(returned.index, BUFFER);
            self.receive.wake(RECEIVE);
        };
        let received = Received {
            queue: &mut self.receive,
            index: returned.index,
            len: returned.len,
        };
        Some((
            received,
            Sending {
                queue: &mut self.send,
                free: &self.free,
                free_len: &mut self.free_len,
            },
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        self.may_send().then_some(Sending {
            queue: &mut self.send,
            free: &self.free,
            free_len: &mut self.free_len,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.mtu) + ETHERNET_HEADER;
        capabilities
    }
}

/// A frame that arrived.
pub struct Received<'a> {
    queue: &'a mut Queue,
    index: u16,
    len: usize,
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let result = read(
            self.queue
                .buffer(self.index)
                .get(HEADER..self.len)
                .unwrap_or_default(),
        );
        self.queue.offer(self.index, BUFFER);
        self.queue.wake(RECEIVE);
        result
    }
}

/// Room for a frame to send.
pub struct Sending<'a> {
    queue: &'a mut Queue,
    free: &'a [u16],
    free_len: &'a mut usize,
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        *self.free_len -= 1;
        let index = self.free[*self.free_len];
        let buffer = &mut self.queue.buffer(index)[..HEADER + len];
        buffer[..HEADER].fill(0);
        let result = write(&mut buffer[HEADER..]);
        self.queue.offer(index, HEADER + len);
        self.queue.wake(SEND);
        result
    }
}
