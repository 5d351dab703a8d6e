//! The machine under the program: processor, memory, serial port, timer, ACPI and PCI of a PC as QEMU makes it.
//!
//! One processor, one address space, no heap. Interrupts do nothing but end the `hlt` of [`interrupts::wait`].

pub mod boot;
pub mod clock;
pub mod firmware;
pub mod interrupts;
pub mod memory;
pub mod mmio;
pub mod once;
pub mod pci;
pub mod port;
pub mod power;
pub mod serial;
