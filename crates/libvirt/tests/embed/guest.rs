//! Tiny guests: some twenty instructions in an ELF with a PVH note, which say something on the serial
//! port and end in a way of their own; and some that boot as a family of unikernels does.

/// How a tiny guest ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Sleeps for ever, deaf to the power button.
    Never,
    /// ACPI soft-off: sleep type 0 with the enable bit, to the port that SeaBIOS chose on q35.
    PowerOff,
    /// Tells the panic device.
    Panic,
    /// Faults without a table to handle it.
    TripleFault,
    /// Says what Linux says last when it panics, and sleeps for ever.
    Halt,
}

const BASE: u32 = 0x10_0000;
const HEADERS: u32 = 64 + 2 * 56;

/// An ELF for x86-64 whose code is entered in 32-bit mode.
pub fn build(end: End) -> Vec<u8> {
    let code = code(end);
    let mut note = Vec::new();
    for word in [4_u32, 4, 18] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend((BASE + HEADERS).to_le_bytes());

    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend(2_u16.to_le_bytes());
    out.extend(62_u16.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend(u64::from(BASE + HEADERS).to_le_bytes());
    out.extend(64_u64.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 64, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let length = (HEADERS as usize + code.len() + note.len()) as u64;
    let note_at = u64::from(HEADERS) + code.len() as u64;
    out.extend(segment(1, 0, length));
    out.extend(segment(4, note_at, note.len() as u64));
    out.extend(code);
    out.extend(note);
    out
}

fn segment(kind: u32, offset: u64, length: u64) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend(7_u32.to_le_bytes());
    let address = u64::from(BASE) + offset;
    for value in [offset, address, address, length, length, 4] {
        out.extend(value.to_le_bytes());
    }
    out
}

fn code(how: End) -> Vec<u8> {
    let end: &[u8] = match how {
        End::Never | End::Halt => &[],
        // mov dx, 0x604; mov ax, 0x2000; out dx, ax
        End::PowerOff => &[0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef],
        // mov dx, 0x505; mov al, 1; out dx, al
        End::Panic => &[0x66, 0xba, 0x05, 0x05, 0xb0, 0x01, 0xee],
        // push 0; push 0; lidt [esp]; int3
        End::TripleFault => &[0x6a, 0x00, 0x6a, 0x00, 0x0f, 0x01, 0x1c, 0x24, 0xcc],
    };
    let panic = match how {
        End::Halt => "---[ end Kernel panic - not syncing: tiny ]---\r\n",
        _ => "",
    };
    let text = format!("tiny guest\r\nlast words of a tiny guest\r\n{panic}\0");
    // mov esp, 0x80000; mov esi, text; mov dx, 0x3f8
    // next: lodsb; test al, al; jz done; out dx, al; jmp next
    // done: …; cli; stay: hlt; jmp stay
    let mut out = vec![0xbc, 0x00, 0x00, 0x08, 0x00, 0xbe];
    let before_text = 10 + 4 + 8 + end.len() + 4;
    out.extend((BASE + HEADERS + before_text as u32).to_le_bytes());
    out.extend([0x66, 0xba, 0xf8, 0x03]);
    out.extend([0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8]);
    out.extend(end);
    out.extend([0xfa, 0xf4, 0xeb, 0xfd]);
    assert_eq!(out.len(), before_text);
    out.extend(text.as_bytes());
    out
}

/// What the guest of [`unikraft`] says when there is a network card of legacy virtio on PCI bus 0.
pub const FOUND: &str = "a legacy network card is on bus 0";

/// A guest that looks for its network card where Unikraft does, says whether it is there, and powers off.
pub fn unikraft() -> Vec<u8> {
    as_unikraft(look_for_card)
}

/// An ELF for i386 with a multiboot header and a section of Unikraft's, whose code is made for the address
/// where it will be.
pub fn as_unikraft(code: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    const MULTIBOOT: u32 = 12;
    let code = code(BASE + HEADERS + MULTIBOOT);
    let names = b"\0.shstrtab\0.uk_bootinfo\0";
    let names_at = HEADERS + MULTIBOOT + code.len() as u32;
    let sections_at = names_at + names.len() as u32;
    let words = |out: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| out.extend(word.to_le_bytes()));
    };

    let mut out = b"\x7fELF\x01\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([2, 0, 3, 0]);
    words(
        &mut out,
        &[1, BASE + HEADERS + MULTIBOOT, 52, sections_at, 0],
    );
    for half in [52_u16, 32, 1, 40, 3, 1] {
        out.extend(half.to_le_bytes());
    }
    words(&mut out, &[1, 0, BASE, BASE, names_at, names_at, 7, 4]);
    let (magic, flags) = (0x1bad_b002_u32, 3_u32);
    words(&mut out, &[magic, flags, 0_u32.wrapping_sub(magic + flags)]);
    out.extend(code);
    out.extend(names);
    words(&mut out, &[0; 10]);
    words(
        &mut out,
        &[1, 3, 0, 0, names_at, names.len() as u32, 0, 0, 1, 0],
    );
    words(&mut out, &[11, 1, 0, 0, names_at, 0, 0, 0, 1, 0]);
    out
}

