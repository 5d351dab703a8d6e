//! Descriptor tables, the timer interrupt, and one interrupt for the network device.
//!
//! The handlers (`interrupts.s`) only add up time: the program polls, and interrupts end its sleep. An exception of the
//! processor is a panic with its number and place.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::memory;
use super::mmio::Region;
use super::once::Once;
use super::port;

global_asm!(include_str!("interrupts.s"), options(att_syntax, raw));

/// The vector that a device's message-signalled interrupt is to carry.
pub const DEVICE_VECTOR: u8 = 0x30;
const TIMER_VECTOR: usize = 0x20;
const SPURIOUS_VECTOR: usize = 0xff;

const LOCAL_APIC: u64 = 0xfee0_0000;
const APIC_ID: usize = 0x20;
const TASK_PRIORITY: usize = 0x80;
const SPURIOUS: usize = 0xf0;
const LINT0: usize = 0x350;
const LINT0_FROM_PIC: u32 = 0x700;
const APIC_ENABLED: u32 = 0x100;

const PIT_FREQUENCY: u64 = 1_193_182;
/// How often the timer interrupts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// 18 times a second: sees the power button, and costs next to nothing.
    Idle,
    /// 100 times a second: serves TCP's timers.
    Busy,
    /// 1,000 times a second: sees packets, where they come without an interrupt.
    Polling,
}

/// Time from one timer interrupt to the next, and since the first.
#[unsafe(no_mangle)]
static timer_period: AtomicU64 = AtomicU64::new(0);
#[unsafe(no_mangle)]
static timer_micros: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn timer_entry();
    fn device_entry();
    fn spurious_entry();
    fn fault_entries();
}

#[repr(C, align(16))]
struct Stack([u8; 16 << 10]);

/// The parts of the task state segment that matter here: the interrupt stacks. SDM volume 3, 7.7.
#[repr(C, packed(4))]
struct TaskState {
    reserved: u32,
    stacks: [u64; 3],
    reserved2: u64,
    interrupt_stacks: [u64; 7],
    reserved3: [u16; 5],
    port_map: u16,
}

#[repr(C, align(16))]
struct Tables {
    gates: [[u64; 2]; 256],
    segments: [u64; 5],
    task: TaskState,
}

static TABLES: Once<Tables> = Once::new(Tables {
    gates: [[0; 2]; 256],
    segments: [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0, 0],
    task: TaskState {
        reserved: 0,
        stacks: [0; 3],
        reserved2: 0,
        interrupt_stacks: [0; 7],
        reserved3: [0; 5],
        port_map: size_of::<TaskState>() as u16,
    },
});
static DEVICE_STACK: Once<Stack> = Once::new(Stack([0; 16 << 10]));
static FAULT_STACK: Once<Stack> = Once::new(Stack([0; 16 << 10]));

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// Sets up tables, interrupt controllers and timer, and lets interrupts in.
pub fn start() {
    let tables = TABLES.take();
    let top = |stack: &'static mut Stack| stack.0.as_mut_ptr_range().end as u64;
    tables.task.interrupt_stacks = [
        top(DEVICE_STACK.take()),
        top(FAULT_STACK.take()),
        0,
        0,
        0,
        0,
        0,
    ];
    [tables.segments[3], tables.segments[4]] = task_descriptor(&tables.task);
    for vector in 0..32 {
        tables.gates[vector] = gate(fault_entries as *const () as u64 + vector as u64 * 16, 2);
    }
    for vector in 32..256 {
        tables.gates[vector] = gate(spurious_entry as *const () as u64, 1);
    }
    tables.gates[TIMER_VECTOR] = gate(timer_entry as *const () as u64, 1);
    tables.gates[usize::from(DEVICE_VECTOR)] = gate(device_entry as *const () as u64, 1);

    let gates = TablePointer {
        limit: 256 * 16 - 1,
        base: tables.gates.as_ptr() as u64,
    };
    let segments = TablePointer {
        limit: 5 * 8 - 1,
        base: tables.segments.as_ptr() as u64,
    };
    // SAFETY: the tables are static, complete, and keep the selectors that `boot.s` loaded.
    unsafe {
        asm!("lgdt [{}]", "lidt [{}]", "ltr {:x}", in(reg) &segments, in(reg) &gates, in(reg) 0x18u16)
    };

    start_apic();
    start_pic();
    set_pace(Pace::Busy);
    // SAFETY: every vector has a gate, and all gates switch to stacks of their own.
    unsafe { asm!("sti") };
}

