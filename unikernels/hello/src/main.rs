//! A unikernel that serves a page about itself: from the loader's entry to the loop that answers.

#![no_std]
#![no_main]

mod machine;

use core::panic::PanicInfo;

use machine::boot::StartInfo;
use machine::power::Power;
use machine::serial::{self, say};
use machine::{clock, firmware, interrupts, pci, power};

#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: usize) -> ! {
    serial::start();
    // SAFETY: `boot.s` passes on what the loader left in ebx.
    let info = unsafe { StartInfo::read(start_info) }.expect("the loader gives a PVH start info");
    interrupts::start();
    say!("hello {}", env!("CARGO_PKG_VERSION"));
    start_power(info.rsdp);
    say!(
        "memory {} KiB, cmdline {}",
        info.memory >> 10,
        info.command_line
    );
    pci::scan(&mut |f| say!("pci {f} {:04x}:{:04x}", f.vendor(), f.device()));
    loop {
        if power::pressed() {
            say!("power: button pressed, powering off");
            power::off();
        }
        interrupts::wait(|| false);
    }
}

fn start_power(rsdp: u64) {
    let Some(firmware) = firmware::read(rsdp) else {
        say!("power: no ACPI: the power button will not work, and the clock is coarse");
        return;
    };
    if firmware.fixed.timer != 0 {
        clock::start(firmware.fixed.timer, firmware.fixed.timer_wide);
    }
    match power::start(&firmware) {
        Power::Full => say!("power: ACPI, the power button stops this machine"),
        Power::GuessedSleepType => {
            say!("power: ACPI without \\_S5, powering off with sleep type 0")
        }
        Power::NotHandedOver => {
            say!("power: the firmware keeps ACPI: the power button will not work")
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => say!(
            "panic: {} ({}:{})",
            info.message(),
            place.file(),
            place.line()
        ),
        None => say!("panic: {}", info.message()),
    }
    power::crashed()
}
