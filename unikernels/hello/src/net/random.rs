//! A number that nobody else can guess, for sequence numbers and transaction ids.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

use crate::machine::clock;

const HAS_RDRAND: u32 = 1 << 30;
/// SDM volume 1, 7.3.17.1: ten failures in a row mean that it does not work.
const TRIES: usize = 10;

/// From the processor's generator where there is one, else from its time stamp, which only makes it differ.
pub fn seed() -> u64 {
    let time: u64;
    // SAFETY: reads a counter into two registers.
    unsafe {
        asm!("rdtsc", "shl rdx, 32", "or rax, rdx", out("rax") time, out("rdx") _, options(nomem, nostack));
    }
    let fallback = (time ^ clock::now_micros().rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    if __cpuid(1).ecx & HAS_RDRAND == 0 {
        return fallback;
    }
    (0..TRIES).find_map(|_| hardware()).unwrap_or(fallback)
}

fn hardware() -> Option<u64> {
    let value: u64;
    let good: u8;
    // SAFETY: the caller has seen that the processor has this instruction; it writes two registers.
    unsafe {
        asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) good, options(nomem, nostack))
    };
    (good != 0).then_some(value)
}
