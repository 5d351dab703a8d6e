//! Time since boot, from the ACPI power management timer; it needs no calibration. Without ACPI the timer interrupt
//! is counted instead, which is as coarse as its period.

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::{interrupts, port};

/// ACPI 6.5, 4.8.2.1: the timer's frequency in Hz.
const FREQUENCY: u64 = 3_579_545;

static PORT: AtomicU16 = AtomicU16::new(0);
static MASK: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(0);
static TOTAL: AtomicU64 = AtomicU64::new(0);

/// Uses the power management timer at `address`, which counts in 24 or, if `wide`, in 32 bits.
pub fn start(address: u16, wide: bool) {
    MASK.store(if wide { u32::MAX } else { 0x00ff_ffff }, Relaxed);
    LAST.store(port::read32(address), Relaxed);
    PORT.store(address, Relaxed);
}

/// Microseconds since boot. To be called at least every 4 seconds: a 24-bit timer wraps after 4.6.
pub fn now_micros() -> u64 {
    let address = PORT.load(Relaxed);
    if address == 0 {
        return interrupts::micros();
    }
    let now = port::read32(address);
    let passed = now.wrapping_sub(LAST.swap(now, Relaxed)) & MASK.load(Relaxed);
    let total = TOTAL.fetch_add(u64::from(passed), Relaxed) + u64::from(passed);
    total * 1_000_000 / FREQUENCY
}
