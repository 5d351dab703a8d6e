//! PCI: finds functions behind any number of bridges, their capabilities and their registers.
//!
//! Uses the configuration mechanism by ports, which q35 and pc both have. Bus numbers and addresses are the
//! firmware's: SeaBIOS gives them before it hands over to a kernel, and without a firmware QEMU does not start one.

use super::port;

const COMMAND: u8 = 0x04;
const HEADER_TYPE: u8 = 0x0e;
const BARS: u8 = 0x10;
const SECONDARY_BUS: u8 = 0x19;
const CAPABILITIES: u8 = 0x34;
const HAS_CAPABILITIES: u16 = 1 << 4;
const MEMORY_AND_MASTER: u16 = 1 << 1 | 1 << 2;

/// A function's place: bus, device, function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Function(u16);

impl core::fmt::Display for Function {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}.{}",
            self.0 >> 8,
            self.0 >> 3 & 31,
            self.0 & 7
        )
    }
}

/// Calls `visit` with every function on every bus, in order of their numbers.
pub fn scan(visit: &mut dyn FnMut(Function)) {
    scan_bus(0, visit);
}

fn scan_bus(bus: u8, visit: &mut dyn FnMut(Function)) {
    for device in 0..32 {
        let first = Function(u16::from(bus) << 8 | device << 3);
        if first.vendor() == 0xffff {
            continue;
        }
        let functions = if first.read8(HEADER_TYPE) & 0x80 != 0 {
            8
        } else {
            1
        };
        for function in (0..functions).map(|number| Function(first.0 | number)) {
            if function.vendor() == 0xffff {
                continue;
            }
            visit(function);
            let below = function.read8(SECONDARY_BUS);
            // A bus below has a higher number: what breaks that rule was never set up, and would be a loop.
            if function.read8(HEADER_TYPE) & 0x7f == 1 && below > bus {
                scan_bus(below, visit);
            }
        }
    }
}

impl Function {
    /// Vendor id; 0xffff where there is no such function.
    pub fn vendor(self) -> u16 {
        self.read16(0)
    }

    /// Device id.
    pub fn device(self) -> u16 {
        self.read16(2)
    }

    /// Lets the function answer to its memory ranges and reach memory by itself.
    pub fn enable(self) {
        self.write16(COMMAND, self.read16(COMMAND) | MEMORY_AND_MASTER);
    }

    /// The capabilities: their id and where they are in the configuration space.
    pub fn capabilities(self) -> impl Iterator<Item = (u8, u8)> {
        let first = if self.read16(6) & HAS_CAPABILITIES != 0 {
            self.read8(CAPABILITIES) & !3
        } else {
            0
        };
        // 48 is as many as fit: a list that is longer runs in a circle.
        let mut next = first;
        (0..48).map_while(move |_| {
            let at = next;
            (at >= 0x40).then(|| {
                next = self.read8(at + 1) & !3;
                (self.read8(at), at)
            })
        })
    }

    /// The address of one of the six memory ranges that the function answers to; 0 where the firmware gave none.
    /// `None` where the range is for ports, or there is no such range.
    pub fn bar(self, index: u8) -> Option<u64> {
        if index > 5 {
            return None;
        }
        let at = BARS + index * 4;
        let low = self.read32(at);
        let wide = low & 6 == 4;
        if low & 1 != 0 || wide && index == 5 {
            return None;
        }
        let high = if wide { self.read32(at + 4) } else { 0 };
        Some(u64::from(high) << 32 | u64::from(low & !15))
    }

    /// Reads a byte of the configuration space.
    pub fn read8(self, offset: u8) -> u8 {
        self.select(offset);
        port::read8(0xcfc + u16::from(offset & 3))
    }

    /// Reads 16 bits at an even offset of the configuration space.
    pub fn read16(self, offset: u8) -> u16 {
        self.select(offset);
        port::read16(0xcfc + u16::from(offset & 2))
    }

    /// Reads 32 bits of the configuration space, at an offset that is a multiple of 4.
    pub fn read32(self, offset: u8) -> u32 {
        self.select(offset);
        port::read32(0xcfc)
    }

    /// Writes 16 bits at an even offset of the configuration space.
    pub fn write16(self, offset: u8, value: u16) {
        self.select(offset);
        port::write16(0xcfc + u16::from(offset & 2), value);
    }

    fn select(self, offset: u8) {
        port::write32(
            0xcf8,
            1 << 31 | u32::from(self.0) << 8 | u32::from(offset & 0xfc),
        );
    }
}
