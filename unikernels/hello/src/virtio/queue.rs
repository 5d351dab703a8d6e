//! A split virtqueue (VIRTIO 1.2, 2.7) in which descriptor `n` always stands for buffer `n`.

use core::slice;
use core::sync::atomic::{Ordering, fence};

use crate::machine::mmio::Region;

/// Most entries of a queue; fewer where the device takes fewer.
pub const LONGEST: u16 = 128;
/// Bytes of each buffer: an Ethernet frame of 1514 bytes and the header that virtio puts before it.
pub const BUFFER: usize = 2048;

const DESCRIPTORS: usize = 0;
const AVAILABLE: usize = DESCRIPTORS + 16 * LONGEST as usize;
const USED: usize = AVAILABLE + (6 + 2 * LONGEST as usize).next_multiple_of(4);
const RINGS: usize = USED + 6 + 8 * LONGEST as usize;

const DEVICE_WRITES: u16 = 2;
const NO_INTERRUPT: u16 = 1;
const NO_NOTIFY: u16 = 1;

/// The memory that driver and device share.
#[repr(C, align(4096))]
pub struct Memory {
    rings: [u8; RINGS.next_multiple_of(4096)],
    buffers: [u8; BUFFER * LONGEST as usize],
}

impl Memory {
    /// Memory of a queue that is not in use yet.
    pub const fn new() -> Self {
        Self {
            rings: [0; _],
            buffers: [0; _],
        }
    }
}

/// Who writes to the buffers of a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The device: a queue for receiving.
    Device,
    /// The driver: a queue for sending.
    Driver,
}

/// The driver's side of a queue.
pub struct Queue {
    rings: Region,
    buffers: *mut u8,
    writer: Writer,
    size: u16,
    offered: u16,
    seen: u16,
    doorbell: Option<Region>,
}

/// What the device gave back.
pub struct Returned {
    /// Which buffer.
    pub index: u16,
    /// How many bytes the device wrote to it.
    pub len: usize,
}

impl Queue {
    /// An empty queue of `size` entries, at most [`LONGEST`].
    pub fn new(memory: &'static mut Memory, size: u16, writer: Writer) -> Self {
        assert!(
            size.is_power_of_two() && size <= LONGEST,
            "a queue of {size} entries"
        );
        // SAFETY: static, mapped, lent to this queue alone, and the buffers are not part of it.
        let rings = unsafe { Region::new(memory.rings.as_mut_ptr() as usize, RINGS) };
        Self {
            rings,
            buffers: memory.buffers.as_mut_ptr(),
            writer,
            size,
            offered: 0,
            seen: 0,
            doorbell: None,
        }
    }

    /// How many entries there are.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Physical addresses of descriptor table, available ring and used ring.
    pub fn addresses(&self) -> [u64; 3] {
        [DESCRIPTORS, AVAILABLE, USED].map(|offset| self.rings.address() + offset as u64)
    }

    /// Tells the queue which register wakes the device, and what to write there.
    pub fn connect(&mut self, doorbell: Region) {
        self.doorbell = Some(doorbell);
    }

    /// A buffer that the device does not have at the moment.
    pub fn buffer(&mut self, index: u16) -> &mut [u8] {
        assert!(index < self.size, "buffer {index} of {}", self.size);
        // SAFETY: within the memory lent to this queue. The caller passes what `take` returned or never offered, so
        // the device neither reads nor writes it now.
        unsafe { slice::from_raw_parts_mut(self.buffers.add(usize::from(index) * BUFFER), BUFFER) }
    }

    /// Gives the first `len` bytes of a buffer to the device. `wake` must follow.
    pub fn offer(&mut self, index: u16, len: usize) {
        let address = self.buffers as u64 + u64::from(index) * BUFFER as u64;
        let descriptor = DESCRIPTORS + 16 * usize::from(index);
        self.rings.write(descriptor, address as u32);
        self.rings.write(descriptor + 4, (address >> 32) as u32);
        self.rings.write(descriptor + 8, len as u32);
        self.rings.write(
            descriptor + 12,
            if self.writer == Writer::Device {
                DEVICE_WRITES
            } else {
                0
            },
        );
        self.rings.write(
            AVAILABLE + 4 + 2 * usize::from(self.offered % self.size),
            index,
        );
        // The entry before the index that announces it.
        fence(Ordering::SeqCst);
        self.offered = self.offered.wrapping_add(1);
        self.rings.write(AVAILABLE + 2, self.offered);
    }

    /// Rings the doorbell, unless the device looks by itself.
    pub fn wake(&self, queue: u16) {
        // The index before the question whether anybody waits for it.
        fence(Ordering::SeqCst);
        if let Some(doorbell) = self.doorbell
            && self.rings.read::<u16>(USED) & NO_NOTIFY == 0
        {
            doorbell.write(0, queue);
        }
    }

    /// Whether [`Queue::take`] would return something.
    pub fn has_returned(&self) -> bool {
        self.rings.read::<u16>(USED + 2) != self.seen
    }

    /// The next buffer that the device is done with.
    pub fn take(&mut self) -> Option<Returned> {
        if !self.has_returned() {
            return None;
        }
        // The index before the entry, and the entry before the buffer.
        fence(Ordering::SeqCst);
        let entry = USED + 4 + 8 * usize::from(self.seen % self.size);
        let (index, len) = (
            self.rings.read::<u32>(entry),
            self.rings.read::<u32>(entry + 4) as usize,
        );
        self.seen = self.seen.wrapping_add(1);
        let index = u16::try_from(index).ok().filter(|index| *index < self.size);
        Some(Returned {
            index: index.expect("the device returns buffers of this queue"),
            len: len.min(BUFFER),
        })
    }

    /// Asks the device to interrupt when it returns a buffer, or not to.
    pub fn set_interrupts(&mut self, on: bool) {
        self.rings
            .write(AVAILABLE, if on { 0 } else { NO_INTERRUPT });
        fence(Ordering::SeqCst);
    }
}
