//! The registers of a virtio device on PCI (VIRTIO 1.2, 4.1): finding them, agreeing on features, starting queues.

use core::fmt;

use super::queue::{LONGEST, Queue};
use crate::machine::memory::Mapper;
use crate::machine::mmio::Region;
use crate::machine::pci::Function;
use crate::machine::{clock, interrupts};

const VENDOR_CAPABILITY: u8 = 0x09;
const MSIX_CAPABILITY: u8 = 0x11;
const MSIX_ENABLE: u16 = 1 << 15;

const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;

const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;

const VERSION_1: u64 = 1 << 32;
const NO_VECTOR: u16 = 0xffff;
const RESET_MICROS: u64 = 1_000_000;

/// Offsets in the common configuration (4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0;
    pub const DEVICE_FEATURE: usize = 4;
    pub const DRIVER_FEATURE_SELECT: usize = 8;
    pub const DRIVER_FEATURE: usize = 12;
    pub const CONFIG_VECTOR: usize = 16;
    pub const STATUS: usize = 20;
    pub const QUEUE_SELECT: usize = 22;
    pub const QUEUE_SIZE: usize = 24;
    pub const QUEUE_VECTOR: usize = 26;
    pub const QUEUE_ENABLE: usize = 28;
    pub const QUEUE_NOTIFY_OFFSET: usize = 30;
    pub const QUEUE_ADDRESSES: usize = 32;
    pub const LEN: usize = 56;
}

/// Why a device cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// It has no registers of virtio 1.0: a legacy device.
    Legacy,
    /// The firmware gave no address to one of its memory ranges.
    NoAddress(u8),
    /// A structure lies outside what can be mapped.
    NotMapped(u8),
    /// It did not finish its reset.
    Reset,
    /// It refuses what this driver needs.
    Features,
    /// It has no such queue.
    NoQueue(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy => write!(
                f,
                "it offers legacy virtio only, and this kernel drives virtio 1.0"
            ),
            Self::NoAddress(bar) => {
                write!(f, "the firmware gave no address to its memory range {bar}")
            }
            Self::NotMapped(kind) => write!(f, "its structure of type {kind} cannot be mapped"),
            Self::Reset => write!(f, "it does not finish its reset"),
            Self::Features => write!(f, "it refuses the features that this kernel needs"),
            Self::NoQueue(queue) => write!(f, "it has no queue {queue}"),
        }
    }
}

/// A device's registers.
pub struct Transport {
    common: Region,
    notify: Region,
    notify_multiplier: usize,
    device: Region,
    /// The message table's first entry, where the device can interrupt.
    message: Option<Region>,
}

impl Transport {
    /// Finds and maps the registers. Changes nothing on the device but to let it answer.
    pub fn open(function: Function, mapper: &mut Mapper) -> Result<Self, Error> {
        function.enable();
        let mut find = |kind| structure(function, kind, mapper);
        let (common, _) = find(COMMON)?;
        let (notify, at) = find(NOTIFY)?;
        let (device, _) = find(DEVICE)?;
        let common = common
            .part(0, common::LEN)
            .ok_or(Error::NotMapped(COMMON))?;
        let notify_multiplier = function.read32(at + 16) as usize;
        let message = message_table(function, mapper);
        Ok(Self {
            common,
            notify,
            notify_multiplier,
            device,
            message,
        })
    }

    /// The registers that are particular to this kind of device.
    pub fn device(&self) -> Region {
        self.device
    }

