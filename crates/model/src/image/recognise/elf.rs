//! As much of ELF as recognising needs: header, program headers, notes and names of sections
//! (System V ABI, chapter 4 and 5). Little-endian only, of both widths; every count is bounded.

use super::kernel::XEN_PHYS32_ENTRY;
use super::{ReadAt, Refused, Stop, u16_at, u32_at, u64_at, window};

pub const MAGIC: &[u8] = b"\x7fELF";

pub const ET_REL: u16 = 1;
pub const ET_EXEC: u16 = 2;
pub const ET_DYN: u16 = 3;

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
const SHT_NOTE: u32 = 7;

/// Bounds that no kernel comes near, so that a hostile header costs nothing.
const HEADERS: u16 = 2048;
const NOTES: usize = 256 << 10;
const NAMES: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    Bits32,
    Bits64,
}

/// The processor that a file is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Machine {
    I386,
    X86_64,
    /// By its name.
    Other(String),
}

/// What was read of an ELF file.
pub struct Elf {
    pub is_64_bits: bool,
    pub machine: Machine,
    /// `ET_*`.
    pub kind: u16,
    pub os_abi: u8,
    pub has_interpreter: bool,
    pub loads_anything: bool,
    /// A PT_NOTE segment takes no memory, as in the kernel of Nanos.
    pub has_note_without_memory: bool,
    /// The note that QEMU takes for that of the PVH entry, whoever owns it.
    pub entry_note: Option<Note>,
    notes: Vec<Note>,
    sections: Vec<String>,
}

impl Elf {
    /// A note of a segment, or of a section, where tools leave them that have no segment for them.
    pub fn any_note(&self, owner: &[u8], kind: u32) -> Option<&Note> {
        self.notes
            .iter()
            .find(|note| note.owner == owner && note.kind == kind)
    }

    pub fn has_section(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.sections.iter().any(|name| is_it(name))
    }
}

#[derive(Clone)]
pub struct Note {
    /// Without its terminating zero.
    pub owner: Vec<u8>,
    pub kind: u32,
    pub description: Vec<u8>,
}

/// Offsets of fields in the two widths.
struct Layout {
    class: Class,
    header: usize,
    program_header: usize,
    section_header: usize,
}

const LAYOUT_32: Layout = Layout {
    class: Class::Bits32,
    header: 52,
    program_header: 32,
    section_header: 40,
};
const LAYOUT_64: Layout = Layout {
    class: Class::Bits64,
    header: 64,
    program_header: 56,
    section_header: 64,
};

struct Table {
    offset: u64,
    entry: u16,
    count: u16,
}

impl Layout {
    /// A field as wide as an address.
    fn word(&self, bytes: &[u8], at_32: usize, at_64: usize) -> Option<u64> {
        match self.class {
            Class::Bits32 => u32_at(bytes, at_32).map(u64::from),
            Class::Bits64 => u64_at(bytes, at_64),
        }
    }

    fn pick(&self, at_32: usize, at_64: usize) -> usize {
        match self.class {
            Class::Bits32 => at_32,
            Class::Bits64 => at_64,
        }
    }

    fn programs(&self, head: &[u8]) -> Option<Table> {
        Some(Table {
            offset: self.word(head, 28, 32)?,
            entry: u16_at(head, self.pick(42, 54))?,
            count: u16_at(head, self.pick(44, 56))?,
        })
    }

    fn sections(&self, head: &[u8]) -> Option<Table> {
        Some(Table {
            offset: self.word(head, 32, 40)?,
            entry: u16_at(head, self.pick(46, 58))?,
            count: u16_at(head, self.pick(48, 60))?,
        })
    }
}

fn layout(head: &[u8], size: u64) -> Result<&'static Layout, Refused> {
    match (head.get(4), head.get(5)) {
        (Some(1), Some(1)) => Ok(&LAYOUT_32),
        (Some(2), Some(1)) => Ok(&LAYOUT_64),
        (Some(1 | 2), Some(2)) => Err(Refused::architecture(
            "a big-endian processor".to_owned(),
            None,
        )),
        (None, _) | (_, None) => Err(short(LAYOUT_32.header, size)),
        _ => Err(malformed("its width and byte order are none there are")),
    }
}

