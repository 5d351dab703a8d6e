use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::disk::Table;
use crate::files::Entry;
use crate::samples::{Image, ROOT, Router};

const PART: Partition = Partition {
    number: 2,
    offset: ROOT.0,
    size: ROOT.1,
};

fn file(image: &Image) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(&image.path).unwrap()
}

fn check(entries: &[Entry], expect: Result<(), &str>) {
    let image = Router::new().image(Table::Mbr);
    let (file, tools) = (file(&image), Tools::find().unwrap());
    let fs = FileSystem::new(&tools, &file, &PART).unwrap();
    let got = fs.write(entries).map_err(|e| e.to_string());
    match expect {
        Ok(()) => assert_eq!(got, Ok(())),
        Err(part) => assert!(got.clone().unwrap_err().contains(part), "{got:?}"),
    }
}

#[test]
fn what_is_written_is_there_with_its_mode_and_over_what_was() {
    let image = Router::new().with("etc/old", "old").image(Table::Gpt);
    let (file, tools) = (file(&image), Tools::find().unwrap());
    let fs = FileSystem::new(&tools, &file, &PART).unwrap();
    fs.mend().unwrap();
    let large = vec![0x5a; 3 << 20];
    let far = format!("../{}", "far/".repeat(30));
    fs.write(&[
        Entry::file("/etc/old", 0o600, "new"),
        Entry::file("/usr/sbin/agent", 0o4755, large.clone()),
        Entry::file("/a/b/with space", 0o644, ""),
        Entry::link("/etc/rc.d/S95x", "../init.d/x"),
        Entry::link("/etc/far", &far),
        Entry::folder("/srv/private", 0o700),
    ])
    .unwrap();
    let root = fs.list("/etc").unwrap().unwrap();
    assert_eq!(root["old"].mode, 0o100_600);
    assert_eq!(fs.read("/etc/old").unwrap().unwrap(), b"new");
    assert!(fs.read("/usr/sbin/agent").unwrap().unwrap() == large);
    assert_eq!(fs.list("/srv").unwrap().unwrap()["private"].mode, 0o040_700);
    assert_eq!(fs.list("/a").unwrap().unwrap()["b"].mode, 0o040_755);
    assert_eq!(fs.read("/nowhere").unwrap(), None);
    assert_eq!(fs.list("/etc/old").unwrap(), None);
    // What was there before is still there.
    assert!(fs.read("/etc/openwrt_release").unwrap().is_some());
    fs.check().unwrap();
}

#[test]
fn a_file_is_written_into_a_folder_that_is_behind_a_link() {
    let router = Router::new();
    std::os::unix::fs::symlink("usr", router.folder.path().join("link")).unwrap();
    let image = router.image(Table::Mbr);
    let (file, tools) = (file(&image), Tools::find().unwrap());
    let fs = FileSystem::new(&tools, &file, &PART).unwrap();
    fs.write(&[Entry::file("/link/sbin/x", 0o755, "x")])
        .unwrap();
    assert_eq!(fs.read("/usr/sbin/x").unwrap().unwrap(), b"x");
}

#[test]
fn what_is_in_the_way_and_what_has_no_room_is_refused() {
    check(
        &[Entry::file("/etc/config", 0o644, "")],
        Err("something else at /etc/config"),
    );
    check(
        &[Entry::file("/etc/openwrt_release/x", 0o644, "")],
        Err("something else at /etc/openwrt_release"),
    );
    check(
        &[Entry::file("/usr/large", 0o644, vec![1; 17 << 20])],
        Err("its root is full"),
    );
    let many: Vec<Entry> = (0..5000)
        .map(|n| Entry::link(&format!("/etc/{n}"), "x"))
        .collect();
    check(&many, Err("its root is full"));
    check(
        &[Entry::file("/etc/a\"b", 0o644, "")],
        Err("cannot be written into an image"),
    );
    check(
        &[Entry::link("/etc/a", "<2>\n")],
        Err("cannot be written into an image"),
    );
}

/// A program that does something else than it is asked to, in front of the real one.
fn tools_with(folder: &std::path::Path, script: &str) -> Tools {
    let path = folder.join("debugfs");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Tools::within(&[folder.to_owned(), "/usr/sbin".into(), "/sbin".into()]).unwrap()
}

#[test]
fn a_write_that_did_not_happen_is_noticed_whatever_debugfs_says() {
    let check = |script: &str, expect: &str| {
        let image = Router::new().image(Table::Mbr);
        let file = file(&image);
        let tools = tools_with(image.folder.path(), script);
        let fs = FileSystem::new(&tools, &file, &PART).unwrap();
        let entries = [
            Entry::file("/etc/x", 0o600, "x"),
            Entry::link("/etc/y", "x"),
        ];
        let got = fs.write(&entries).map_err(|e| e.to_string());
        assert!(
            got.clone().unwrap_err().contains(expect),
            "{script}: {got:?}"
        );
    };
    let real = "/usr/sbin/debugfs";
    let changed =
        |how: &str| format!("[ \"$1\" = -w ] && sed -i '{how}' \"$3\"\nexec {real} \"$@\"");
    check(
        &format!("[ \"$1\" = -w ] || exec {real} \"$@\""),
        "/etc/x was written and is not in the image",
    );
    check(
        &changed("/^write/s/in-0/commands/"),
        "its content is another",
    );
    check(
        &changed("/^symlink/s/\"x\"/\"z\"/"),
        "/etc/y was written and is not in the image: its content",
    );
    check(&changed("/mode 0100600/d"), "its mode is another");
    check(&changed("/\"x\" uid/s/0$/7/"), "it is not root");
    check("echo nothing", "did not answer");
}

#[test]
fn a_file_system_that_is_damaged_is_mended_or_refused() {
    use std::os::unix::fs::FileExt as _;
    let image = Router::new().image(Table::Mbr);
    let (file, tools) = (file(&image), Tools::find().unwrap());
    let fs = FileSystem::new(&tools, &file, &PART).unwrap();
    // The number of free blocks is off by a few, as some makers of file systems leave it.
    let free = fs.room().unwrap().free / fs.room().unwrap().block;
    let wrong = u32::try_from(free - 3).unwrap().to_le_bytes();
    file.write_all_at(&wrong, ROOT.0 + 1024 + 12).unwrap();
    fs.mend().unwrap();
    assert_eq!(fs.room().unwrap().free / 4096, free);
    // Where its inodes are.
    file.write_all_at(&[0xff; 64 << 10], ROOT.0 + 4096).unwrap();
    let got = fs.mend().map_err(|e| e.to_string());
    assert!(got.clone().unwrap_err().contains("damaged"), "{got:?}");
    file.write_all_at(&[0; 4096], ROOT.0).unwrap();
    assert!(matches!(fs.room(), Err(Error::Damaged { .. })));
}

#[test]
fn a_file_system_grows_with_its_partition() {
    for table in [Table::Mbr, Table::Gpt] {
        let image = Router::new().image(table);
        let (file, tools) = (file(&image), Tools::find().unwrap());
        let size = file.metadata().unwrap().len();
        let disk = crate::disk::Disk::read(&file, size).unwrap();
        let grown = disk.grow(&file, 2, 48 << 20).unwrap();
        let fs = FileSystem::new(&tools, &file, &grown).unwrap();
        fs.grow(grown.size, &tempfile::tempfile().unwrap()).unwrap();
        assert_eq!(fs.room().unwrap().size, 48 << 20);
        assert!(file.metadata().unwrap().len() >= grown.end());
        fs.write(&[Entry::file("/usr/large", 0o644, vec![1; 20 << 20])])
            .unwrap();
    }
}
