//! The flash: what is on it after a loss of power, when it is full, and how often it is written.

use std::fs::{self, File};
use std::io::Write;

use rhyzome_test_router::Router;

fn write(router: &Router, path: &str, text: &str) -> File {
    let mut file = File::create(router.path(path)).expect("the folder is there");
    file.write_all(text.as_bytes()).expect("there is room");
    file
}

/// What is there, and nothing where there is no file.
fn read(router: &Router, path: &str) -> String {
    fs::read_to_string(router.path(path)).unwrap_or_default()
}

#[test]
fn what_was_not_synced_is_lost_with_the_power() {
    let mut router = Router::start();
    let synced = write(&router, "/etc/synced", "there");
    synced.sync_all().unwrap();
    File::open(router.path("/etc")).unwrap().sync_all().unwrap();
    drop(synced);
    drop(write(&router, "/etc/lost", "gone"));
    // Renamed over a file that was there: the name may have either, and has nothing without a sync.
    drop(write(&router, "/etc/new", "after"));
    router.lose_power();
    assert_eq!(read(&router, "/etc/synced"), "there");
    assert!(!router.path("/etc/lost").exists());
    assert!(!router.path("/etc/new").exists());
}

#[test]
fn a_rename_whose_content_was_not_synced_may_leave_an_empty_file() {
    let mut router = Router::start();
    write(&router, "/etc/file", "before").sync_all().unwrap();
    File::open(router.path("/etc")).unwrap().sync_all().unwrap();
    drop(write(&router, "/etc/file.new", "after"));
    fs::rename(router.path("/etc/file.new"), router.path("/etc/file")).unwrap();
    // The name is written, and what it names is not.
    File::open(router.path("/etc")).unwrap().sync_all().unwrap();
    router.lose_power();
    assert_eq!(read(&router, "/etc/file"), "");
}

#[test]
fn a_start_in_good_order_keeps_everything_but_what_was_in_memory() {
    let mut router = Router::start();
    drop(write(&router, "/etc/kept", "there"));
    drop(write(&router, "/tmp/gone", "there"));
    router.reboot();
    assert_eq!(read(&router, "/etc/kept"), "there");
    assert!(!router.path("/tmp/gone").exists());
    assert!(
        router
            .output(["ubus", "call", "network.interface.lan", "status"])
            .contains("\"up\": true")
    );
}

#[test]
fn a_full_flash_takes_nothing_more() {
    let router = Router::start();
    router.fill_flash();
    let mut file = File::create(router.path("/etc/more")).unwrap();
    let written = file.write_all(&[1; 4096]).and_then(|()| file.sync_all());
    assert!(written.is_err(), "there is room");
    router.empty_flash();
    file.write_all(&[1; 4096])
        .and_then(|()| file.sync_all())
        .unwrap();
}

#[test]
fn uci_commit_on_a_full_flash_ends_well_and_truncates_the_file() {
    let router = Router::start();
    let before = read(&router, "/etc/config/network");
    assert!(before.contains("interface 'lan'"));
    router.output(["uci", "set", "network.lan.mtu=1400"]);
    router.fill_flash();
    let output = router.run(["uci", "commit", "network"]);
    assert!(output.status.success());
    let after = read(&router, "/etc/config/network");
    assert!(after.len() < before.len(), "{after}");
}

#[test]
fn a_router_that_does_nothing_writes_nothing() {
    let router = Router::start();
    let before = router.written();
    router.output(["uci", "show", "network"]);
    router.output(["ubus", "call", "network", "reload"]);
    router.output(["fw4", "reload"]);
    assert_eq!(router.written(), before);
    router.output(["uci", "set", "system.@system[0].hostname=Other"]);
    assert_eq!(router.written(), before);
    router.output(["uci", "commit", "system"]);
    let after = router.written();
    assert!(after.transactions > before.transactions && after.bytes > before.bytes);
}
