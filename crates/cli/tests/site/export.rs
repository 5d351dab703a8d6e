//! `rhyzome image export`: into a file, to the standard output, and on after whatever cut it off.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::core::{Core, Told};
use super::{MIB, bytes};
use crate::wait_for;

/// A core with an image.
fn core(mib: u64) -> (Core, Vec<u8>) {
    let core = Core::start();
    let bytes = bytes(mib);
    fs::write(core.path("big"), &bytes).unwrap();
    core.run(&["image", "import", "big"]).good();
    (core, bytes)
}

/// What an export has left that was cut off.
fn partial(core: &Core) -> Option<PathBuf> {
    let entries = fs::read_dir(core.folder.path()).unwrap().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|ending| ending == "partial"))
}

const EXPORT: [&str; 5] = ["image", "export", "big", "--output", "copy"];

/// An export that has come half-way.
fn half(core: &Core) -> Child {
    core.proxy.allow_down(3 * MIB);
    let child = core.spawn(&EXPORT);
    wait_for("half of it", || {
        let there = partial(core).and_then(|path| fs::metadata(path).ok());
        core.proxy.is_full() && there.is_some_and(|there| there.len() > 2 * MIB)
    });
    child
}

#[test]
fn an_image_is_written_to_a_file_and_to_the_standard_output() {
    let (core, bytes) = core(1);
    core.run(&["image", "tag", "big", "big:1"]).good();
    let told = core.run(&EXPORT).good();
    assert!(
        told.stdout
            .starts_with("image big is in copy: 1.0 MiB, sha256:"),
        "{told:?}"
    );
    assert!(fs::read(core.path("copy")).unwrap() == bytes);
    assert_eq!(partial(&core), None);
    core.run(&EXPORT)
        .refused(2, "copy exists already: --force writes over it");
    fs::write(core.path("copy"), "old").unwrap();
    let before = fs::metadata(core.path("copy")).unwrap().ino();
    let json = core.run(&[
        "image", "export", "big:1", "--output", "copy", "--force", "--json",
    ]);
    let json: Value = serde_json::from_str(&json.good().stdout).unwrap();
    assert_eq!(
        (&json["image"], &json["size"]),
        (&"big".into(), &MIB.into())
    );
    assert!(fs::read(core.path("copy")).unwrap() == bytes);
    let after = fs::metadata(core.path("copy")).unwrap().ino();
    assert_ne!(before, after, "it was put in the place of the old one");
    fs::create_dir(core.path("folder")).unwrap();
    core.run(&["image", "export", "big", "--output", "folder", "--force"])
        .refused(2, "is not a file");
    core.run(&["image", "export", "big", "--output", "x", "--initrd"])
        .refused(2, "has no initial RAM disk");

    let mut child = core.spawn(&["image", "export", "big:1", "--output", "-"]);
    let mut got = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut got).unwrap();
    Told::of_child(child).good();
    assert!(got == bytes);
}

#[test]
fn an_export_goes_on_after_it_was_killed_or_interrupted() {
    let (mut core, bytes) = core(8);
    let mut child = half(&core);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!core.path("copy").exists());

    // The second one goes on from there, until it is interrupted and says what to do.
    core.proxy.cut();
    core.proxy.allow_down(2 * MIB);
    let child = core.spawn(&EXPORT);
    let length = || fs::metadata(partial(&core).unwrap()).unwrap().len();
    wait_for("more of it", || core.proxy.is_full() && length() > 4 * MIB);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let told = Told::of_child(child).refused(130, "run it again, and it goes on from there");
    assert!(told.stderr.contains(".partial"), "{told:?}");
    assert!(!core.path("copy").exists());

    core.proxy.cut();
    core.proxy.allow_all();
    core.run(&EXPORT).good();
    assert!(fs::read(core.path("copy")).unwrap() == bytes);
    assert_eq!(partial(&core), None);
    let moved = core.proxy.moved_down();
    assert!(moved < 4 * MIB, "{moved} bytes came again");

    // While one is at it, a second one to the same file is told so.
    fs::remove_file(core.path("copy")).unwrap();
    let child = half(&core);
    let mut second = core.command(&EXPORT);
    let second = second.env("RHYZOME_URL", core.url()).output().unwrap();
    Told::of(&second).refused(2, "another export is writing");
    // The connection, then the core itself is lost: the same command goes on.
    core.proxy.cut();
    core.kill();
    core.again();
    core.proxy.allow_all();
    let told = Told::of_child(child).good();
    assert!(told.stderr.contains("going on from"), "{told:?}");
    assert!(fs::read(core.path("copy")).unwrap() == bytes);
    let moved = core.proxy.moved_down();
    assert!(moved < 6 * MIB, "{moved} bytes came again");
}

#[test]
fn what_is_not_the_image_is_not_kept() {
    let (core, bytes) = core(8);
    let mut child = half(&core);
    child.kill().unwrap();
    child.wait().unwrap();
    core.proxy.cut();
    core.proxy.allow_all();
    let path = partial(&core).unwrap();
    let mut there = fs::read(&path).unwrap();
    there[1000] ^= 1;
    fs::write(&path, there).unwrap();
    let told = core
        .run(&EXPORT)
        .refused(1, "image big came with the digest sha256:");
    assert!(told.stderr.contains("nothing of it was kept"), "{told:?}");
    assert_eq!((partial(&core), core.path("copy").exists()), (None, false));

    let blob = core.blobs().pop().unwrap();
    let mut damaged = bytes.clone();
    damaged[5000] ^= 1;
    fs::write(&blob, damaged).unwrap();
    core.run(&EXPORT).refused(1, "damaged or gone");
    core.run(&["image", "show", "big"]).good();
    core.run(&EXPORT).refused(1, "damaged or gone");
    assert_eq!((partial(&core), core.path("copy").exists()), (None, false));
    core.run(&["image", "import", "big"]).good();
    core.run(&EXPORT).good();
    assert!(fs::read(core.path("copy")).unwrap() == bytes);
}
