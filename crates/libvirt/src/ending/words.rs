//! What guests say on their console when they end, family by family.
//!
//! The phrases are those of the projects' sources; of the last lines only, since a server may well live on
//! after something that reads like a crash.

use rhyzome_model::image::{DiskGuest, ImageFormat};

/// How many of the last lines are looked at: a crash's registers and stack come behind its reason.
const WINDOW: usize = 60;

/// What the last words amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A status that the application exited with.
    Exit(i32),
    /// A sentence without a full stop.
    Crash(String),
}

/// What the last words say, if they say anything of an end.
pub fn last(format: &ImageFormat, lines: &[String]) -> Option<Said> {
    let lines = &lines[lines.len().saturating_sub(WINDOW)..];
    let said = match format {
        ImageFormat::Solo5 { .. } => solo5(lines),
        ImageFormat::Unikraft { .. } => unikraft(lines),
        ImageFormat::Hermit => hermit(lines).map(Said::Crash),
        ImageFormat::Disk {
            guest: Some(DiskGuest::Nanos),
            ..
        } => nanos(lines).map(Said::Crash),
        ImageFormat::Osv
        | ImageFormat::Disk {
            guest: Some(DiskGuest::Osv),
            ..
        } => osv(lines).map(Said::Crash),
        ImageFormat::Linux | ImageFormat::Disk { guest: None, .. } => linux(lines).map(Said::Crash),
        ImageFormat::Pvh | ImageFormat::Multiboot => {
            linux(lines).or_else(|| osv(lines)).map(Said::Crash)
        }
    };
    // A language's own words come with a status of its system, and say more than that.
    match (said, language(lines)) {
        (Some(Said::Exit(0)), _) => Some(Said::Exit(0)),
        (Some(Said::Exit(status)), Some(why)) => Some(Said::Crash(format!(
            "{why}, and exited with status {status}"
        ))),
        (Some(said), _) => Some(said),
        (None, Some(why)) if !reboots(format) => Some(Said::Crash(why)),
        (None, _) => None,
    }
}

/// Whether a guest of this kind is a whole system: it resets the machine to reboot, and not only when it
/// crashes, and outlives its programs.
pub fn reboots(format: &ImageFormat) -> bool {
    matches!(
        format,
        ImageFormat::Linux | ImageFormat::Disk { guest: None, .. }
    )
}

/// Why a silent guest will never go on: its family halts the processor after these words.
pub fn halted(format: &ImageFormat, lines: &[String]) -> Option<String> {
    let lines = &lines[lines.len().saturating_sub(WINDOW)..];
    let last = lines.last()?;
    match format {
        ImageFormat::Hermit => hermit(lines),
        // Without ACPI it cannot power off.
        ImageFormat::Solo5 { .. } if last.contains("Solo5: Halted") => match solo5(lines) {
            Some(Said::Exit(status)) => Some(format!("the unikernel exited with status {status}")),
            Some(Said::Crash(why)) => Some(why),
            None => Some("the unikernel ended".to_owned()),
        },
        // With panic=0, its default, it stays; and nothing comes behind this line.
        ImageFormat::Linux | ImageFormat::Pvh | ImageFormat::Disk { guest: None, .. }
            if last.contains("---[ end Kernel panic") =>
        {
            linux(lines)
        }
        ImageFormat::Osv | ImageFormat::Pvh | ImageFormat::Disk { .. }
            if last.trim() == "Halting." =>
        {
            osv(lines)
        }
        _ => None,
    }
}

/// What comes behind a phrase in the last line that has it.
fn behind<'a>(lines: &'a [String], phrase: &str) -> Option<&'a str> {
    let mut found = lines
        .iter()
        .rev()
        .filter_map(|line| line.split_once(phrase));
    found.next().map(|(_, behind)| behind.trim())
}

/// bindings/exit.c, bindings/abort.c, bindings/cpu_x86_64.c.
fn solo5(lines: &[String]) -> Option<Said> {
    let status = behind(lines, "solo5_exit(").and_then(|behind| behind.split(')').next());
    if let Some(status) = status.and_then(|status| status.trim().parse().ok()) {
        return Some(Said::Exit(status));
    }
    let crash = if let Some(trap) = behind(lines, "Solo5: trap: type=") {
        let trap = trap.split_whitespace().next().unwrap_or_default();
        format!("the unikernel ran into a trap of the processor ({trap})")
    } else if let Some(device) = behind(lines, "Solo5: Device '") {
        let device = device.split('\'').next().unwrap_or_default();
        format!("the unikernel did not find its device {device}")
    } else if let Some(why) = behind(lines, "Solo5: ABORT: ") {
        format!("the unikernel aborted ({why})")
    } else if lines
        .iter()
        .any(|line| line.contains("solo5_abort() called"))
    {
        "the unikernel aborted".to_owned()
    } else {
        return None;
    };
    Some(Said::Crash(crash))
}

