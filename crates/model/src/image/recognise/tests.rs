mod loader;

use proptest::prelude::*;

use super::build::*;
use super::*;
use crate::image::{Solo5Device, Solo5DeviceKind};

fn check(bytes: &[u8], expect: Result<ImageFormat, &str>) {
    let got = recognise(bytes).map_err(|refused| refused.to_string());
    assert_eq!(got, expect.map_err(str::to_owned));
}

fn elf(bits: u8, change: impl FnOnce(&mut ElfBuilder)) -> Vec<u8> {
    let mut builder = ElfBuilder::new(bits);
    change(&mut builder);
    builder.build()
}

fn solo5(devices: &[(&str, u32)]) -> Vec<u8> {
    elf(64, |elf| {
        elf.content = multiboot(0x1_0003);
        elf.notes = vec![solo5_note(3), solo5_manifest(devices)];
    })
}

fn unikraft(sections: &[&'static str]) -> Vec<u8> {
    elf(32, |elf| {
        elf.content = multiboot(3);
        elf.sections = sections.to_vec();
    })
}

fn solo5_format(devices: &[(&str, Solo5DeviceKind)]) -> ImageFormat {
    let count = |kind| devices.iter().filter(|(_, own)| *own == kind).count() as u8;
    ImageFormat::Solo5 {
        networks: count(Solo5DeviceKind::Network),
        blocks: count(Solo5DeviceKind::Block),
        devices: devices
            .iter()
            .map(|(name, kind)| Solo5Device {
                name: (*name).to_owned(),
                kind: *kind,
            })
            .collect(),
    }
}

/// One image of each kind that is taken.
fn images() -> Vec<(Vec<u8>, ImageFormat)> {
    use Solo5DeviceKind::{Block, Network};
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
            elf(64, |elf| {
                elf.notes = vec![note("Xen", 6, b"osv\0"), pvh_note()];
            }),
            ImageFormat::Osv,
        ),
        (
            elf(32, |elf| elf.content = multiboot(3)),
            ImageFormat::Multiboot,
        ),
        (
            elf(64, |elf| elf.content = multiboot(0x1_0003)),
            ImageFormat::Multiboot,
        ),
        (solo5(&[]), solo5_format(&[])),
        (
            solo5(&[("service", 2), ("store", 1), ("private", 2)]),
            solo5_format(&[("service", Network), ("store", Block), ("private", Network)]),
        ),
        (
            elf(64, |elf| {
                elf.content = multiboot(0x1_0003);
                elf.section_notes = vec![solo5_note(3), solo5_manifest(&[("service", 2)])];
            }),
            solo5_format(&[("service", Network)]),
        ),
        (
            unikraft(&[".text", ".uk_bootinfo", ".uk_libinfo"]),
            ImageFormat::Unikraft { parameters: false },
        ),
        (
            unikraft(&[".uk_libinfo", ".uk_libparam_params"]),
            ImageFormat::Unikraft { parameters: true },
        ),
        // As releases before 0.18 have it: a section for each library.
        (
            unikraft(&[".uk_bootinfo", ".uk_libparam_params_libuknetdev"]),
            ImageFormat::Unikraft { parameters: true },
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
                "this is a Solo5 image for {name}, which instances are not: build it for virtio (MirageOS: mirage configure -t virtio)"
            )),
        );
    }
    check(
        &elf(64, |elf| elf.notes = vec![solo5_note(9)]),
        Err(
            "this is a Solo5 image for an unknown target (number 9), which instances are not: build it for virtio (MirageOS: mirage configure -t virtio)",
        ),
    );
}

#[test]
fn a_solo5_manifest_has_to_be_there_and_whole() {
    let with = |manifest: Vec<u8>| {
        elf(64, |elf| {
            elf.content = multiboot(0x1_0003);
            elf.notes = vec![solo5_note(3), manifest];
        })
    };
    let damaged = |why| Refused::Malformed {
        what: "Solo5 manifest",
        why,
    };
    let refused = |bytes: Vec<u8>, refused: Refused| check(&bytes, Err(&refused.to_string()));
    refused(with(Vec::new()), Refused::Solo5WithoutManifest);
    let nets: Vec<(String, u32)> = (0..9).map(|number| (format!("net{number}"), 2)).collect();
    let nets: Vec<(&str, u32)> = nets
        .iter()
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    refused(solo5(&nets), Refused::Solo5Networks(9, 8));
    refused(
        solo5(&[("x", 7)]),
        damaged("it names a device of an unknown type"),
    );
    refused(
        solo5(&[("a b", 2)]),
        damaged("a device's name is not of letters and digits, with a zero behind them"),
    );
    let changed = |at: usize, value: u8| {
        let mut manifest = solo5_manifest(&[("service", 2)]);
        // Behind the note's header and the owner's name.
        manifest[20 + at] = value;
        with(manifest)
    };
    refused(changed(4, 2), damaged("its version is not 1"));
    refused(
        changed(8, 40),
        damaged("it has fewer entries than it counts"),
    );
    refused(changed(8, 65), damaged("it counts more than 64 entries"));
    refused(
        changed(12, b'x'),
        damaged("its first entry is not the reserved one"),
    );
    refused(
        elf(64, |elf| {
            elf.notes = vec![solo5_note(3), solo5_manifest(&[])]
        }),
        Refused::Malformed {
            what: "Solo5 image for virtio",
            why: "it has no multiboot header with addresses in its first 8 KiB",
        },
    );
}