fn short(wanted: usize, size: u64) -> Refused {
    Refused::Truncated {
        what: "ELF file",
        wanted: wanted as u64,
        size,
    }
}

/// What it is built for, which the header says before all else.
pub fn machine(head: &[u8], size: u64) -> Result<Machine, Refused> {
    layout(head, size)?;
    let machine = u16_at(head, 18).ok_or_else(|| short(LAYOUT_32.header, size))?;
    Ok(match machine {
        3 => Machine::I386,
        62 => Machine::X86_64,
        other => Machine::Other(architecture(other)),
    })
}

/// Reads what recognising needs.
pub fn read<B: ReadAt + ?Sized>(bytes: &B, size: u64, head: &[u8]) -> Result<Elf, Stop> {
    let layout = layout(head, size)?;
    let short = || short(layout.header, size);
    if head.len() < layout.header {
        return Err(short().into());
    }
    let programs = layout.programs(head).ok_or_else(short)?;
    let sections = layout.sections(head).ok_or_else(short)?;
    let names_index = u16_at(head, layout.pick(50, 62)).ok_or_else(short)?;
    let elf = Elf {
        is_64_bits: layout.class == Class::Bits64,
        machine: machine(head, size)?,
        kind: u16_at(head, 16).ok_or_else(short)?,
        os_abi: head[7],
        has_interpreter: false,
        loads_anything: false,
        has_note_without_memory: false,
        entry_note: None,
        notes: Vec::new(),
        sections: Vec::new(),
    };
    let mut reader = Reader {
        bytes,
        size,
        layout,
        notes_left: NOTES,
        elf,
    };
    reader.programs(&programs)?;
    reader.sections(&sections, names_index)?;
    Ok(reader.elf)
}

fn malformed(why: &'static str) -> Refused {
    Refused::Malformed {
        what: "ELF file",
        why,
    }
}

/// Says that a file is cut off where a part of it lies behind its end.
fn within(size: u64, offset: u64, length: u64) -> Result<(), Refused> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        Some(end) => Err(Refused::Truncated {
            what: "ELF file",
            wanted: end,
            size,
        }),
        None => Err(malformed("a part of it lies behind any possible end")),
    }
}

/// Goes through the tables of a file.
struct Reader<'a, B: ?Sized> {
    bytes: &'a B,
    size: u64,
    layout: &'static Layout,
    /// How many bytes of notes may still be read.
    notes_left: usize,
    elf: Elf,
}