/// Sets how often the timer interrupts: channel 0 of the interval timer, mode 2.
pub fn set_pace(pace: Pace) {
    let divisor: u16 = match pace {
        Pace::Idle => 0xffff,
        Pace::Busy => 11_932,
        Pace::Polling => 1_193,
    };
    let period = u64::from(divisor) * 1_000_000 / PIT_FREQUENCY;
    if timer_period.swap(period, Relaxed) == period {
        return;
    }
    let [low, high] = divisor.to_le_bytes();
    port::write8(0x43, 0x34);
    port::write8(0x40, low);
    port::write8(0x40, high);
}

/// Microseconds since boot, as coarse as the pace.
pub fn micros() -> u64 {
    timer_micros.load(Relaxed)
}

/// Sleeps until the next interrupt, unless `ready` says that there is something to do. An interrupt that comes after
/// the question still ends the sleep.
pub fn wait(ready: impl FnOnce() -> bool) {
    // SAFETY: off only until the next line but one; `sti` lets nothing in before the instruction after it.
    unsafe { asm!("cli") };
    if ready() {
        // SAFETY: back to the state before.
        unsafe { asm!("sti") };
    } else {
        // SAFETY: as above.
        unsafe { asm!("sti", "hlt") };
    }
}

/// Stops for good.
pub fn halt() -> ! {
    loop {
        // SAFETY: with interrupts off nothing of this program runs any more, as meant.
        unsafe { asm!("cli", "hlt") };
    }
}

/// Where a device writes, and what, to interrupt this processor: SDM volume 3, 11.11.
pub fn message() -> (u64, u32) {
    (
        LOCAL_APIC | u64::from(apic().read::<u32>(APIC_ID) >> 24) << 12,
        u32::from(DEVICE_VECTOR),
    )
}

fn apic() -> Region {
    memory::region(LOCAL_APIC, 4096).expect("the local APIC is in the first 4 GiB")
}

fn start_apic() {
    let apic = apic();
    apic.write::<u32>(TASK_PRIORITY, 0);
    apic.write::<u32>(LINT0, LINT0_FROM_PIC);
    apic.write::<u32>(SPURIOUS, APIC_ENABLED | SPURIOUS_VECTOR as u32);
}

/// Moves both PICs away from the exceptions and lets only the timer through.
fn start_pic() {
    for (port, value) in [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, TIMER_VECTOR as u8),
        (0xa1, TIMER_VECTOR as u8 + 8),
        (0x21, 0x04),
        (0xa1, 0x02),
        (0x21, 0x01),
        (0xa1, 0x01),
        (0x21, 0xfe),
        (0xa1, 0xff),
    ] {
        port::write8(port, value);
    }
}

/// An interrupt gate on one of the interrupt stacks: SDM volume 3, 6.14.1.
fn gate(entry: u64, stack: u64) -> [u64; 2] {
    let low =
        entry & 0xffff | 0x08 << 16 | stack << 32 | 0x8e00 << 32 | (entry >> 16 & 0xffff) << 48;
    [low, entry >> 32]
}

/// SDM volume 3, 7.2.3.
fn task_descriptor(task: &TaskState) -> [u64; 2] {
    let base = task as *const TaskState as u64;
    let limit = size_of::<TaskState>() as u64 - 1;
    let low = limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

#[unsafe(no_mangle)]
extern "C" fn processor_fault(vector: u64, code: u64, instruction: u64, address: u64) -> ! {
    panic!(
        "processor exception {vector}, code {code:#x}, at {instruction:#x}, address {address:#x}"
    );
}