#[test]
fn an_image_for_another_loader_says_which_it_needs() {
    let unikraft = elf(64, |elf| elf.sections = vec![".uk_bootinfo"]);
    check(&unikraft, Err(&Refused::UnikraftPlatform.to_string()));
    check(
        &elf(32, |elf| elf.sections = vec![".uk_bootinfo"]),
        Err(&Refused::UnikraftPlatform.to_string()),
    );
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
    // What it is built for decides, not the width of the file; and multiboot comes before PVH.
    check(
        &elf(32, |elf| {
            elf.machine = X86_64;
            elf.content = multiboot(3);
            elf.notes = vec![pvh_note()];
        }),
        Err(&Refused::MultibootOf64Bits.to_string()),
    );
    check(
        &elf(64, |elf| elf.sections = vec![".mboot", ".text"]),
        Err(&Refused::HermitPlatform.to_string()),
    );
    for bits in [32, 64] {
        check(
            &elf(bits, |elf| {
                // Aligned to 8 bytes behind the headers of both widths.
                elf.content = vec![0; if bits == 32 { 4 } else { 0 }];
                elf.content.extend(multiboot_2());
            }),
            Err(&Refused::Multiboot2.to_string()),
        );
    }
    check(&multiboot_2(), Err(&Refused::Multiboot2.to_string()));
    check(
        &elf(64, |elf| elf.sections = vec![".init.text", "__ksymtab"]),
        Err(&Refused::LinuxWithoutPvh.to_string()),
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
    check(
        &elf(64, |elf| elf.section_notes = vec![note("GNU", 1, &[0; 16])]),
        Err(&Refused::Program("Linux").to_string()),
    );
    for bits in [32, 64] {
        check(
            &elf(bits, |elf| {
                elf.loads = false;
                elf.notes = vec![pvh_note()];
            }),
            Err(&Refused::NothingToLoad.to_string()),
        );
    }
    check(
        &elf(32, |elf| {
            elf.loads = false;
            elf.content = multiboot(3);
        }),
        Err(&Refused::NothingToLoad.to_string()),
    );
    check(
        &elf(64, |elf| elf.loads = false),
        Err(&Refused::NothingToLoad.to_string()),
    );
    // A note that the loader does not see is no way in, and another's of the same type leads astray.
    check(
        &elf(64, |elf| elf.section_notes = vec![pvh_note()]),
        Err(&Refused::NoEntry.to_string()),
    );
    check(
        &elf(64, |elf| {
            elf.notes = vec![note("GNU", 18, &[0; 8]), pvh_note()];
        }),
        Err(&Refused::NoEntry.to_string()),
    );
    check(
        &elf(64, |elf| {
            elf.notes = vec![note("Xen", 5, b"xen-3.0\0"), pvh_note()];
            elf.note_alignment = 8;
        }),
        Err(&Refused::NoEntry.to_string()),
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
    check(b"#!/bin/sh\n", Err("this is a script, no image"));
    check(b"<!DOCTYPE html>", Err("this is a web page, no image"));
    check(b"nothing known", Err(&Refused::Unknown.to_string()));
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
        &elf(64, |elf| {
            elf.machine = 183;
            elf.notes = vec![solo5_note(1), solo5_manifest(&[])];
        }),
        Err("this is a Solo5 image built for arm64: instances are x86-64"),
    );
    check(
        &elf(64, |elf| {
            elf.machine = 183;
            elf.sections = vec![".uk_bootinfo"];
        }),
        Err("this is a Unikraft image built for arm64: instances are x86-64"),
    );
    check(
        &elf(64, |elf| {
            elf.machine = 243;
            elf.kind = super::elf::ET_DYN;
            elf.os_abi = 255;
        }),
        Err("this is a Hermit application built for RISC-V: instances are x86-64"),
    );
    let mut image = vec![0; 64];
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    check(
        &image,
        Err("this is a Linux kernel built for arm64: instances are x86-64"),
    );
    check(
        b"\x7fELF\x02\x02\x01",
        Err("this is built for a big-endian processor: instances are x86-64"),
    );
    check(
        &portable_executable(0xaa64, 10),
        Err("this is a program for UEFI built for arm64: instances are x86-64"),
    );
}

#[test]
fn disks_archives_and_compressed_files_are_refused_with_what_to_do() {
    check(b"KDMV", Err(&Refused::DiskFormat("VMDK").to_string()));
    check(b"vhdxfile", Err(&Refused::DiskFormat("VHDX").to_string()));
    let mut iso = vec![0; 0x9000];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    check(&iso, Err(&Refused::Medium.to_string()));
    let mut ext4 = vec![0; 0x9000];
    ext4[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    check(&ext4, Err(&Refused::FileSystem("ext2 to ext4").to_string()));
    check(
        &[0x1f, 0x8b, 8, 0],
        Err(
            "this is compressed with gzip: decompress it (gunzip) and import what is inside; only an initrd may stay compressed",
        ),
    );
    check(b"070701000000", Err(&Refused::InitialRamDisk.to_string()));
    check(
        b"PK\x03\x04",
        Err("this is an archive (zip): unpack it, and import the kernel or disk image inside it"),
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

/// Counts what is read of some bytes, and refuses to be read behind their end.
struct Counted {
    bytes: Vec<u8>,
    read: std::cell::Cell<usize>,
}

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(
            buffer.is_empty() || offset < self.size(),
            "read at {offset} of {}",
            self.size()
        );
        self.read.set(self.read.get() + buffer.len());
        self.bytes.as_slice().read_at(offset, buffer)
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = recognise(&bytes);
    }

    #[test]
    fn mutated_images_never_panic(
        which in 0usize..13,
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
        // Far more behind it than would ever be read.
        bytes.resize(1 << 20, 0xff);
        let counted = Counted { bytes, read: std::cell::Cell::new(0) };
        let _ = recognise_at(&counted).expect("reading from memory does not fail");
        prop_assert!(counted.read.get() < 768 << 10, "{} bytes were read", counted.read.get());
    }
}
