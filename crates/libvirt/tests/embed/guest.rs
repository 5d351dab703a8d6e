//! Tiny guests: some twenty instructions in an ELF with a PVH note, which say something on the serial
//! port and end in a way of their own.

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

fn code(end: End) -> Vec<u8> {
    let end: &[u8] = match end {
        End::Never => &[],
        // mov dx, 0x604; mov ax, 0x2000; out dx, ax
        End::PowerOff => &[0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef],
        // mov dx, 0x505; mov al, 1; out dx, al
        End::Panic => &[0x66, 0xba, 0x05, 0x05, 0xb0, 0x01, 0xee],
        // push 0; push 0; lidt [esp]; int3
        End::TripleFault => &[0x6a, 0x00, 0x6a, 0x00, 0x0f, 0x01, 0x1c, 0x24, 0xcc],
    };
    let text = b"tiny guest\r\nlast words of a tiny guest\r\n\0";
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
    out.extend(text);
    out
}
