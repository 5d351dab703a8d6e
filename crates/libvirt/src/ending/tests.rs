use proptest::prelude::*;
use rhyzome_model::Size;
use rhyzome_model::image::{DiskFirmware, DiskGuest, DiskLayout};

use super::Outcome::{Crashed, Rebooted, ShutDown};
use super::*;

fn solo5() -> ImageFormat {
    ImageFormat::Solo5 {
        networks: 0,
        blocks: 0,
        devices: Vec::new(),
    }
}

fn unikraft() -> ImageFormat {
    ImageFormat::Unikraft { parameters: true }
}

fn disk(guest: Option<DiskGuest>) -> ImageFormat {
    ImageFormat::Disk {
        layout: DiskLayout::Raw,
        size: Size::mib(64),
        firmware: DiskFirmware::Bios,
        guest,
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// The first run, and the next.
const FIRST: Option<Run> = Some(Run(7));
const NEXT: Option<Run> = Some(Run(8));

fn check(events: &[What], format: &ImageFormat, lines: &[&str], expect: (Outcome, &str)) {
    let of_first = |what: &What| (FIRST, what.clone());
    check_runs(events.iter().map(of_first), format, lines, expect);
}

fn check_runs(
    events: impl IntoIterator<Item = (Option<Run>, What)>,
    format: &ImageFormat,
    lines: &[&str],
    expect: (Outcome, &str),
) {
    let mut signs = Signs::default();
    for (run, what) in events {
        signs.add(run, what);
    }
    let ending = judge(&signs, format, &owned(lines));
    assert!(
        ending.outcome == expect.0 && ending.why.starts_with(expect.1),
        "{ending:?}, expected {expect:?}"
    );
}

fn shutdown(reason: &str) -> What {
    What::Shutdown(reason.to_owned())
}

fn powered_off() -> [What; 2] {
    [shutdown("guest-shutdown"), What::Stopped(Stopped::Shutdown)]
}

#[test]
fn the_first_reason_counts_and_a_panic_before_all() {
    use ImageFormat::Pvh;
    let stopped = What::Stopped(Stopped::Shutdown);
    let signal = shutdown("host-signal");
    check(
        &[shutdown("guest-shutdown"), signal.clone(), stopped.clone()],
        &Pvh,
        &["bye"],
        (ShutDown, "it shut itself down"),
    );
    check(
        &[shutdown("guest-reset"), signal.clone(), stopped.clone()],
        &Pvh,
        &[],
        (Crashed, "it reset itself"),
    );
    let panic = [What::Panicked, shutdown("guest-shutdown"), stopped.clone()];
    check(&panic, &Pvh, &[], (Crashed, "the guest panicked"));
    check(
        &[signal, What::Stopped(Stopped::Crashed)],
        &Pvh,
        &[],
        (Crashed, "somebody on the host"),
    );
    check(
        &[What::Stopped(Stopped::Crashed)],
        &Pvh,
        &[],
        (Crashed, "its QEMU ended without warning"),
    );
    check(&[], &Pvh, &[], (Crashed, "it ended while this component"));
    // What was before the start does not count, also where it is told late, or of a domain that is gone.
    let started = (NEXT, What::Started);
    let ended = (None, stopped.clone());
    let crashed = (None, What::Stopped(Stopped::Crashed));
    for before in [vec![(FIRST, What::Panicked)], vec![crashed]] {
        let events = before.into_iter().chain([started.clone(), ended.clone()]);
        check_runs(events, &Pvh, &[], (ShutDown, "it shut itself down"));
    }
}

/// A guest may have ended before libvirt says that it has started.
#[test]
fn what_happened_before_the_word_of_the_start_counts() {
    use ImageFormat::Pvh;
    let (signal, stopped) = (shutdown("host-signal"), What::Stopped(Stopped::Shutdown));
    let (reset, off) = (shutdown("guest-reset"), shutdown("guest-shutdown"));
    for (first, expect) in [
        (reset, (Crashed, "it reset itself")),
        (off, (ShutDown, "it shut itself down")),
        (What::Panicked, (Crashed, "the guest panicked")),
    ] {
        let events = [first, What::Started, signal.clone(), stopped.clone()];
        check(&events, &Pvh, &[], expect);
    }
}

#[test]
fn why_it_was_ended_here_is_kept_whatever_is_told_of_its_run_first() {
    let mut signs = Signs {
        ended_here: Some("it was ended here".to_owned()),
        ..Signs::default()
    };
    signs.add(FIRST, shutdown("host-signal"));
    signs.add(None, What::Stopped(Stopped::Destroyed));
    let ending = judge(&signs, &ImageFormat::Pvh, &[]);
    assert_eq!(ending, Ending::crashed("it was ended here"));
}

#[test]
fn a_unikernel_that_powers_off_after_a_crash_is_known_by_its_last_words() {
    let check = |format: &ImageFormat, lines: &[&str], expect| {
        check(&powered_off(), format, lines, expect);
    };
    check(
        &solo5(),
        &["Solo5: solo5_exit(0) called"],
        (ShutDown, "the unikernel exited with status 0"),
    );
    check(
        &solo5(),
        &["Solo5: solo5_exit(255) called"],
        (Crashed, "the unikernel exited with status 255"),
    );
    check(
        &solo5(),
        &[
            "Fatal error: exception Failure(\"no route\")",
            "Solo5: solo5_exit(2) called",
        ],
        (
            Crashed,
            "the program ended by an exception of OCaml (Failure(\"no route\")), and exited with status 2",
        ),
    );
    check(
        &solo5(),
        &[
            "Solo5: trap: type=#PF ec=0x0 rip=0x10a3f0 rsp=0x1fffe0 rflags=0x10046",
            "Solo5: trap: cr2=0x0",
            "Solo5: ABORT: cpu_x86_64.c:163: Fatal trap",
        ],
        (
            Crashed,
            "the unikernel ran into a trap of the processor (#PF)",
        ),
    );
    check(
        &solo5(),
        &[
            "Solo5: Device 'service' of type NET_BASIC not attached.",
            "Solo5: All declared devices must be attached. Aborting.",
            "Solo5: solo5_abort() called",
        ],
        (Crashed, "the unikernel did not find its device service"),
    );
    check(
        &solo5(),
        &["Solo5: ABORT: virtio_net.c:91: Assertion `x' failed"],
        (Crashed, "the unikernel aborted (virtio_net.c:91: Assertion"),
    );
    check(&solo5(), &["nothing"], (ShutDown, "it shut itself down"));
    // Another family's words are not its own.
    check(
        &ImageFormat::Pvh,
        &["solo5_exit(1)"],
        (ShutDown, "it shut itself down"),
    );
}

#[test]
fn every_family_has_last_words_of_its_own() {
    let check = |format: &ImageFormat, lines: &[&str], expect| {
        check(&powered_off(), format, lines, expect);
    };
    check(
        &unikraft(),
        &["[    0.1] CRIT: [libfoo] Assertion failure: x > 0"],
        (Crashed, "an assertion failed in Unikraft (x > 0)"),
    );
    check(
        &unikraft(),
        &[
            "[    0.1] CRIT: [libkvmplat] Unhandled Trap 6 (invalid opcode), error code=0x0",
            "[    0.1] CRIT: [libkvmplat] Crashing",
        ],
        (Crashed, "the unikernel ran into trap 6 (invalid opcode)"),
    );
    check(
        &unikraft(),
        &[
            "[    0.104718] Info: [libukboot] <boot.c @  503> main returned 3",
            "[    0.104844] Info: [libukboot] <boot.c @  421> Halting system (0)",
        ],
        (Crashed, "the unikernel exited with status 3"),
    );
    check(
        &unikraft(),
        &[
            "[    0.121472] ERR:  [libukrandom] <random.c @   65> Could not initialize the HWRNG (-95)",
            "[    0.121668] ERR:  [libukboot] <boot.c @  385> Init function at 0x126200 returned error -95",
        ],
        (Crashed, "Unikraft found no random numbers in the processor"),
    );
    check(
        &unikraft(),
        &[
            "[    0.1] ERR:  [libukboot] <boot.c @  385> Init function at 0x126200 returned error -12",
        ],
        (
            Crashed,
            "Unikraft did not come up: its init function at 0x126200 returned error -12",
        ),
    );
    check(
        &ImageFormat::Hermit,
        &["[0][PANIC] panicked at src/main.rs:3:5:", "no such file"],
        (
            Crashed,
            "a panic of Rust at src/main.rs:3:5 in Hermit's kernel",
        ),
    );
    check(
        &ImageFormat::Osv,
        &["Assertion failed: p (main.cc: f: 7)"],
        (Crashed, "an assertion failed in OSv (p (main.cc: f: 7))"),
    );
    check(
        &disk(Some(DiskGuest::Nanos)),
        &[
            "*** signal 11 received by tid 2, errno 0, code 1",
            "    fault address 0x0",
            "*** Thread context:",
            "   core dump",
        ],
        (Crashed, "its program was ended by signal 11 (SIGSEGV)"),
    );
    check(
        &disk(Some(DiskGuest::Nanos)),
        &["assertion b failed at src/kernel/a.c:12 (IP 0x1) in f()"],
        (Crashed, "an assertion failed in Nanos (b)"),
    );
    check(
        &ImageFormat::Pvh,
        &["thread 'main' panicked at src/main.rs:3:5:", "no"],
        (Crashed, "a panic of Rust at src/main.rs:3:5"),
    );
}

#[test]
fn a_panic_that_the_guest_reports_is_told_with_its_reason() {
    check(
        &[What::Panicked, shutdown("guest-panic")],
        &unikraft(),
        &["CRIT: Assertion failure: x > 0"],
        (
            Crashed,
            "the guest panicked: an assertion failed in Unikraft (x > 0)",
        ),
    );
}

#[test]
fn linux_may_reboot_and_its_panic_is_none() {
    let reset = [shutdown("guest-reset"), What::Stopped(Stopped::Shutdown)];
    check(
        &reset,
        &ImageFormat::Linux,
        &["[   12.3] reboot: Restarting system"],
        (Rebooted, "it rebooted itself"),
    );
    check(
        &reset,
        &ImageFormat::Linux,
        &[
            "[    0.9] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        ],
        (
            Crashed,
            "the Linux kernel panicked (VFS: Unable to mount root fs on unknown-block(0,0))",
        ),
    );
    // What a program on it says is no end of the system.
    check(
        &powered_off(),
        &ImageFormat::Linux,
        &["panicked at src/main.rs:1:1:", "[  9.1] reboot: Power down"],
        (ShutDown, "it shut itself down"),
    );
}

#[test]
fn only_words_after_which_a_family_halts_make_a_silent_guest_a_crashed_one() {
    let check = |format: &ImageFormat, lines: &[&str], expect: Option<&str>| {
        assert_eq!(words::halted(format, &owned(lines)).as_deref(), expect);
    };
    check(
        &ImageFormat::Hermit,
        &[
            "[0][ERROR] General Protection (#GP) Exception: ExceptionStackFrame {",
            "}, error 0x0",
        ],
        Some(
            "the unikernel ran into a fault of the processor (General Protection (#GP) Exception)",
        ),
    );
    check(
        &ImageFormat::Hermit,
        &[
            "[LOADER] panicked at src/os/none/mod.rs:26:49:",
            "called `Result::unwrap()`",
        ],
        Some("the Hermit loader panicked: is its initrd a Hermit application?"),
    );
    check(
        &ImageFormat::Linux,
        &[
            "[    1.2] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100 ]---",
        ],
        Some("the Linux kernel panicked (Attempted to kill init! exitcode=0x00000100)"),
    );
    check(
        &solo5(),
        &["Solo5: solo5_exit(1) called", "Solo5: Halted"],
        Some("the unikernel exited with status 1"),
    );
    check(&ImageFormat::Hermit, &["hello", "listening"], None);
    check(
        &ImageFormat::Linux,
        &["---[ end Kernel panic - not syncing: x ]---", "login:"],
        None,
    );
    check(&solo5(), &["Solo5: solo5_exit(1) called"], None);
    check(&ImageFormat::Pvh, &[], None);
    let lines = owned(&["---[ end Kernel panic - not syncing: x ]---"]);
    let signs = Signs {
        ended_here: halted(&ImageFormat::Linux, &lines),
        stopped: Some(Stopped::Destroyed),
        ..Signs::default()
    };
    assert_eq!(
        judge(&signs, &ImageFormat::Linux, &[]),
        Ending::crashed(
            "the Linux kernel panicked (x); it then halted for ever, and was ended here"
        )
    );
}

#[test]
fn a_guest_that_resets_for_ever_is_found_out() {
    let mut signs = Signs::default();
    for _ in 0..4 {
        signs.add(FIRST, What::Reset);
    }
    assert_eq!(signs.reset_loop(), None);
    signs.add(FIRST, What::Reset);
    signs.ended_here = signs.reset_loop();
    let ending = judge(&signs, &ImageFormat::Linux, &[]);
    assert!(
        ending.outcome == Crashed && ending.why.starts_with("it reset itself 5 times"),
        "{ending:?}"
    );
    signs.add(NEXT, What::Started);
    assert_eq!(signs.reset_loop(), None);
}

proptest! {
    #[test]
    fn any_last_words_are_judged(
        lines in proptest::collection::vec("(Solo5: |trap: type=|solo5_exit\\(|\\)|Device '|panicked at |\\]|:|\\PC){0,6}", 0..5),
    ) {
        for format in [disk(None), disk(Some(DiskGuest::Nanos)), solo5(), unikraft(), ImageFormat::Hermit, ImageFormat::Linux, ImageFormat::Osv, ImageFormat::Pvh] {
            let _ = judge(&Signs::default(), &format, &lines);
            let _ = halted(&format, &lines);
        }
    }
}