impl<B: ReadAt + ?Sized> Reader<'_, B> {
    /// The entries of a table, after checking that all of it is there.
    fn entries(&self, table: &Table, length: usize) -> Result<Vec<Vec<u8>>, Stop> {
        if table.offset == 0 || table.count == 0 {
            return Ok(Vec::new());
        }
        // QEMU does not look at the length that the header gives for an entry.
        if usize::from(table.entry) != length {
            return Err(malformed("the entries of a table have another length than ELF's").into());
        }
        if table.count > HEADERS {
            return Err(malformed("it has more headers than any kernel").into());
        }
        let whole = length * usize::from(table.count);
        within(self.size, table.offset, whole as u64)?;
        let all = window(self.bytes, table.offset, whole)?;
        Ok(all.chunks_exact(length).map(<[u8]>::to_vec).collect())
    }

    fn programs(&mut self, table: &Table) -> Result<(), Stop> {
        let layout = self.layout;
        for header in self.entries(table, layout.program_header)? {
            let field = |at_32, at_64| layout.word(&header, at_32, at_64).unwrap_or(0);
            let (offset, in_file, in_memory) = (field(4, 8), field(16, 32), field(20, 40));
            match u32_at(&header, 0).unwrap_or(0) {
                PT_LOAD => {
                    within(self.size, offset, in_file)?;
                    if in_file > in_memory {
                        return Err(
                            malformed("a segment is longer in the file than in memory").into()
                        );
                    }
                    self.elf.loads_anything |= in_memory > 0;
                }
                PT_INTERP => self.elf.has_interpreter = true,
                PT_NOTE => {
                    self.elf.has_note_without_memory |= in_memory == 0;
                    let notes = self.note_bytes(offset, in_file)?;
                    if let Some(note) = entry_note(&notes, field(28, 48)) {
                        self.elf.entry_note = Some(note);
                    }
                    self.elf.notes.extend(all_notes(&notes));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sections(&mut self, table: &Table, names_index: u16) -> Result<(), Stop> {
        let layout = self.layout;
        let headers = self.entries(table, layout.section_header)?;
        let place = |header: &[u8]| {
            let offset = layout.word(header, 16, 24).unwrap_or(0);
            let length = layout.word(header, 20, 32).unwrap_or(0);
            (offset, length)
        };
        let names = match headers.get(usize::from(names_index)) {
            Some(header) => {
                let (offset, length) = place(header);
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(NAMES);
                window(self.bytes, offset, length)?
            }
            None => Vec::new(),
        };
        for header in &headers {
            if u32_at(header, 4) == Some(SHT_NOTE) {
                let (offset, length) = place(header);
                let notes = self.note_bytes(offset, length)?;
                self.elf.notes.extend(all_notes(&notes));
            }
            let start = u32_at(header, 0).and_then(|start| usize::try_from(start).ok());
            let name = names.get(start.unwrap_or(0)..).unwrap_or(&[]);
            let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
            if name.len() <= 64 {
                let name = String::from_utf8_lossy(name).into_owned();
                self.elf.sections.push(name);
            }
        }
        Ok(())
    }

    /// The notes of a segment or section, as far as they may still be read.
    fn note_bytes(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, Stop> {
        within(self.size, offset, length)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let notes = window(self.bytes, offset, length.min(self.notes_left))?;
        self.notes_left -= notes.len();
        Ok(notes)
    }
}

/// The first note of a segment with the type of the PVH entry, as QEMU finds it (include/hw/elf_ops.h.inc):
/// it looks at no owner, and pads by the segment's alignment.
fn entry_note(bytes: &[u8], alignment: u64) -> Option<Note> {
    let alignment = usize::try_from(alignment)
        .ok()
        .filter(|alignment| *alignment > 0)?;
    notes(bytes, alignment).find(|note| note.kind == XEN_PHYS32_ENTRY)
}

/// All notes, each padded to 4 bytes as tools do it.
fn all_notes(bytes: &[u8]) -> impl Iterator<Item = Note> {
    notes(bytes, 4)
}

/// The notes of a segment or section: three words, then owner and description, each padded. Ends quietly
/// at the first that does not fit.
fn notes(bytes: &[u8], alignment: usize) -> impl Iterator<Item = Note> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (note, next) = note(bytes, at, alignment)?;
        at = next;
        Some(note)
    })
}

fn note(bytes: &[u8], at: usize, alignment: usize) -> Option<(Note, usize)> {
    let owner_length = usize::try_from(u32_at(bytes, at)?).ok()?;
    let length = usize::try_from(u32_at(bytes, at.checked_add(4)?)?).ok()?;
    let kind = u32_at(bytes, at.checked_add(8)?)?;
    let owner_at = at.checked_add(12)?;
    let owner = bytes.get(owner_at..owner_at.checked_add(owner_length)?)?;
    let start = owner_at.checked_add(owner_length.checked_next_multiple_of(alignment)?)?;
    let description = bytes.get(start..start.checked_add(length)?)?;
    let next = start.checked_add(length.checked_next_multiple_of(alignment)?)?;
    let owner = owner.split(|byte| *byte == 0).next().unwrap_or(&[]);
    Some((
        Note {
            owner: owner.to_vec(),
            kind,
            description: description.to_vec(),
        },
        next,
    ))
}

/// Names of machines that kernels are built for (`EM_*` of the System V ABI).
fn architecture(machine: u16) -> String {
    match machine {
        2 | 43 => "SPARC".to_owned(),
        8 => "MIPS".to_owned(),
        20 | 21 => "PowerPC".to_owned(),
        22 => "s390".to_owned(),
        40 => "32-bit Arm".to_owned(),
        50 => "Itanium".to_owned(),
        183 => "arm64".to_owned(),
        243 => "RISC-V".to_owned(),
        258 => "LoongArch".to_owned(),
        other => format!("the ELF machine {other}"),
    }
}