fn look_for_card(address: u32) -> Vec<u8> {
    // mov esp, 0x80000; xor ebx, ebx
    let mut out = vec![0xbc, 0x00, 0x00, 0x08, 0x00, 0x31, 0xdb];
    // next: mov eax, ebx; shl eax, 11; or eax, 0x80000000; mov dx, 0xcf8; out dx, eax
    out.extend([0x89, 0xd8, 0xc1, 0xe0, 0x0b, 0x0d, 0x00, 0x00, 0x00, 0x80]);
    out.extend([0x66, 0xba, 0xf8, 0x0c, 0xef]);
    // mov dx, 0xcfc; in eax, dx; cmp eax, 0x10001af4; je found
    out.extend([0x66, 0xba, 0xfc, 0x0c, 0xed, 0x3d, 0xf4, 0x1a, 0x00, 0x10]);
    out.extend([0x74, 0x0d]);
    // inc ebx; cmp ebx, 32; jb next
    out.extend([0x43, 0x83, 0xfb, 0x20, 0x72, 0xdf]);
    // mov esi, none; jmp say; found: mov esi, found
    let none = "no card is on bus 0\r\n\0";
    let texts = address + out.len() as u32 + 12 + 12 + 10 + 4;
    out.push(0xbe);
    out.extend(texts.to_le_bytes());
    out.extend([0xeb, 0x05, 0xbe]);
    out.extend((texts + none.len() as u32).to_le_bytes());
    // say: mov dx, 0x3f8; next: lodsb; test al, al; jz done; out dx, al; jmp next
    out.extend([0x66, 0xba, 0xf8, 0x03]);
    out.extend([0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8]);
    // done: mov dx, 0x604; mov ax, 0x2000; out dx, ax; cli; stay: hlt; jmp stay
    out.extend([0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]);
    out.extend([0xfa, 0xf4, 0xeb, 0xfd]);
    assert_eq!(address + out.len() as u32, texts);
    out.extend(none.as_bytes());
    out.extend(format!("{FOUND}\r\n\0").as_bytes());
    out
}

/// A disk whose boot sector resets the machine.
pub fn resets() -> Vec<u8> {
    let mut out = vec![0; 1 << 20];
    // mov al, 0xfe; out 0x64, al; stay: hlt; jmp stay
    out[..7].copy_from_slice(&[0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd]);
    out[510..512].copy_from_slice(&[0x55, 0xaa]);
    out
}

