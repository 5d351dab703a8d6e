//! The image that a router starts from: an ext4 file system with the userland in it.

mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Enough for the userland and some MiB.
const SIZE: &str = "64M";

/// Makes `image` in a folder: the userland with some files besides.
pub fn make(folder: &Path, files: &BTreeMap<String, String>, rpcd: bool) {
    let image = folder.join("image");
    let root = folder.join("tree");
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
    run(Command::new("truncate").args(["-s", SIZE]).arg(&image));
    // Nothing that the kernel would write later by itself.
    run(Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-q", "-t", "ext4", "-m", "0", "-E"])
        .arg("lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0")
        .arg("-d")
        .args([&root, &image]));
    fs::remove_dir_all(root).expect("the tree is ours");
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}
