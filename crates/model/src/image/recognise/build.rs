//! Builds small images for the tests of this module, field by field.

pub const X86_64: u16 = 62;
pub const I386: u16 = 3;

/// A little-endian ELF: header, program headers, notes, contents, names, section headers.
pub struct ElfBuilder {
    pub bits: u8,
    pub machine: u16,
    pub kind: u16,
    pub os_abi: u8,
    pub notes: Vec<Vec<u8>>,
    pub note_in_memory: bool,
    /// Notes that only a section shows.
    pub section_notes: Vec<Vec<u8>>,
    pub interpreter: bool,
    /// Whether the content is in a segment to load.
    pub loads: bool,
    /// What the PT_NOTE segment says of its alignment.
    pub note_alignment: usize,
    pub content: Vec<u8>,
    pub sections: Vec<&'static str>,
}

impl ElfBuilder {
    pub fn new(bits: u8) -> Self {
        let machine = if bits == 64 { X86_64 } else { I386 };
        Self {
            bits,
            machine,
            kind: super::elf::ET_EXEC,
            os_abi: 0,
            notes: Vec::new(),
            note_in_memory: true,
            section_notes: Vec::new(),
            interpreter: false,
            loads: true,
            note_alignment: 4,
            content: vec![0xf4; 64],
            sections: Vec::new(),
        }
    }

    fn word(&self, value: usize) -> Vec<u8> {
        match self.bits {
            64 => (value as u64).to_le_bytes().to_vec(),
            _ => (value as u32).to_le_bytes().to_vec(),
        }
    }

    fn header_length(&self) -> usize {
        if self.bits == 64 { 64 } else { 52 }
    }

    fn program_header(&self, kind: u32, offset: usize, length: usize, in_memory: usize) -> Vec<u8> {
        let alignment = if kind == 4 { self.note_alignment } else { 4 };
        let mut out = kind.to_le_bytes().to_vec();
        if self.bits == 64 {
            out.extend(5u32.to_le_bytes());
        }
        for value in [offset, 0x10_0000, 0x10_0000, length, in_memory] {
            out.extend(self.word(value));
        }
        if self.bits == 32 {
            out.extend(5u32.to_le_bytes());
        }
        out.extend(self.word(alignment));
        out
    }

    fn section_header(&self, name: usize, kind: u32, offset: usize, length: usize) -> Vec<u8> {
        let mut out = (name as u32).to_le_bytes().to_vec();
        out.extend(kind.to_le_bytes());
        for value in [0, 0, offset, length] {
            out.extend(self.word(value));
        }
        out.extend([0; 8]);
        out.extend(self.word(1));
        out.extend(self.word(0));
        out
    }

