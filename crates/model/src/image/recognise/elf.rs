//! As much of ELF as recognising needs: header, program headers, notes and names of sections
//! (System V ABI, chapter 4 and 5). Little-endian x86 of both widths only; every count is bounded.

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
const HEADERS: u16 = 512;
const NOTES: usize = 64 << 10;
const NAMES: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    Bits32,
    Bits64,
}

/// What was read of an ELF file.
pub struct Elf {
    pub class: Class,
    /// `ET_*`.
    pub kind: u16,
    pub os_abi: u8,
    pub has_interpreter: bool,
    pub loads_anything: bool,
    /// A PT_NOTE segment takes no memory, as in the kernel of Nanos.
    pub has_note_without_memory: bool,
    /// Notes of segments, which are what the loader sees.
    pub notes: Vec<Note>,
    /// Notes of sections, which tools leave where there is no segment for them.
    pub section_notes: Vec<Note>,
    pub sections: Vec<String>,
}

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

/// Reads what recognising needs.
pub fn read<B: ReadAt + ?Sized>(bytes: &B, size: u64, head: &[u8]) -> Result<Elf, Stop> {
    let short = |wanted: usize| Refused::Truncated {
        what: "ELF file",
        wanted: wanted as u64,
        size,
    };
    let layout = match (head.get(4), head.get(5)) {
        (Some(1), Some(1)) => &LAYOUT_32,
        (Some(2), Some(1)) => &LAYOUT_64,
        (Some(1 | 2), Some(2)) => {
            return Err(Refused::Architecture("a big-endian processor".to_owned()).into());
        }
        (None, _) | (_, None) => return Err(short(52).into()),
        _ => return Err(malformed("its width and byte order are none there are").into()),
    };
    if head.len() < layout.header {
        return Err(short(layout.header).into());
    }
    let machine = u16_at(head, 18).ok_or_else(|| short(20))?;
    if !matches!(machine, 3 | 62) {
        return Err(Refused::Architecture(architecture(machine)).into());
    }
    let mut elf = Elf {
        class: layout.class,
        kind: u16_at(head, 16).ok_or_else(|| short(18))?,
        os_abi: head[7],
        has_interpreter: false,
        loads_anything: false,
        has_note_without_memory: false,
        notes: Vec::new(),
        section_notes: Vec::new(),
        sections: Vec::new(),
    };
    let programs = layout.programs(head).ok_or_else(|| short(layout.header))?;
    let sections = layout.sections(head).ok_or_else(|| short(layout.header))?;
    let names_index = u16_at(head, layout.pick(50, 62)).ok_or_else(|| short(layout.header))?;
    read_programs(&mut elf, bytes, size, layout, &programs)?;
    read_sections(&mut elf, bytes, size, layout, &sections, names_index)?;
    Ok(elf)
}

fn malformed(why: &'static str) -> Refused {
    Refused::Malformed {
        what: "ELF file",
        why,
    }
}

/// The entries of a table, after checking that all of it is there.
fn entries<B: ReadAt + ?Sized>(
    bytes: &B,
    size: u64,
    table: &Table,
    least: usize,
) -> Result<Vec<Vec<u8>>, Stop> {
    if table.offset == 0 || table.count == 0 {
        return Ok(Vec::new());
    }
    if usize::from(table.entry) < least {
        return Err(malformed("the entries of a table are too short").into());
    }
    if table.count > HEADERS {
        return Err(malformed("it has more headers than any kernel").into());
    }
    let length = usize::from(table.entry) * usize::from(table.count);
    within(size, table.offset, length as u64)?;
    let all = window(bytes, table.offset, length)?;
    Ok(all
        .chunks_exact(usize::from(table.entry))
        .map(<[u8]>::to_vec)
        .collect())
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

fn read_programs<B: ReadAt + ?Sized>(
    elf: &mut Elf,
    bytes: &B,
    size: u64,
    layout: &Layout,
    table: &Table,
) -> Result<(), Stop> {
    for header in entries(bytes, size, table, layout.program_header)? {
        let field = |at_32, at_64| layout.word(&header, at_32, at_64).unwrap_or(0);
        let offset = field(4, 8);
        let in_file = field(16, 32);
        let in_memory = field(20, 40);
        let kind = u32_at(&header, 0).unwrap_or(0);
        match kind {
            PT_LOAD => {
                within(size, offset, in_file)?;
                elf.loads_anything = true;
            }
            PT_INTERP => elf.has_interpreter = true,
            PT_NOTE => {
                elf.has_note_without_memory |= in_memory == 0;
                within(size, offset, in_file)?;
                let length = usize::try_from(in_file).unwrap_or(usize::MAX).min(NOTES);
                elf.notes.extend(notes(&window(bytes, offset, length)?));
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_sections<B: ReadAt + ?Sized>(
    elf: &mut Elf,
    bytes: &B,
    size: u64,
    layout: &Layout,
    table: &Table,
    names_index: u16,
) -> Result<(), Stop> {
    let headers = entries(bytes, size, table, layout.section_header)?;
    let place = |header: &[u8]| {
        let offset = layout.word(header, 16, 24).unwrap_or(0);
        let length = layout.word(header, 20, 32).unwrap_or(0);
        (offset, length)
    };
    let names = match headers.get(usize::from(names_index)) {
        Some(header) => {
            let (offset, length) = place(header);
            window(
                bytes,
                offset,
                usize::try_from(length).unwrap_or(usize::MAX).min(NAMES),
            )?
        }
        None => Vec::new(),
    };
    for header in &headers {
        let kind = u32_at(header, 4).unwrap_or(0);
        let (offset, length) = place(header);
        if kind == SHT_NOTE {
            within(size, offset, length)?;
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(NOTES);
            elf.section_notes
                .extend(notes(&window(bytes, offset, length)?));
        }
        let start = u32_at(header, 0)
            .and_then(|start| usize::try_from(start).ok())
            .unwrap_or(0);
        let name = names.get(start..).unwrap_or(&[]);
        let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        if name.len() <= 64 {
            elf.sections
                .push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(())
}

/// The notes of a segment or section: three words, then owner and description, each padded to 4 bytes.
/// Ends quietly at the first that does not fit.
fn notes(bytes: &[u8]) -> Vec<Note> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((note, next)) = note(bytes, at) {
        found.push(note);
        at = next;
    }
    found
}

fn note(bytes: &[u8], at: usize) -> Option<(Note, usize)> {
    let owner_length = usize::try_from(u32_at(bytes, at)?).ok()?;
    let length = usize::try_from(u32_at(bytes, at.checked_add(4)?)?).ok()?;
    let kind = u32_at(bytes, at.checked_add(8)?)?;
    let owner_at = at.checked_add(12)?;
    let owner = bytes.get(owner_at..owner_at.checked_add(owner_length)?)?;
    let start = owner_at.checked_add(owner_length.checked_next_multiple_of(4)?)?;
    let description = bytes.get(start..start.checked_add(length)?)?;
    let next = start.checked_add(length.checked_next_multiple_of(4)?)?;
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
        8 => "MIPS".to_owned(),
        20 | 21 => "PowerPC".to_owned(),
        22 => "s390".to_owned(),
        40 => "32-bit Arm".to_owned(),
        183 => "arm64".to_owned(),
        243 => "RISC-V".to_owned(),
        258 => "LoongArch".to_owned(),
        other => format!("the ELF machine {other}"),
    }
}
