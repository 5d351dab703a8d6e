use proptest::prelude::*;

use super::build::*;
use super::*;

fn check(bytes: &[u8], expect: Result<ImageFormat, &str>) {
    let got = recognise(bytes).map_err(|refused| refused.to_string());
    assert_eq!(got, expect.map_err(str::to_owned));
}

fn elf(bits: u8, change: impl FnOnce(&mut ElfBuilder)) -> Vec<u8> {
    let mut builder = ElfBuilder::new(bits);
    change(&mut builder);
    builder.build()
}

/// One image of each kind that is taken.
fn images() -> Vec<(Vec<u8>, ImageFormat)> {
    let solo5 = |manifest: &[u32]| {
        elf(64, |elf| {
            elf.content = multiboot(0x1_0003);
            elf.notes = vec![solo5_note(3), solo5_manifest(manifest)];
        })
    };
    vec![
        (linux(4), ImageFormat::Linux),
        (
            elf(64, |elf| elf.notes = vec![pvh_note()]),
            ImageFormat::Pvh,
        ),
        (
            elf(32, |elf| elf.notes = vec![note("Xen", 18, &[0; 4])]),
            ImageFormat::Pvh,
        ),
        (
            elf(32, |elf| elf.content = multiboot(3)),
            ImageFormat::Multiboot,
        ),
        (
            elf(64, |elf| elf.content = multiboot(0x1_0003)),
            ImageFormat::Multiboot,
        ),
        (
            solo5(&[]),
            ImageFormat::Solo5 {
                networks: 0,
                blocks: 0,
            },
        ),
        (
            solo5(&[2, 1, 2]),
            ImageFormat::Solo5 {
                networks: 2,
                blocks: 1,
            },
        ),
        (
            elf(64, |elf| {
                elf.section_notes = vec![solo5_note(3), solo5_manifest(&[2])]
            }),
            ImageFormat::Solo5 {
                networks: 1,
                blocks: 0,
            },
        ),
        (
            elf(32, |elf| {
                elf.content = multiboot(3);
                elf.sections = vec![".text", ".uk_bootinfo", ".uk_libinfo"];
            }),
            ImageFormat::Unikraft,
        ),
        (
            elf(32, |elf| {
                elf.content = multiboot(3);
                elf.sections = vec![".mboot", ".text"];
            }),
            ImageFormat::Hermit,
        ),
    ]
}

#[test]
fn every_family_is_recognised_by_its_bytes() {
    for (bytes, format) in images() {
        check(&bytes, Ok(format));
    }
}

#[test]
fn a_solo5_image_for_another_target_says_how_to_build_it() {
    for (target, name) in [
        (1, "hvt"),
        (2, "spt"),
        (4, "muen"),
        (5, "genode"),
        (6, "xen"),
    ] {
        let bytes = elf(64, |elf| {
            // As the one for Xen has them.
            elf.content = multiboot(0x1_0003);
            elf.notes = vec![pvh_note(), solo5_note(target)];
        });
        check(
            &bytes,
            Err(&format!(
                "this is a Solo5 image for {name}: build with -t virtio"
            )),
        );
    }
    check(
        &elf(64, |elf| elf.notes = vec![solo5_note(9)]),
        Err("this is a Solo5 image for an unknown target (number 9): build with -t virtio"),
    );
}

#[test]
fn a_solo5_manifest_has_to_be_there_and_whole() {
    let with = |manifest: Vec<u8>| elf(64, |elf| elf.notes = vec![solo5_note(3), manifest]);
    check(
        &with(Vec::new()),
        Err(
            "this is a Solo5 image for virtio without a manifest of its devices: build it with Solo5 0.6 or later",
        ),
    );
    check(
        &with(solo5_manifest(&[2; 9])),
        Err("this is a Solo5 image that wants 9 networks: at most 8 can be given"),
    );
    check(
        &with(solo5_manifest(&[7])),
        Err("this Solo5 manifest contradicts itself: it names a device of an unknown type"),
    );
    let mut counted = solo5_manifest(&[2]);
    counted[20 + 8] = 40;
    check(
        &with(counted),
        Err("this Solo5 manifest contradicts itself: it has fewer entries than it counts"),
    );
}

#[test]
fn an_image_for_another_loader_says_which_it_needs() {
    let unikraft = elf(64, |elf| elf.sections = vec![".uk_bootinfo"]);
    check(&unikraft, Err(&Refused::UnikraftPlatform.to_string()));
    let nanos = elf(64, |elf| {
        elf.notes = vec![pvh_note()];
        elf.note_in_memory = false;
    });
    check(&nanos, Err(&Refused::NanosKernel.to_string()));
    let hermit = elf(64, |elf| {
        elf.kind = super::elf::ET_DYN;
        elf.os_abi = 255;
    });
    check(&hermit, Err(&Refused::HermitApplication.to_string()));
    check(
        &elf(64, |elf| {
            elf.section_notes = vec![note("HERMIT", 0x5a00, &[])]
        }),
        Err(&Refused::HermitApplication.to_string()),
    );
    let mut includeos = multiboot(3);
    includeos[0x20..0x24].copy_from_slice(&0xfee1_dead_u32.to_le_bytes());
    check(
        &elf(64, |elf| elf.content = includeos),
        Err(&Refused::IncludeOs.to_string()),
    );
    check(
        &elf(64, |elf| elf.content = multiboot(3)),
        Err(&Refused::MultibootOf64Bits.to_string()),
    );
    check(
        &portable_executable(0x8664, 10),
        Err(&Refused::Efi.to_string()),
    );
    check(
        &portable_executable(0x8664, 3),
        Err(&Refused::WindowsProgram.to_string()),
    );
}