/// An ELF as Solo5 makes it for virtio: a network, a block device and a network in its manifest. It says
/// which devices of virtio it finds in the slots of bus 0, `n` or `b`, and that it exits.
pub fn solo5() -> Vec<u8> {
    const MULTIBOOT: u32 = 48;
    let start = BASE + HEADERS + MULTIBOOT;
    let code = name_devices(start);
    let notes_at = HEADERS + MULTIBOOT + code.len() as u32;
    let mut manifest = vec![0; 4];
    manifest.extend([1_u32, 4].iter().flat_map(|word| word.to_le_bytes()));
    for (name, kind) in [
        ("", 1_u32 << 30),
        ("service", 2),
        ("store", 1),
        ("private", 2),
    ] {
        let mut entry = vec![0; 104];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        entry[68..72].copy_from_slice(&kind.to_le_bytes());
        manifest.extend(entry);
    }
    let target = [3_u32, 1, 0, 0].map(u32::to_le_bytes).concat();
    let mut notes = Vec::new();
    for (kind, description) in [(0x3149_4241_u32, target), (0x3154_464d, manifest)] {
        let words = [6, description.len() as u32, kind];
        notes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        notes.extend(b"Solo5\0\0\0");
        notes.extend(description);
    }

    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for long in [u64::from(start), 64, 0] {
        out.extend(long.to_le_bytes());
    }
    out.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 64, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    out.extend(segment(1, 0, u64::from(notes_at)));
    out.extend(segment(4, notes_at.into(), notes.len() as u64));
    let (magic, flags) = (0x1bad_b002_u32, 0x1_0003_u32);
    let checksum = 0_u32.wrapping_sub(magic + flags);
    // Where the header is, and what is loaded from where on: the whole file, with nothing behind it.
    let header = [
        magic,
        flags,
        checksum,
        BASE + HEADERS,
        BASE,
        0,
        0,
        start,
        0,
        0,
        0,
        0,
    ];
    out.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    out.extend(code);
    out.extend(notes);
    out
}

fn name_devices(address: u32) -> Vec<u8> {
    // mov esp, 0x80000; xor ebx, ebx
    let mut out = vec![0xbc, 0x00, 0x00, 0x08, 0x00, 0x31, 0xdb];
    // next: mov eax, ebx; shl eax, 11; or eax, 0x80000000; mov dx, 0xcf8; out dx, eax
    out.extend([0x89, 0xd8, 0xc1, 0xe0, 0x0b, 0x0d, 0x00, 0x00, 0x00, 0x80]);
    out.extend([0x66, 0xba, 0xf8, 0x0c, 0xef]);
    // mov dx, 0xcfc; in eax, dx; mov cl, 'n'; cmp eax, 0x10001af4; je say
    out.extend([0x66, 0xba, 0xfc, 0x0c, 0xed, 0xb1, b'n']);
    out.extend([0x3d, 0xf4, 0x1a, 0x00, 0x10, 0x74, 0x09]);
    // mov cl, 'b'; cmp eax, 0x10011af4; jne skip
    out.extend([0xb1, b'b', 0x3d, 0xf4, 0x1a, 0x01, 0x10, 0x75, 0x07]);
    // say: mov dx, 0x3f8; mov al, cl; out dx, al; skip: inc ebx; cmp ebx, 32; jb next
    out.extend([0x66, 0xba, 0xf8, 0x03, 0x88, 0xc8, 0xee]);
    out.extend([0x43, 0x83, 0xfb, 0x20, 0x72, 0xcd]);
    // mov esi, text; mov dx, 0x3f8; next: lodsb; test al, al; jz done; out dx, al; jmp next
    let text = address + out.len() as u32 + 5 + 12 + 14;
    out.push(0xbe);
    out.extend(text.to_le_bytes());
    out.extend([0x66, 0xba, 0xf8, 0x03]);
    out.extend([0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8]);
    // done: mov dx, 0x604; mov ax, 0x2000; out dx, ax; cli; stay: hlt; jmp stay
    out.extend([0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]);
    out.extend([0xfa, 0xf4, 0xeb, 0xfd]);
    assert_eq!(address + out.len() as u32, text);
    out.extend(b"\r\nSolo5: solo5_exit(3) called\r\n\0");
    out.resize(out.len().next_multiple_of(4), 0);
    out
}
