//! Tiny guests on disks, and one that watches its disk.

/// What the boot sector of [`bios`] says, and the disk's size in MiB as a digit.
pub const BIOS_SAYS: &str = "boot sector on a disk of ";

/// A raw disk of 1 MiB whose boot sector says how large the disk is, and sleeps.
pub fn bios() -> Vec<u8> {
    const TEXT: usize = 64;
    // xor ax, ax; mov ds, ax; mov ss, ax; mov sp, 0x7c00; mov si, 0x7c40; mov dx, 0x3f8
    let mut code = vec![0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c];
    code.extend([0xbe, TEXT as u8, 0x7c, 0xba, 0xf8, 0x03]);
    // next: lodsb; test al, al; jz done; out dx, al; jmp next
    code.extend([0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8]);
    // done: the drive's parameters (INT 13h, AH=48h): mov ah, 0x48; mov dl, 0x80; mov si, 0x7e00;
    // mov word [si], 0x1e; int 0x13
    code.extend([0xb4, 0x48, 0xb2, 0x80, 0xbe, 0x00, 0x7e]);
    code.extend([0xc7, 0x04, 0x1e, 0x00, 0xcd, 0x13]);
    // mov eax, [si + 16]; shr eax, 11; add al, '0'; mov dx, 0x3f8; out dx, al; mov al, 10; out dx, al
    code.extend([0x66, 0x8b, 0x44, 0x10, 0x66, 0xc1, 0xe8, 0x0b, 0x04, 0x30]);
    code.extend([0xba, 0xf8, 0x03, 0xee, 0xb0, 0x0a, 0xee]);
    // stay: hlt; jmp stay
    code.extend([0xf4, 0xeb, 0xfd]);
    let mut out = vec![0; 1 << 20];
    out[..code.len()].copy_from_slice(&code);
    out[TEXT..TEXT + BIOS_SAYS.len()].copy_from_slice(BIOS_SAYS.as_bytes());
    out[510..512].copy_from_slice(&[0x55, 0xaa]);
    out
}

/// What the program of [`uefi`] says when its variable is not there, and when it is.
pub const UEFI_SAYS: [&str; 2] = ["UEFI program, first boot", "UEFI program, another boot"];

/// A raw disk of 2 MiB with an EFI system partition, on which the program is that firmware looks for.
pub fn uefi() -> Vec<u8> {
    const START: u32 = 2048;
    let system = esp(&program());
    let mut out = vec![0; 1 << 20];
    // One partition, of the type that UEFI has for it in a master boot record (its specification, 5.2).
    out[450] = 0xef;
    out[454..458].copy_from_slice(&START.to_le_bytes());
    out[458..462].copy_from_slice(&(system.len() as u32 / 512).to_le_bytes());
    out[510..512].copy_from_slice(&[0x55, 0xaa]);
    out.extend(system);
    out
}

