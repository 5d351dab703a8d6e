//! The guest and the tests in it: how they end.

use std::time::Duration;

use rhyzome_lab::{Luggage, Machine};

use crate::LAB;

#[test]
fn a_script_says_what_it_wrote_and_how_it_ended_and_one_without_an_end_is_ended() {
    let mut machine = Machine::boot(&Luggage::new());
    let bound = Duration::from_secs(60);
    let output = machine.run("echo \"it's $(uname -r)\"\necho odd >&2; exit 7", bound);
    assert_eq!(output.status, 7);
    assert!(output.text.starts_with("it's "), "{output:?}");
    assert!(output.text.ends_with("-cloud-amd64\nodd\n"), "{output:?}");
    // Nothing is left of it.
    let output = machine.run("true", bound);
    assert_eq!((output.status, output.text.as_str()), (0, ""));
    // As those do who make a root of their own.
    let pivot = "mount -t tmpfs none /mnt && cd /mnt && mkdir old && pivot_root . old";
    let output = machine.run(&format!("unshare -m sh -ec '{pivot}'"), bound);
    assert_eq!((output.status, output.text.as_str()), (0, ""));

    let endless = || machine.run("echo begun; sleep 1000", Duration::from_secs(1));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(endless));
    let complaint = panic.unwrap_err().downcast::<String>().unwrap();
    assert!(
        complaint.contains("took more than 1 s: echo begun"),
        "{complaint}"
    );
    assert!(complaint.contains("---- it said\nbegun\n"), "{complaint}");
}

#[test]
fn a_test_runs_in_the_guest_and_not_here() {
    let here = std::process::id();
    LAB.run(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(host, "lab\n");
    });
    assert_eq!(here, std::process::id());
}

#[test]
#[should_panic(expected = "failed in the guest")]
fn a_test_that_fails_in_the_guest_fails_here() {
    LAB.run(|| panic!("as it should"));
}
