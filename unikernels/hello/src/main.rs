//! A unikernel that serves a page about itself: from the loader's entry to the loop that answers.

#![no_std]
#![no_main]

mod machine;
mod net;
mod server;
mod virtio;

use core::panic::PanicInfo;

use hello::cmdline;
use hello::page::Size;
use machine::boot::StartInfo;
use machine::interrupts::Pace;
use machine::memory::{self, Mapper};
use machine::power::Power;
use machine::serial::{self, say};
use machine::{clock, firmware, interrupts, power};
use server::{Memory, Server};

#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: usize) -> ! {
    serial::start();
    // SAFETY: `boot.s` passes on what the loader left in ebx.
    let info = unsafe { StartInfo::read(start_info) }.expect("the loader gives a PVH start info");
    say!(
        "hello: version {} of Rhyzome's unikernel",
        env!("CARGO_PKG_VERSION")
    );
    start_power(info.rsdp);
    let kernel = memory::kernel();
    let memory = Memory {
        total: info.memory,
        kernel: kernel.end - kernel.start,
    };
    say!(
        "memory: {}, of which the kernel takes {}",
        Size(memory.total),
        Size(memory.kernel)
    );
    assert!(info.fits, "the machine has too little memory");
    interrupts::start();
    say!("command line: {}", info.command_line);
    let settings = cmdline::parse(info.command_line, &mut |complaint| {
        say!("command line: {complaint}")
    });
    match net::start(settings, &mut Mapper::new()) {
        Some(mut stack) => {
            let mut server = Server::start(&mut stack.sockets, memory);
            stack.announce();
            loop {
                stop_if_asked();
                if !(stack.poll() | server.serve(&mut stack)) {
                    interrupts::set_pace(stack.pace(server.is_busy()));
                    interrupts::wait(|| stack.has_received());
                }
            }
        }
        None => {
            interrupts::set_pace(Pace::Idle);
            loop {
                stop_if_asked();
                interrupts::wait(|| false);
            }
        }
    }
}

fn stop_if_asked() {
    if power::pressed() {
        say!("power: button pressed, powering off");
        power::off();
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
