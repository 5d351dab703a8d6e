//! `rhyzome image import` while the core, itself, the connection or the source gives way.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::process::Child;

use rhyzome_testkit::Disk;
use serde_json::Value;

use super::core::{Core, Told};
use super::web::Web;
use super::{MIB, bytes};
use crate::wait_for;

const IMPORT: [&str; 3] = ["image", "import", "big"];

/// A core, and a file to import.
fn core(mib: u64) -> (Core, Vec<u8>) {
    let core = Core::start();
    let bytes = bytes(mib);
    fs::write(core.path("big"), &bytes).unwrap();
    (core, bytes)
}

/// An import that has come half-way.
fn half(core: &Core, arguments: &[&str]) -> Child {
    core.proxy.allow_up(9 * MIB);
    let child = core.spawn(arguments);
    wait_for("half of it", || {
        let there = core
            .blobs()
            .first()
            .and_then(|path| fs::metadata(path).ok());
        core.proxy.is_full() && there.is_some_and(|there| there.len() >= 8 * MIB)
    });
    child
}

/// The image is what it shall be, by its bytes.
#[track_caller]
fn check(core: &Core, bytes: &[u8]) {
    let shown = core.run(&["image", "show", "big", "--json"]).good();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let digest = rhyzome_model::Digest::of(bytes).to_string();
    assert_eq!(shown["spec"]["digest"], digest);
    let blobs = core.blobs();
    assert!(blobs.iter().any(|path| fs::read(path).unwrap() == bytes));
    core.run(&["image", "verify", "big"]).good();
}

#[test]
fn an_import_goes_on_when_the_core_was_killed_in_the_middle_of_it() {
    let (mut core, bytes) = core(20);
    let child = half(&core, &IMPORT);
    core.kill();
    core.proxy.cut();
    core.again();
    core.proxy.allow_all();
    let told = Told::of_child(child).good();
    // The last piece was written, and maybe not written down yet.
    assert!(told.stderr.contains("going on from"), "{told:?}");
    let moved = core.proxy.moved_up();
    assert!(moved < 17 * MIB, "{moved} bytes went again");
    check(&core, &bytes);
    assert_eq!(core.blobs().len(), 1);
}

#[test]
fn an_import_that_was_killed_is_gone_on_with_by_the_next() {
    let (core, bytes) = core(20);
    let mut child = half(&core, &IMPORT);
    child.kill().unwrap();
    child.wait().unwrap();
    core.proxy.cut();
    core.proxy.allow_all();
    let told = core.run(&IMPORT).good();
    assert!(told.stderr.contains("going on from 8."), "{told:?}");
    let moved = core.proxy.moved_up();
    assert!(moved < 13 * MIB, "{moved} bytes went again");
    check(&core, &bytes);
    core.proxy.allow_all();
    let again = core
        .run(&["image", "import", "big", "--tag", "big:1"])
        .good();
    assert!(again.stderr.contains("has big already"), "{again:?}");
    assert!(core.proxy.moved_up() < MIB, "known bytes are not sent");
    let listed = core
        .run(&["image", "list", "--tag", "big", "--quiet"])
        .good();
    assert_eq!(listed.stdout, "big\n");
}

#[test]
fn a_source_that_is_altered_in_between_is_noticed() {
    let (core, mut bytes) = core(20);
    // Between two runs: the second one knows nothing of the first one's bytes.
    let mut child = half(&core, &IMPORT);
    child.kill().unwrap();
    child.wait().unwrap();
    core.proxy.cut();
    core.proxy.allow_all();
    bytes[100_000] ^= 1;
    fs::write(core.path("big"), &bytes).unwrap();
    let told = core.run(&IMPORT).good();
    assert!(!told.stderr.contains("going on from"), "{told:?}");
    check(&core, &bytes);

    // While it is being sent: in its place, so that the core finds out, and shorter.
    core.run(&["image", "delete", "big"]).good();
    for shorter in [false, true] {
        bytes[200_000] ^= 1;
        fs::write(core.path("big"), &bytes).unwrap();
        core.proxy.allow_up(MIB);
        let child = core.spawn(&IMPORT);
        wait_for("the beginning of it", || core.proxy.is_full());
        let mut file = fs::File::options()
            .write(true)
            .open(core.path("big"))
            .unwrap();
        if shorter {
            file.set_len(15 * MIB).unwrap();
        } else {
            file.seek(SeekFrom::Start(19 * MIB)).unwrap();
            file.write_all(b"altered").unwrap();
        }
        drop(file);
        core.proxy.allow_all();
        Told::of_child(child).refused(1, "big was changed while it was being imported");
        core.run(&["image", "show", "big"])
            .refused(3, "there is no image big");
        bytes = self::bytes(20);
    }
}

