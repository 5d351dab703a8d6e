//! What QEMU's loader does with headers, where it is not what one would expect.

use super::*;

#[test]
fn the_mark_of_linux_wins_over_all_else_as_it_does_for_the_loader() {
    let mut both = elf(32, |elf| {
        elf.content = multiboot(3);
        elf.content.resize(2048, 0);
    });
    let kernel = linux(4);
    both[0x1f1..0x212].copy_from_slice(&kernel[0x1f1..0x212]);
    check(&both, Ok(ImageFormat::Linux));
    both[0x1fe] = 0;
    check(
        &both,
        Err("this Linux kernel contradicts itself: its boot sector does not end with 55 AA"),
    );
}

#[test]
fn a_multiboot_header_is_looked_for_where_the_loader_looks() {
    let at = |offset: usize, flags| {
        elf(32, |elf| {
            // The header of the ELF and one program header come before it.
            elf.content = vec![0; offset - 84];
            elf.content.extend(multiboot(flags));
        })
    };
    check(&at(8192 - 52, 3), Ok(ImageFormat::Multiboot));
    check(&at(8192 - 48, 3), Err(&Refused::NoEntry.to_string()));
    check(&at(1026, 3), Err(&Refused::NoEntry.to_string()));
    // Without an ELF around it, the header has to say itself what is loaded.
    check(&multiboot(0x1_0003), Ok(ImageFormat::Multiboot));
    check(&multiboot(3), Err(&Refused::Unknown.to_string()));
}

#[test]
fn what_a_multiboot_header_says_of_addresses_is_checked_against_the_file() {
    let with = |addresses: [u32; 4]| {
        let mut bytes = multiboot(0x1_0003);
        for (index, address) in addresses.iter().enumerate() {
            bytes[12 + 4 * index..][..4].copy_from_slice(&address.to_le_bytes());
        }
        bytes
    };
    let base = 0x10_0000;
    check(
        &with([base, base, base + 64, base + 8192]),
        Ok(ImageFormat::Multiboot),
    );
    check(
        &with([base, base, base + 65, base + 8192]),
        Err(
            "this multiboot kernel is cut off: it says that it has at least 65 bytes, and there are 64",
        ),
    );
    let malformed = |addresses, why| {
        let what = "multiboot header";
        check(
            &with(addresses),
            Err(&Refused::Malformed { what, why }.to_string()),
        );
    };
    malformed(
        [base - 4, base, 0, 0],
        "it lies before what it says is loaded",
    );
    malformed(
        [base + 4, base, 0, 0],
        "what it says is loaded begins before the file",
    );
    malformed(
        [base, base, base - 1, 0],
        "what it says is loaded ends before it begins",
    );
    malformed(
        [base, base, base + 64, base + 63],
        "its zeroed memory ends before what is loaded",
    );
}
