//! The image that a router starts from: an ext4 file system with the userland in it.

mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

pub use tree::needs;

/// Enough for the userland and some more, in MiB.
pub const SIZE: u64 = 64;

/// Makes an image: the userland with some files besides.
pub fn make(image: &Path, mebibytes: u64, files: &BTreeMap<String, String>, rpcd: bool) {
    let root = image.with_extension("tree");
    tree::make(&root);
    if !rpcd {
        tree::without_rpcd(&root);
    }
    for (path, text) in files {
        let path = root.join(path.trim_start_matches('/'));
        let parent = path.parent().expect("a file is in a folder");
        fs::create_dir_all(parent).expect("the tree is ours");
        fs::write(path, text).expect("there is room for temporary files");
    }
    let made = File::create(image).and_then(|file| file.set_len(mebibytes << 20));
    made.expect("there is room for the image");
    // Nothing that the kernel would write later by itself.
    run(Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-q", "-t", "ext4", "-m", "0", "-E"])
        .arg("lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0")
        .arg("-d")
        .args([&root, image]));
    fs::remove_dir_all(root).expect("the tree is ours");
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}
