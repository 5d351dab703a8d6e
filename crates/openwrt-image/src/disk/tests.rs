use std::os::unix::fs::FileExt as _;
use std::process::Command;

use super::*;
use crate::samples::Layout;

/// What sfdisk says of partitions: their starts and sizes in sectors.
pub(crate) fn sfdisk(file: &File) -> Vec<(u64, u64)> {
    let output = Command::new("/sbin/sfdisk")
        .args(["--verify", "/dev/stdin"])
        .stdin(file.try_clone().unwrap())
        .output()
        .unwrap();
    let verified = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(verified.contains("No errors detected"), "{output:?}");
    let output = Command::new("/sbin/sfdisk")
        .args(["--dump", "/dev/stdin"])
        .stdin(file.try_clone().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let field = |line: &str, name: &str| -> Option<u64> {
        let (_, rest) = line.split_once(name)?;
        let value = rest.trim_start().split(',').next()?;
        value.trim().parse().ok()
    };
    text.lines()
        .filter_map(|line| Some((field(line, "start=")?, field(line, "size=")?)))
        .collect()
}

fn check(table: Table) {
    let file = Layout::new(table).disk();
    let size = file.metadata().unwrap().len();
    let disk = Disk::read(&file, size).unwrap();
    assert_eq!(disk.table, table);
    let sectors = |disk: &Disk| -> Vec<(u64, u64)> {
        let parts = disk.partitions.iter();
        parts
            .map(|part| (part.offset / SECTOR, part.size / SECTOR))
            .collect()
    };
    assert_eq!(sectors(&disk), sfdisk(&file));
    let root = disk.partitions.iter().max_by_key(|part| part.offset);
    let root = *root.unwrap();
    let grown = disk.grow(&file, root.number, 40 << 20).unwrap();
    assert_eq!((grown.offset, grown.size), (root.offset, 40 << 20));
    let size = file.metadata().unwrap().len();
    let again = Disk::read(&file, size).unwrap();
    assert_eq!(sectors(&again), sfdisk(&file));
    assert!(again.partitions.contains(&grown), "{again:?}");
    assert!(again.partitions.len() > 1);
}

#[test]
fn a_table_of_either_kind_is_read_and_grown_as_sfdisk_sees_it() {
    check(Table::Mbr);
    check(Table::Gpt);
}

#[test]
fn a_partition_grows_only_where_nothing_is_behind_it_and_never_shrinks() {
    let file = Layout::new(Table::Mbr).disk();
    let size = file.metadata().unwrap().len();
    let disk = Disk::read(&file, size).unwrap();
    let first = disk.grow(&file, 1, 40 << 20);
    assert!(
        matches!(first, Err(Error::NotLast { behind: 2 })),
        "{first:?}"
    );
    let smaller = disk.grow(&file, 2, 1 << 20);
    assert!(
        matches!(smaller, Err(Error::RootSize { .. })),
        "{smaller:?}"
    );
    let huge = disk.grow(&file, 2, 3 << 40);
    assert!(matches!(huge, Err(Error::TooLarge)), "{huge:?}");
}

#[test]
fn what_is_damaged_or_cut_off_is_refused() {
    for at in [16, 60, 512 + 100] {
        let file = Layout::new(Table::Gpt).disk();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 512 + at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 512 + at).unwrap();
        let size = file.metadata().unwrap().len();
        let got = Disk::read(&file, size);
        assert!(
            matches!(got, Err(Error::DamagedTable { .. })),
            "{at}: {got:?}"
        );
    }
    for table in [Table::Mbr, Table::Gpt] {
        let file = Layout::new(table).disk();
        let got = Disk::read(&file, 3 << 20);
        assert!(matches!(got, Err(Error::CutOff { .. })), "{got:?}");
    }
    let empty = tempfile::tempfile().unwrap();
    assert!(matches!(Disk::read(&empty, 0), Err(Error::NoTable)));
    empty.set_len(4096).unwrap();
    assert!(matches!(Disk::read(&empty, 4096), Err(Error::NoTable)));
}
