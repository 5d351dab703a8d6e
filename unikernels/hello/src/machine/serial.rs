//! The console: the first serial port, write only. One line per event, with the time since boot.

use core::fmt::{self, Write};

use super::{clock, port};

const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
const TRANSMITTER_EMPTY: u8 = 0x20;
/// How often to look at a port that takes nothing, before the byte is given up: a missing reader must not hang us.
const PATIENCE: u32 = 100_000;

/// Sets 115200 baud, 8 data bits, no parity, one stop bit, and no interrupts.
pub fn start() {
    for (register, value) in [
        (1, 0x00),
        (3, 0x80),
        (0, 0x01),
        (1, 0x00),
        (3, 0x03),
        (2, 0xc7),
        (4, 0x03),
    ] {
        port::write8(COM1 + register, value);
    }
}

/// Writes one line to the console: `[seconds.millis] ` and the arguments of `format!`.
macro_rules! say {
    ($($arg:tt)*) => { $crate::machine::serial::line(format_args!($($arg)*)) };
}
pub(crate) use say;

/// What [`say!`] expands to.
pub fn line(text: fmt::Arguments<'_>) {
    let millis = clock::now_micros() / 1000;
    // The console never reports an error: there is nowhere to report it to.
    let _ = writeln!(Console, "[{:3}.{:03}] {text}", millis / 1000, millis % 1000);
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}

fn put(byte: u8) {
    for _ in 0..PATIENCE {
        if port::read8(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
            break;
        }
    }
    port::write8(COM1, byte);
}
