use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn base(folder: &Path) -> Base {
    let path = folder.join("base");
    fs::write(&path, vec![7; 1 << 20]).unwrap();
    Base {
        path,
        layout: DiskLayout::Raw,
    }
}

#[tokio::test]
async fn a_disk_in_a_folder_is_made_whole_grows_and_leaves_its_base_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let before = fs::read(&base.path).unwrap();
    // What a kill left.
    fs::write(folder.path().join("disk.new"), b"half").unwrap();
    let place = Folder(folder.path().to_owned());
    assert_eq!(place.find().await.unwrap(), None);
    let progress = Progress::new().0;
    place
        .make(Size::mib(2), Some(&base), &progress)
        .await
        .unwrap();
    let made = place.find().await.unwrap().unwrap();
    assert_eq!((made.kind, made.size), (Kind::Overlay, Size::mib(2)));
    let mode = fs::metadata(&made.path).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    // QEMU does it where a guest has it.
    for (by, expect) in [(Use::Guest, 2), (Use::Nobody, 8)] {
        place.grow(Size::mib(8), by).await.unwrap();
        let size = place.find().await.unwrap().unwrap().size;
        assert_eq!(size, Size::mib(expect));
    }
    assert_eq!(fs::read(&base.path).unwrap(), before);
    for _ in 0..2 {
        place.remove().await.unwrap();
        assert_eq!(place.find().await.unwrap(), None);
    }
    assert!(!folder.path().join("disk.new").exists());
}