/// lib/ukdebug/include/uk/assert.h, plat/common/x86/traps.c.
/// lib/ukboot/boot.c, lib/ukrandom/random.c.
fn unikraft(lines: &[String]) -> Option<Said> {
    let crash = |why: String| Some(Said::Crash(why));
    if let Some(assertion) = behind(lines, "Assertion failure: ") {
        return crash(format!("an assertion failed in Unikraft ({assertion})"));
    }
    if let Some(trap) = behind(lines, "Unhandled Trap ") {
        let trap = trap.split(", error code").next().unwrap_or_default();
        return crash(format!("the unikernel ran into trap {trap}"));
    }
    if behind(lines, "Could not initialize the HWRNG").is_some() {
        let why = "Unikraft found no random numbers in the processor (RDRAND, RDSEED): before QEMU 8 emulation has no \
                   RDSEED, so take a newer one, or KVM, or build the image without ukrandom";
        return crash(why.to_owned());
    }
    if let Some(function) = behind(lines, "Init function at ") {
        return crash(format!(
            "Unikraft did not come up: its init function at {function}"
        ));
    }
    let status = behind(lines, "main returned ").and_then(|status| status.parse().ok());
    if let Some(status) = status {
        return Some(Said::Exit(status));
    }
    let crashing = lines
        .iter()
        .any(|line| line.trim_end().ends_with("Crashing"));
    crashing.then(|| Said::Crash("the unikernel crashed".to_owned()))
}

/// src/rt.rs and src/arch/x86_64/kernel/interrupts.rs of the kernel, src/os/none of the loader.
fn hermit(lines: &[String]) -> Option<String> {
    if behind(lines, "[LOADER] ").is_some_and(|why| why.contains("panicked")) {
        return Some("the Hermit loader panicked: is its initrd a Hermit application?".to_owned());
    }
    if lines.iter().any(|line| line.contains("[PANIC]")) {
        return Some(match language(lines) {
            Some(why) => format!("{why} in Hermit's kernel"),
            None => "Hermit's kernel panicked".to_owned(),
        });
    }
    let exception = lines.iter().rev().find(|line| {
        line.contains(") Exception:")
            || line.contains("Page Fault (#PF)")
            || line.contains("Exception (#")
    })?;
    let exception = exception
        .split_once(':')
        .map_or(exception.as_str(), |(text, _)| text);
    Some(format!(
        "the unikernel ran into a fault of the processor ({})",
        plain(exception)
    ))
}

/// src/unix/signal.c, src/unix/unix.c, src/runtime/runtime.h. A program's status is not told.
fn nanos(lines: &[String]) -> Option<String> {
    if let Some(signal) = behind(lines, "*** signal ") {
        let number = signal.split_whitespace().next().unwrap_or_default();
        return Some(ended_by_signal(number));
    }
    let failed = lines.iter().rev().find_map(|line| {
        let (_, behind) = line.split_once("assertion ")?;
        behind.split_once(" failed at ").map(|(what, _)| what)
    });
    if let Some(what) = failed {
        return Some(format!("an assertion failed in Nanos ({what})"));
    }
    let faults = ["no fault handler", "stack check failed"];
    let faulted = lines
        .iter()
        .any(|line| faults.iter().any(|fault| line.contains(fault)));
    faulted.then(|| "the kernel of Nanos ran into a fault".to_owned())
}

/// runtime.cc, core/mmu.cc, libc/signal.cc.
fn osv(lines: &[String]) -> Option<String> {
    if let Some(assertion) = behind(lines, "Assertion failed: ") {
        return Some(format!("an assertion failed in OSv ({assertion})"));
    }
    if lines
        .iter()
        .any(|line| line.contains("page fault outside application"))
    {
        return Some("the kernel of OSv ran into a page fault".to_owned());
    }
    if let Some(signal) = behind(lines, "Uncaught signal ") {
        let number = signal.split_whitespace().next().unwrap_or_default();
        return Some(ended_by_signal(number));
    }
    let aborted = lines.iter().any(|line| line.trim() == "Aborted");
    aborted.then(|| "the program in OSv aborted".to_owned())
}

/// kernel/panic.c of Linux.
fn linux(lines: &[String]) -> Option<String> {
    let why = behind(lines, "Kernel panic - not syncing: ")?;
    let why = why.split(" ]---").next().unwrap_or(why);
    Some(format!("the Linux kernel panicked ({})", plain(why)))
}

fn ended_by_signal(number: &str) -> String {
    let name = match number {
        "4" => " (SIGILL)",
        "6" => " (SIGABRT)",
        "7" => " (SIGBUS)",
        "8" => " (SIGFPE)",
        "9" => " (SIGKILL)",
        "11" => " (SIGSEGV)",
        "15" => " (SIGTERM)",
        _ => "",
    };
    format!("its program was ended by signal {number}{name}")
}

/// What the run-time systems of languages say, whatever is under them.
fn language(lines: &[String]) -> Option<String> {
    if let Some(exception) = behind(lines, "Fatal error: exception ") {
        return Some(format!(
            "the program ended by an exception of OCaml ({exception})"
        ));
    }
    if let Some(place) = behind(lines, "panicked at ") {
        let place = place.trim_end_matches(':');
        return Some(format!("a panic of Rust at {place}"));
    }
    if let Some(what) = behind(lines, "terminate called after throwing an instance of ") {
        return Some(format!("the program ended by an exception of C++ ({what})"));
    }
    let is_go = |line: &str| line.starts_with("fatal error: ") || line.starts_with("panic: ");
    let go = lines.iter().rev().find(|line| is_go(line));
    go.map(|line| format!("the program ended by a {}", plain(line)))
}

/// Without what a kernel's log puts before and behind a message.
fn plain(text: &str) -> &str {
    let text = text.trim();
    text.rsplit_once(']').map_or(text, |(_, text)| text.trim())
}