/// Of the core, and of whoever imports. Needs root.
#[test]
fn an_import_that_finds_a_disk_full_says_whose_and_goes_on_when_there_is_room() {
    Disk::with(100, |disk| {
        let core = Core::start_on(&disk);
        let mut bytes = bytes(20);
        fs::write(core.path("big"), &bytes).unwrap();
        disk.fill(9 << 10);
        let told = core.run(&IMPORT).refused(4, "the core's disk is full");
        assert!(told.stderr.contains("free some space"), "{told:?}");
        let listed = core.run(&["image", "list", "--json"]).good();
        assert!(!listed.stdout.contains("big"), "{listed:?}");
        disk.free();
        let told = core.run(&IMPORT).good();
        assert!(told.stderr.contains("going on from"), "{told:?}");
        check(&core, &bytes);

        core.run(&["image", "delete", "big"]).good();
        bytes[300_000] ^= 1;
        let web = Web::with(bytes.clone());
        let url = web.url("/big");
        let import = ["image", "import", &url, "--name", "big"];
        disk.fill(9 << 10);
        let told = core.run(&import).refused(1, "No space left on device");
        assert!(told.stderr.contains("/downloads/"), "{told:?}");
        disk.free();
        core.run(&import).good();
        let last = web.asked().pop().unwrap();
        assert!(last.contains("bytes="), "it began anew: {last}");
        check(&core, &bytes);
    });
}

#[test]
fn a_download_goes_on_by_ranges_behind_redirects() {
    let (core, bytes) = core(4);
    let web = Web::with(bytes.clone());
    let moved = web.url("/moved");
    let import = ["image", "import", &moved, "--name", "big"];
    let half = bytes.len() / 2;
    web.set(|state| state.cuts = vec![half, 1000]);
    let told = core.run(&import).good();
    assert!(
        told.stderr.contains("the connection broke, going on"),
        "{told:?}"
    );
    let asked = web.asked();
    assert_eq!(asked[..2], ["/moved", "/big"]);
    assert_eq!(asked.len(), 6, "{asked:?}");
    let range = |asked: &str| -> usize {
        let (_, start) = asked.split_once("bytes=").unwrap();
        start.trim_end_matches('-').parse().unwrap()
    };
    let ranges = [range(&asked[3]), range(&asked[5])];
    assert!(ranges[0] > half / 2 && ranges[1] >= ranges[0], "{asked:?}");
    check(&core, &bytes);
    let cache = core.path(".cache/rhyzome/downloads");
    assert_eq!(fs::read_dir(cache).unwrap().count(), 0, "nothing is kept");

    let round = web.url("/round");
    core.run(&["image", "import", &round, "--name", "round"])
        .refused(1, "redirected more than");
}

#[test]
fn a_download_that_was_killed_is_gone_on_with_unless_its_bytes_are_others_by_now() {
    let (core, mut bytes) = core(20);
    let web = Web::with(bytes.clone());
    let url = web.url("/big");
    let import = ["image", "import", &url, "--name", "big"];
    // Killed while it uploads: all is there, and only the last byte is asked for again.
    let mut child = half(&core, &import);
    child.kill().unwrap();
    child.wait().unwrap();
    core.proxy.cut();
    core.proxy.allow_all();
    web.asked();
    let told = core.run(&import).good();
    assert!(told.stderr.contains("going on from 8."), "{told:?}");
    assert_eq!(web.asked(), [format!("/big bytes={}-", bytes.len() - 1)]);
    check(&core, &bytes);

    // Killed half-way, and the server has other bytes when it is run again.
    for tag in [Some("\"second\"".to_owned()), None] {
        core.run(&["image", "delete", "big"]).good();
        bytes[300_000] ^= 1;
        web.asked();
        web.set(|state| {
            state.bytes.clone_from(&bytes);
            state.cuts = vec![5_000_000, 0];
        });
        let mut child = core.spawn(&import);
        wait_for("half of it", || web.count() > 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let kept = fs::read_dir(core.path(".cache/rhyzome/downloads")).unwrap();
        let kept: u64 = kept
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(kept > 4 * MIB, "{kept}");
        bytes[400_000] ^= 1;
        web.set(|state| {
            state.bytes.clone_from(&bytes);
            state.tag = tag;
            state.cuts.clear();
        });
        let pin = rhyzome_model::Digest::of(&bytes).to_string();
        core.run(&[&import[..], &["--sha256", &pin]].concat())
            .good();
        check(&core, &bytes);
    }
    // Bytes that the core has are not even asked for, where they are pinned.
    web.asked();
    let pin = rhyzome_model::Digest::of(&bytes).to_string();
    let told = core
        .run(&[&import[..], &["--sha256", &pin]].concat())
        .good();
    assert!(told.stderr.contains("already"), "{told:?}");
    assert_eq!(web.asked(), Vec::<String>::new());
    let other = "0".repeat(64);
    let told = core.run(&[&import[..], &["--sha256", &other]].concat());
    told.refused(2, "has the digest");
}