#[test]
fn what_has_no_way_to_boot_is_told_what_it_is() {
    check(&elf(64, |_| {}), Err(&Refused::NoEntry.to_string()));
    check(
        &elf(64, |elf| elf.interpreter = true),
        Err(&Refused::Program("Linux").to_string()),
    );
    check(
        &elf(64, |elf| elf.kind = super::elf::ET_DYN),
        Err(&Refused::Program("Linux").to_string()),
    );
    check(
        &elf(64, |elf| elf.kind = super::elf::ET_REL),
        Err(&Refused::NotLinked.to_string()),
    );
    // A note of another owner or of another length is no way in.
    check(
        &elf(64, |elf| elf.notes = vec![note("GNU", 18, &[0; 4])]),
        Err(&Refused::NoEntry.to_string()),
    );
    check(
        &elf(64, |elf| elf.notes = vec![note("Xen", 18, &[0; 2])]),
        Err(&Refused::NoEntry.to_string()),
    );
    let mut wrong_sum = multiboot(3);
    wrong_sum[8] ^= 1;
    check(
        &elf(32, |elf| elf.content = wrong_sum),
        Err(&Refused::NoEntry.to_string()),
    );
    check(b"#!/bin/sh\n", Err(&Refused::Unknown.to_string()));
    check(&[], Err("there are no bytes"));
}

#[test]
fn an_image_for_another_processor_names_it() {
    check(
        &elf(64, |elf| elf.machine = 183),
        Err("this is built for arm64: instances are x86-64"),
    );
    check(
        &elf(64, |elf| elf.machine = 243),
        Err("this is built for RISC-V: instances are x86-64"),
    );
    check(
        &elf(64, |elf| elf.machine = 4711),
        Err("this is built for the ELF machine 4711: instances are x86-64"),
    );
    check(
        b"\x7fELF\x02\x02\x01",
        Err("this is built for a big-endian processor: instances are x86-64"),
    );
    check(
        &portable_executable(0xaa64, 10),
        Err("this is built for arm64: instances are x86-64"),
    );
}

#[test]
fn disks_archives_and_compressed_files_are_refused_with_what_to_do() {
    let later = "disk images come with a later version; kernels are possible now";
    check(
        b"QFI\xfb\0\0\0\x03",
        Err(&format!("this is a disk image (qcow2): {later}")),
    );
    check(
        &disk(b"NVMTFS"),
        Err(&format!("this is a disk image of Nanos: {later}")),
    );
    check(
        &disk(b"\xeb\x3c\x90"),
        Err(&format!("this is a disk image (raw, MBR): {later}")),
    );
    check(
        &disk(b"EFI PART"),
        Err(&format!("this is a disk image (raw, GPT): {later}")),
    );
    let mut iso = vec![0; 0x9000];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    check(
        &iso,
        Err(&format!("this is a disk image (ISO 9660): {later}")),
    );
    check(
        &[0x1f, 0x8b, 8, 0],
        Err("this is compressed with gzip: upload it uncompressed (a Linux kernel as bzImage)"),
    );
    check(b"070701000000", Err(&Refused::InitialRamDisk.to_string()));
    check(
        b"PK\x03\x04",
        Err("this is an archive (zip): upload the kernel inside it"),
    );
}

#[test]
fn every_image_cut_off_anywhere_is_refused() {
    for (bytes, format) in images() {
        for length in 0..bytes.len() {
            // A bzImage's last paragraph may be filled up only in memory.
            let slack = if format == ImageFormat::Linux { 16 } else { 1 };
            if length + slack <= bytes.len() {
                assert!(
                    recognise(&bytes[..length]).is_err(),
                    "{format:?} at {length} of {}",
                    bytes.len()
                );
            }
        }
    }
    check(
        &linux(4)[..1030],
        Err(
            "this Linux kernel is cut off: it says that it has at least 1073 bytes, and there are 1030",
        ),
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = recognise(&bytes);
    }

    #[test]
    fn mutated_images_never_panic(
        which in 0usize..10,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        extreme in any::<bool>(),
    ) {
        let (mut bytes, _) = images().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            if extreme {
                let end = bytes.len().min(at + 8);
                bytes[at..end].fill(0xff);
            } else {
                bytes[at] = value;
            }
        }
        let _ = recognise(&bytes);
    }
}
