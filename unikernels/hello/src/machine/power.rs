//! The power button, and the ways out: ACPI soft-off, or what is left where that does nothing.
//!
//! The button and S5 are the fixed hardware of ACPI 6.5, 4.8.2. A crash is told to pvpanic first
//! (QEMU, docs/specs/pvpanic.rst), so that the host can tell it from a clean end.

use core::sync::atomic::{AtomicU16, Ordering::Relaxed};

use hello::acpi::Fixed;

use super::firmware::Firmware;
use super::{clock, interrupts, port};

const POWER_BUTTON: u16 = 1 << 8;
const ACPI_MODE: u16 = 1;
const SLEEP_ENABLE: u16 = 1 << 13;
/// How long the firmware may take to hand over the power registers.
const HANDOVER_MICROS: u64 = 300_000;
const PVPANIC: u16 = 0x505;
const PVPANIC_CRASHED: u8 = 1;
const DEBUG_EXIT: u16 = 0x501;

static EVENTS: AtomicU16 = AtomicU16::new(0);
static CONTROL: AtomicU16 = AtomicU16::new(0);
/// What the control register is to hold for S5, beside `SLEEP_ENABLE`.
static SLEEP_TYPE: AtomicU16 = AtomicU16::new(0);

/// What a machine can do about power.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Button and soft-off.
    Full,
    /// As `Full`, with the sleep type that QEMU uses, because the tables did not say.
    GuessedSleepType,
    /// The firmware did not hand over the registers.
    NotHandedOver,
}

/// Takes over the power registers and arms the button. Needs the clock.
pub fn start(firmware: &Firmware) -> Power {
    let Fixed {
        control,
        events,
        events_len,
        enable,
        ..
    } = firmware.fixed;
    if !take_over(control, enable) {
        return Power::NotHandedOver;
    }
    let enable = events + u16::from(events_len / 2);
    port::write16(events, POWER_BUTTON);
    port::write16(enable, port::read16(enable) | POWER_BUTTON);
    SLEEP_TYPE.store(u16::from(firmware.sleep.unwrap_or(0)) << 10, Relaxed);
    CONTROL.store(control, Relaxed);
    EVENTS.store(events, Relaxed);
    if firmware.sleep.is_some() {
        Power::Full
    } else {
        Power::GuessedSleepType
    }
}

fn take_over(control: u16, (port, value): (u16, u8)) -> bool {
    let ours = || port::read16(control) & ACPI_MODE != 0;
    if ours() || port == 0 {
        return true;
    }
    port::write8(port, value);
    let end = clock::now_micros() + HANDOVER_MICROS;
    while !ours() {
        if clock::now_micros() > end {
            return false;
        }
    }
    true
}

/// Whether the power button was pressed.
pub fn pressed() -> bool {
    let events = EVENTS.load(Relaxed);
    events != 0 && port::read16(events) & POWER_BUTTON != 0
}

/// Powers the machine off; stops the processor where that does nothing.
pub fn off() -> ! {
    let control = CONTROL.load(Relaxed);
    if control != 0 {
        port::write16(control, SLEEP_TYPE.load(Relaxed) | SLEEP_ENABLE);
    }
    // Reached without ACPI only: QEMU's isa-debug-exit, where it was given.
    port::write8(DEBUG_EXIT, 0);
    interrupts::halt()
}

/// Tells the host that the program crashed, if it has a device for that, and powers off.
pub fn crashed() -> ! {
    let events = port::read8(PVPANIC);
    if events != 0xff && events & PVPANIC_CRASHED != 0 {
        port::write8(PVPANIC, PVPANIC_CRASHED);
    }
    off()
}
