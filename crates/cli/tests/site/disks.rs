//! Disk images as `qemu-img` makes them: what boots is taken whatever its layout, the rest is refused with
//! the reason.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::MIB;
use super::core::Core;

/// The least that BIOS boots: a program in the first sector and a partition (type 0x83, from sector 2048 on).
fn disk() -> Vec<u8> {
    let mut disk = super::bytes(8);
    disk[..0x400].fill(0);
    disk[..2].copy_from_slice(&[0xeb, 0xfe]);
    disk[0x1be..0x1c6].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0]);
    disk[0x1c6..0x1ca].copy_from_slice(&2048u32.to_le_bytes());
    disk[0x1ca..0x1ce].copy_from_slice(&1000u32.to_le_bytes());
    disk[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    disk
}

fn qemu_img(core: &Core, line: &str) {
    let made = Command::new("qemu-img")
        .args(line.split(' '))
        .current_dir(core.folder.path())
        .stdout(Stdio::null())
        .status()
        .expect("qemu-img is installed: Debian's qemu-utils");
    assert!(made.success(), "qemu-img {line}");
}

#[test]
fn disk_images_of_every_layout_are_taken_and_their_size_is_the_headers() {
    let core = Core::start();
    fs::write(core.path("raw"), disk()).unwrap();
    for (name, options) in [
        ("plain", "-O qcow2"),
        ("old", "-O qcow2 -o compat=0.10"),
        ("packed", "-c -O qcow2"),
        ("large", "-O qcow2 -o cluster_size=2M"),
        ("small", "-c -O qcow2 -o cluster_size=512"),
        ("extended", "-O qcow2 -o extended_l2=on,cluster_size=128k"),
    ] {
        qemu_img(&core, &format!("convert {options} raw {name}"));
        core.run(&["image", "import", name]).good();
        let shown = core.run(&["image", "show", name, "--json"]).good();
        let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
        let format = &shown["format"];
        assert_eq!(
            (
                &format["family"],
                &format["layout"],
                &format["size"],
                &format["firmware"]
            ),
            (
                &"disk".into(),
                &"qcow2".into(),
                &"8MiB".into(),
                &"bios".into()
            ),
            "{name}: {shown}"
        );
    }
    // As large as its header says, however small the file is.
    qemu_img(&core, "convert -c -O qcow2 raw grown");
    qemu_img(&core, "resize grown 64G");
    core.run(&["image", "import", "grown"]).good();
    core.run(&[
        "instance", "create", "one", "--image", "grown", "--disk", "63GiB",
    ])
    .refused(
        4,
        "--disk: the image is a disk of 64GiB: 63GiB is too small for it",
    );
}

#[test]
fn disk_images_that_are_not_whole_and_plain_are_refused_with_what_to_do() {
    let core = Core::start();
    fs::write(core.path("raw"), disk()).unwrap();
    qemu_img(&core, "convert -O qcow2 raw whole");
    qemu_img(&core, "create -f qcow2 -b whole -F qcow2 backed");
    qemu_img(
        &core,
        "create -f qcow2 -o data_file=elsewhere,data_file_raw=on apart 8M",
    );
    qemu_img(
        &core,
        "convert -c -O qcow2 -o compression_type=zstd raw zstd",
    );
    qemu_img(&core, "convert -O qcow2 raw kept");
    qemu_img(&core, "snapshot -c before kept");
    qemu_img(&core, "convert -O vmdk raw vmware");
    let whole = fs::read(core.path("whole")).unwrap();
    fs::write(core.path("cut"), &whole[..whole.len() - 70_000]).unwrap();
    fs::write(core.path("half"), &whole[..whole.len() / 2]).unwrap();
    let mut claims = whole.clone();
    claims[24..32].copy_from_slice(&(1u64 << 40).to_be_bytes());
    fs::write(core.path("claims"), claims).unwrap();
    fs::write(core.path("raw-cut"), &disk()[..MIB as usize - 100]).unwrap();
    for (name, reason) in [
        ("backed", "another"),
        ("apart", "has its data in another file"),
        ("zstd", "compress"),
        ("kept", "snapshot"),
        ("vmware", "qemu-img convert"),
        ("cut", "is cut off"),
        ("half", "is cut off"),
        ("claims", "its first table is too small for its disk"),
        ("raw-cut", "no whole sectors"),
    ] {
        core.run(&["image", "import", name]).refused(4, reason);
        core.run(&["image", "show", name])
            .refused(3, "there is no image");
    }
}