    pub fn build(&self) -> Vec<u8> {
        let header = self.header_length();
        let program_length = self.program_header(0, 0, 0, 0).len();
        let notes: Vec<u8> = self.notes.concat();
        let count = 1 + usize::from(!notes.is_empty()) + usize::from(self.interpreter);
        let content_at = header + program_length * count;
        let notes_at = content_at + self.content.len();
        let section_notes: Vec<u8> = self.section_notes.concat();
        let section_notes_at = notes_at + notes.len();
        let names_at = section_notes_at + section_notes.len();
        let mut names = vec![0];
        let starts: Vec<usize> = self
            .sections
            .iter()
            .map(|name| {
                let start = names.len();
                names.extend(name.bytes().chain([0]));
                start
            })
            .collect();
        let sections_at = names_at + names.len();

        let mut sections = self.section_header(0, 3, names_at, names.len());
        let mut section_count = 1;
        if !section_notes.is_empty() {
            sections.extend(self.section_header(0, 7, section_notes_at, section_notes.len()));
            section_count += 1;
        }
        for start in starts {
            sections.extend(self.section_header(start, 1, content_at, 0));
            section_count += 1;
        }

        let mut out = b"\x7fELF".to_vec();
        out.extend([if self.bits == 64 { 2 } else { 1 }, 1, 1, self.os_abi]);
        out.extend([0; 8]);
        out.extend(self.kind.to_le_bytes());
        out.extend(self.machine.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        for value in [0x10_0000, header, sections_at] {
            out.extend(self.word(value));
        }
        out.extend(0u32.to_le_bytes());
        let section_length = self.section_header(0, 0, 0, 0).len();
        for value in [
            header,
            program_length,
            count,
            section_length,
            section_count,
            0,
        ] {
            out.extend((value as u16).to_le_bytes());
        }
        let load = if self.loads { 1 } else { 6 };
        out.extend(self.program_header(load, content_at, self.content.len(), self.content.len()));
        if !notes.is_empty() {
            let in_memory = if self.note_in_memory { notes.len() } else { 0 };
            out.extend(self.program_header(4, notes_at, notes.len(), in_memory));
        }
        if self.interpreter {
            out.extend(self.program_header(3, content_at, 1, 1));
        }
        out.extend(&self.content);
        out.extend(notes);
        out.extend(section_notes);
        out.extend(names);
        out.extend(sections);
        out
    }
}

pub fn note(owner: &str, kind: u32, description: &[u8]) -> Vec<u8> {
    let mut out = (owner.len() as u32 + 1).to_le_bytes().to_vec();
    out.extend((description.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(owner.bytes().chain([0]));
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(description);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

pub fn pvh_note() -> Vec<u8> {
    note("Xen", 18, &0x10_0000_u64.to_le_bytes())
}

pub fn solo5_note(target: u32) -> Vec<u8> {
    let description: Vec<u8> = [target, 1, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    note("Solo5", 0x3149_4241, &description)
}

/// A Solo5 manifest with devices of these names and types behind the reserved entry.
pub fn solo5_manifest(devices: &[(&str, u32)]) -> Vec<u8> {
    let mut description = vec![0; 4];
    description.extend(1u32.to_le_bytes());
    description.extend((devices.len() as u32 + 1).to_le_bytes());
    for (name, kind) in [("", 1 << 30)].iter().chain(devices) {
        let mut entry = vec![0; 104];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        entry[68..72].copy_from_slice(&u32::to_le_bytes(*kind));
        description.extend(entry);
    }
    note("Solo5", 0x3154_464d, &description)
}

pub fn multiboot(flags: u32) -> Vec<u8> {
    let magic = 0x1bad_b002_u32;
    let checksum = 0u32.wrapping_sub(magic).wrapping_sub(flags);
    let mut out: Vec<u8> = [magic, flags, checksum]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    out.resize(64, 0);
    out
}

/// A multiboot 2 header for i386, with nothing but its end tag.
pub fn multiboot_2() -> Vec<u8> {
    let (magic, length) = (0xe852_50d6_u32, 24_u32);
    let checksum = 0u32.wrapping_sub(magic).wrapping_sub(length);
    let words = [magic, 0, length, checksum, 0, 8];
    let mut out: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    out.resize(64, 0);
    out
}

/// A bzImage of one setup sector and so many paragraphs.
pub fn linux(paragraphs: u32) -> Vec<u8> {
    let mut out = vec![0; 1024 + paragraphs as usize * 16];
    out[0x1f1] = 1;
    out[0x1f4..0x1f8].copy_from_slice(&paragraphs.to_le_bytes());
    out[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    out[0x202..0x206].copy_from_slice(b"HdrS");
    out[0x211] = 1;
    out
}

/// A PE32+ of a machine and a subsystem.
pub fn portable_executable(machine: u16, subsystem: u16) -> Vec<u8> {
    let mut out = vec![0; 1024];
    out[..2].copy_from_slice(b"MZ");
    out[0x3c] = 0x80;
    out[0x80..0x84].copy_from_slice(b"PE\0\0");
    out[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
    out[0x98 + 68..0x98 + 70].copy_from_slice(&subsystem.to_le_bytes());
    out
}