/// A PE32+ file (Microsoft's specification of it) with one section, for UEFI.
fn program() -> Vec<u8> {
    let code = says_once_and_again();
    let mut out = b"MZ".to_vec();
    out.resize(0x3c, 0);
    out.extend(0x40_u32.to_le_bytes());
    out.extend(b"PE\0\0");
    // x86-64, one section, the headers' size, executable with large addresses.
    for half in [0x8664_u16, 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x22] {
        out.extend(half.to_le_bytes());
    }
    // PE32+; sizes of code and data; entry and code at 0x1000; base 0; alignments.
    out.extend([0x0b, 0x02, 0, 0]);
    for word in [0x1000_u32, 0, 0, 0x1000, 0x1000, 0, 0, 0x1000, 0x200] {
        out.extend(word.to_le_bytes());
    }
    out.extend([0; 16]);
    // Image and headers; no checksum; an EFI application; stack and heap; no directories.
    for word in [0x2000_u32, 0x200, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([10, 0, 0, 0]);
    out.extend([0; 36]);
    out.extend(16_u32.to_le_bytes());
    out.extend([0; 16 * 8]);
    out.extend(b".text\0\0\0");
    let length = code.len().next_multiple_of(0x200) as u32;
    for word in [0x1000, 0x1000, length, 0x200, 0, 0, 0, 0xe000_0020] {
        out.extend(word.to_le_bytes());
    }
    out.resize(0x200, 0);
    out.extend(code);
    out.resize(0x200 + length as usize, 0);
    out
}

/// Looks for its variable, sets it where it is not there, and says which of both.
fn says_once_and_again() -> Vec<u8> {
    const GUID: usize = 0x80;
    const NAME: usize = 0x90;
    const FIRST: usize = 0xa0;
    const AGAIN: usize = 0x120;
    // push rbx; sub rsp, 64; mov rbx, rdx; mov rax, [rbx + 88] (the runtime services)
    let mut out = vec![0x53, 0x48, 0x83, 0xec, 0x40, 0x48, 0x89, 0xd3];
    out.extend([0x48, 0x8b, 0x43, 0x58]);
    // lea rcx, [rip + name]; lea rdx, [rip + guid]; xor r8d, r8d; mov qword [rsp + 48], 8
    out.extend([
        0x48, 0x8d, 0x0d, 0x7d, 0, 0, 0, 0x48, 0x8d, 0x15, 0x66, 0, 0, 0,
    ]);
    out.extend([0x45, 0x31, 0xc0]);
    out.extend([0x48, 0xc7, 0x44, 0x24, 0x30, 0x08, 0, 0, 0]);
    // lea r9, [rsp + 48]; lea r10, [rsp + 56]; mov [rsp + 32], r10; call [rax + 72] (GetVariable)
    out.extend([0x4c, 0x8d, 0x4c, 0x24, 0x30, 0x4c, 0x8d, 0x54, 0x24, 0x38]);
    out.extend([0x4c, 0x89, 0x54, 0x24, 0x20, 0xff, 0x50, 0x48]);
    // lea rdx, [rip + again]; test rax, rax; jz say
    out.extend([
        0x48, 0x8d, 0x15, 0xe1, 0, 0, 0, 0x48, 0x85, 0xc0, 0x74, 0x2d,
    ]);
    // mov rax, [rbx + 88]; lea rcx, [rip + name]; lea rdx, [rip + guid]; mov r8d, 3; mov r9d, 1
    out.extend([0x48, 0x8b, 0x43, 0x58]);
    out.extend([
        0x48, 0x8d, 0x0d, 0x41, 0, 0, 0, 0x48, 0x8d, 0x15, 0x2a, 0, 0, 0,
    ]);
    out.extend([0x41, 0xb8, 3, 0, 0, 0, 0x41, 0xb9, 1, 0, 0, 0]);
    // mov [rsp + 32], rcx; call [rax + 88] (SetVariable, kept over resets); lea rdx, [rip + first]
    out.extend([0x48, 0x89, 0x4c, 0x24, 0x20, 0xff, 0x50, 0x58]);
    out.extend([0x48, 0x8d, 0x15, 0x2f, 0, 0, 0]);
    // say: mov rcx, [rbx + 64]; call [rcx + 8] (the console's OutputString); stay: hlt; jmp stay
    out.extend([0x48, 0x8b, 0x4b, 0x40, 0xff, 0x51, 0x08, 0xf4, 0xeb, 0xfd]);
    assert!(out.len() <= GUID);
    let wide = |text: &str| -> Vec<u8> {
        let text = format!("{text}\r\n\0");
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let mut put = |at: usize, bytes: &[u8]| {
        assert!(out.len() <= at);
        out.resize(at, 0);
        out.extend(bytes);
    };
    put(GUID, b"RhyzomeTestGuest");
    put(
        NAME,
        &"Test\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>(),
    );
    put(FIRST, &wide(UEFI_SAYS[0]));
    put(AGAIN, &wide(UEFI_SAYS[1]));
    out
}

/// A FAT12 file system of 1 MiB with `EFI/BOOT/BOOTX64.EFI` (Microsoft's FAT specification, 1.03).
fn esp(program: &[u8]) -> Vec<u8> {
    const SECTORS: usize = 2048;
    const TABLE: usize = 6;
    const ROOT: usize = 7;
    let clusters = program.len().div_ceil(512) as u16;
    let mut out = vec![0; SECTORS * 512];
    out[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
    out[3..11].copy_from_slice(b"RHYZOME ");
    // Bytes a sector, sectors a cluster, reserved sectors, tables, entries of the root folder, sectors,
    // kind of disk, sectors a table.
    out[11..13].copy_from_slice(&512_u16.to_le_bytes());
    out[13..17].copy_from_slice(&[1, 1, 0, 2]);
    out[17..19].copy_from_slice(&(ROOT as u16 * 16).to_le_bytes());
    out[19..21].copy_from_slice(&(SECTORS as u16).to_le_bytes());
    out[21] = 0xf8;
    out[22..24].copy_from_slice(&(TABLE as u16).to_le_bytes());
    out[38] = 0x29;
    out[43..54].copy_from_slice(b"ESP        ");
    out[54..62].copy_from_slice(b"FAT12   ");
    out[510..512].copy_from_slice(&[0x55, 0xaa]);

    // Clusters 2 and 3 are the folders, and the program follows.
    const LAST: u16 = 0xfff;
    let mut chain = vec![0xff8, LAST, LAST, LAST];
    chain.extend((5..4 + clusters).chain([LAST]));
    let mut table = vec![0_u8; TABLE * 512];
    for (index, next) in chain.into_iter().enumerate() {
        let at = index * 3 / 2;
        let shift = 4 * (index % 2);
        let bits = u16::from_le_bytes([table[at], table[at + 1]]) | (next << shift);
        table[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    }
    for copy in 0..2 {
        let at = (1 + copy * TABLE) * 512;
        out[at..at + table.len()].copy_from_slice(&table);
    }
    let entry = |name: &[u8; 11], folder: bool, cluster: u16, length: u32| {
        let mut entry = [0; 32];
        entry[..11].copy_from_slice(name);
        entry[11] = if folder { 0x10 } else { 0x20 };
        entry[26..28].copy_from_slice(&cluster.to_le_bytes());
        entry[28..].copy_from_slice(&length.to_le_bytes());
        entry
    };
    let root = (1 + 2 * TABLE) * 512;
    let data = root + ROOT * 512;
    let cluster = |number: u16| data + usize::from(number - 2) * 512;
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(root, &entry(b"EFI        ", true, 2, 0));
    for (own, above, inner) in [
        (2, 0, entry(b"BOOT       ", true, 3, 0)),
        (3, 2, entry(b"BOOTX64 EFI", false, 4, program.len() as u32)),
    ] {
        let at = cluster(own);
        put(at, &entry(b".          ", true, own, 0));
        put(at + 32, &entry(b"..         ", true, above, 0));
        put(at + 64, &inner);
    }
    put(cluster(4), program);
    out
}

/// A multiboot kernel, recognised as Unikraft, that says how many MiB its disk has, as a digit, and again
/// whenever that changes.
pub fn watches() -> Vec<u8> {
    crate::guest::as_unikraft(|_| {
        // mov esp, 0x80000; xor ebx, ebx
        let mut out = vec![0xbc, 0x00, 0x00, 0x08, 0x00, 0x31, 0xdb];
        // next: mov eax, ebx; shl eax, 11; or eax, 0x80000000; mov ecx, eax; mov dx, 0xcf8; out dx, eax
        out.extend([
            0x89, 0xd8, 0xc1, 0xe0, 0x0b, 0x0d, 0, 0, 0, 0x80, 0x89, 0xc1,
        ]);
        out.extend([0x66, 0xba, 0xf8, 0x0c, 0xef]);
        // mov dx, 0xcfc; in eax, dx; cmp eax, 0x10011af4; je found; inc ebx; cmp ebx, 32; jb next
        out.extend([0x66, 0xba, 0xfc, 0x0c, 0xed, 0x3d, 0xf4, 0x1a, 0x01, 0x10]);
        out.extend([0x74, 0x09, 0x43, 0x83, 0xfb, 0x20, 0x72, 0xdd]);
        // stay: hlt; jmp stay; found: its first address register: lea eax, [ecx + 0x10]; mov dx, 0xcf8;
        // out dx, eax; mov dx, 0xcfc; in eax, dx; and eax, ~3
        out.extend([
            0xf4, 0xeb, 0xfd, 0x8d, 0x41, 0x10, 0x66, 0xba, 0xf8, 0x0c, 0xef,
        ]);
        out.extend([0x66, 0xba, 0xfc, 0x0c, 0xed, 0x83, 0xe0, 0xfc]);
        // The capacity in sectors (Virtual I/O Device, 4.1.4.8 and 5.2.4): lea esi, [eax + 0x14];
        // xor ebx, ebx; look: mov edx, esi; in eax, dx; shr eax, 11; cmp al, bl; je look; mov bl, al
        out.extend([
            0x8d, 0x70, 0x14, 0x31, 0xdb, 0x89, 0xf2, 0xed, 0xc1, 0xe8, 0x0b,
        ]);
        out.extend([0x38, 0xd8, 0x74, 0xf6, 0x88, 0xc3]);
        // add al, '0'; mov dx, 0x3f8; out dx, al; mov al, 10; out dx, al; jmp look
        out.extend([0x04, 0x30, 0x66, 0xba, 0xf8, 0x03, 0xee, 0xb0, 0x0a, 0xee]);
        out.extend([0xeb, 0xe8]);
        out
    })
}