    /// Resets the device and agrees on version 1 and on what it has of `wanted`. Returns what was agreed on.
    pub fn negotiate(&self, wanted: u64) -> Result<u64, Error> {
        let common = self.common;
        common.write::<u8>(common::STATUS, 0);
        let end = clock::now_micros() + RESET_MICROS;
        while common.read::<u8>(common::STATUS) != 0 {
            if clock::now_micros() > end {
                return Err(Error::Reset);
            }
        }
        common.write(common::STATUS, ACKNOWLEDGE | DRIVER);
        let mut offered = 0;
        for half in 0..2 {
            common.write::<u32>(common::DEVICE_FEATURE_SELECT, half);
            offered |= u64::from(common.read::<u32>(common::DEVICE_FEATURE)) << (32 * half);
        }
        let agreed = offered & (wanted | VERSION_1);
        for half in 0..2 {
            common.write::<u32>(common::DRIVER_FEATURE_SELECT, half);
            common.write(common::DRIVER_FEATURE, (agreed >> (32 * half)) as u32);
        }
        common.write(common::STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        if agreed & VERSION_1 == 0 || common.read::<u8>(common::STATUS) & FEATURES_OK == 0 {
            return Err(Error::Features);
        }
        common.write(common::CONFIG_VECTOR, NO_VECTOR);
        Ok(agreed)
    }

    /// How many entries a queue can have, as a power of two and at most [`LONGEST`].
    pub fn queue_size(&self, queue: u16) -> Result<u16, Error> {
        self.common.write(common::QUEUE_SELECT, queue);
        match self.common.read::<u16>(common::QUEUE_SIZE) {
            0 => Err(Error::NoQueue(queue)),
            size => Ok(1 << size.min(LONGEST).ilog2()),
        }
    }

    /// Shows the device a queue. Returns whether the device can interrupt for it.
    pub fn start_queue(&self, number: u16, queue: &mut Queue) -> Result<bool, Error> {
        let common = self.common;
        common.write(common::QUEUE_SELECT, number);
        common.write(common::QUEUE_SIZE, queue.size());
        let interrupts = self.message.is_some() && {
            common.write::<u16>(common::QUEUE_VECTOR, 0);
            common.read::<u16>(common::QUEUE_VECTOR) == 0
        };
        if !interrupts {
            common.write(common::QUEUE_VECTOR, NO_VECTOR);
        }
        for (index, address) in queue.addresses().into_iter().enumerate() {
            common.write(common::QUEUE_ADDRESSES + 8 * index, address as u32);
            common.write(
                common::QUEUE_ADDRESSES + 8 * index + 4,
                (address >> 32) as u32,
            );
        }
        let offset =
            usize::from(common.read::<u16>(common::QUEUE_NOTIFY_OFFSET)) * self.notify_multiplier;
        queue.connect(
            self.notify
                .part(offset, 2)
                .ok_or(Error::NotMapped(NOTIFY))?,
        );
        common.write::<u16>(common::QUEUE_ENABLE, 1);
        Ok(interrupts)
    }

    /// Lets the device run.
    pub fn go(&self) {
        self.common.write(
            common::STATUS,
            ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
        );
    }
}

/// Maps the structure of a kind, and says where its capability is.
fn structure(function: Function, kind: u8, mapper: &mut Mapper) -> Result<(Region, u8), Error> {
    let (_, at) = function
        .capabilities()
        .find(|(id, at)| *id == VENDOR_CAPABILITY && function.read8(at + 3) == kind)
        .ok_or(Error::Legacy)?;
    let (bar, offset, len) = (
        function.read8(at + 4),
        function.read32(at + 8),
        function.read32(at + 12),
    );
    let region = map(function, bar, offset, len, mapper)?.ok_or(Error::NotMapped(kind))?;
    Ok((region, at))
}

fn map(
    function: Function,
    bar: u8,
    offset: u32,
    len: u32,
    mapper: &mut Mapper,
) -> Result<Option<Region>, Error> {
    let base = function
        .bar(bar)
        .filter(|address| *address != 0)
        .ok_or(Error::NoAddress(bar))?;
    // SAFETY: the device's own memory range, as the firmware placed it.
    Ok(unsafe { mapper.map(base + u64::from(offset), u64::from(len)) })
}

/// Points the device's first message at this processor and switches messages on (PCI 3.0, 6.8.2).
fn message_table(function: Function, mapper: &mut Mapper) -> Option<Region> {
    let (_, at) = function
        .capabilities()
        .find(|(id, _)| *id == MSIX_CAPABILITY)?;
    let place = function.read32(at + 4);
    let entry = map(function, (place & 7) as u8, place & !7, 16, mapper).ok()??;
    let (address, data) = interrupts::message();
    entry.write(0, address as u32);
    entry.write(4, (address >> 32) as u32);
    entry.write(8, data);
    entry.write::<u32>(12, 0);
    function.write16(at + 2, function.read16(at + 2) & 0x3fff | MSIX_ENABLE);
    Some(entry)
}
