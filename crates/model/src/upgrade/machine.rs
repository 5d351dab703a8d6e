//! What a program is built for: as much of an ELF file's header as tells that (System V ABI, chapter 4),
//! in both widths and byte orders, and whether the file is as long as the header says.

use std::fmt;

/// So many bytes of a file are enough.
pub const HEAD: usize = 64;

const MAGIC: &[u8] = b"\x7fELF";
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// What a program is built for: two that are equal may run on the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    is_64_bits: bool,
    is_big_endian: bool,
    /// `EM_*`.
    machine: u16,
}

/// Why bytes are no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProgram {
    #[error("it is no program: it does not begin as an ELF file does")]
    Magic,
    #[error("it is an ELF file, and no program: its type is {0}")]
    Type(u16),
    #[error("it is an ELF file of a width or a byte order that there is none of")]
    Width,
    #[error("it is cut off: it has {size} bytes, and by its header {wanted}")]
    Truncated { wanted: u64, size: u64 },
}

impl Machine {
    /// Reads the first [`HEAD`] bytes of a file that has `size` of them.
    ///
    /// # Errors
    /// [`NoProgram`].
    pub fn of(head: &[u8], size: u64) -> Result<Self, NoProgram> {
        if !head.starts_with(MAGIC) {
            return Err(NoProgram::Magic);
        }
        let truncated = |wanted: u64| NoProgram::Truncated { wanted, size };
        if head.len() < HEAD {
            return Err(truncated(HEAD as u64));
        }
        let (is_64_bits, is_big_endian) = match (head[4], head[5]) {
            (1, 1) => (false, false),
            (1, 2) => (false, true),
            (2, 1) => (true, false),
            (2, 2) => (true, true),
            _ => return Err(NoProgram::Width),
        };
        let header = Header {
            head,
            is_big_endian,
        };
        let kind = header.number(16, 2);
        if kind != u64::from(ET_EXEC) && kind != u64::from(ET_DYN) {
            return Err(NoProgram::Type(u16::try_from(kind).unwrap_or(u16::MAX)));
        }
        // Where the table of sections ends is where linkers end the file.
        let (offset, entry, count) = match is_64_bits {
            true => (
                header.number(40, 8),
                header.number(58, 2),
                header.number(60, 2),
            ),
            false => (
                header.number(32, 4),
                header.number(46, 2),
                header.number(48, 2),
            ),
        };
        let end = offset.saturating_add(entry * count);
        if end > size {
            return Err(truncated(end));
        }
        Ok(Self {
            is_64_bits,
            is_big_endian,
            machine: u16::try_from(header.number(18, 2)).unwrap_or(u16::MAX),
        })
    }
}

struct Header<'a> {
    head: &'a [u8],
    is_big_endian: bool,
}

impl Header<'_> {
    /// A number of so many bytes; within the head, as all callers' are.
    fn number(&self, at: usize, width: usize) -> u64 {
        let bytes = &self.head[at..at + width];
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        match self.is_big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        }
    }
}

impl fmt::Display for Machine {
    /// As `uname -m` has it, where that tells enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.machine, self.is_64_bits, self.is_big_endian) {
            (3, false, false) => f.write_str("i386"),
            (62, true, false) => f.write_str("x86_64"),
            (62, false, false) => f.write_str("x32"),
            (183, true, false) => f.write_str("aarch64"),
            (40, false, false) => f.write_str("arm"),
            (8, false, true) => f.write_str("mips"),
            (8, false, false) => f.write_str("mipsel"),
            (8, true, true) => f.write_str("mips64"),
            (8, true, false) => f.write_str("mips64el"),
            (243, true, false) => f.write_str("riscv64"),
            (machine, is_64_bits, is_big_endian) => write!(
                f,
                "the ELF machine {machine} ({} bits, {}-endian)",
                if is_64_bits { 64 } else { 32 },
                if is_big_endian { "big" } else { "little" }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of a file of 1064 bytes: a table of sections of 1000 behind the header.
    fn head(class: u8, order: u8, machine: u16) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        head[..4].copy_from_slice(MAGIC);
        (head[4], head[5]) = (class, order);
        let mut put = |at: usize, width: usize, value: u64| match order {
            2 => head[at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]),
            _ => head[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]),
        };
        put(16, 2, u64::from(ET_DYN));
        put(18, 2, u64::from(machine));
        match class {
            2 => (put(40, 8, 64), put(58, 2, 100), put(60, 2, 10)),
            _ => (put(32, 4, 64), put(46, 2, 100), put(48, 2, 10)),
        };
        head
    }

    fn check(head: &[u8], size: u64, expect: Result<&str, &str>) {
        let got = Machine::of(head, size).map(|machine| machine.to_string());
        let got = got.map_err(|error| error.to_string());
        assert_eq!(
            got.as_deref().map_err(String::as_str),
            expect,
            "{head:?} {size}"
        );
    }

    #[test]
    fn a_program_says_what_it_is_built_for() {
        check(&head(2, 1, 62), 1064, Ok("x86_64"));
        check(&head(2, 1, 183), 2000, Ok("aarch64"));
        check(&head(1, 2, 8), 1064, Ok("mips"));
        check(&head(1, 1, 8), 1064, Ok("mipsel"));
        let other = "the ELF machine 22 (64 bits, big-endian)";
        check(&head(2, 2, 22), 1064, Ok(other));
    }

    #[test]
    fn what_is_no_program_or_not_all_of_one_is_told() {
        let magic = "it is no program: it does not begin as an ELF file does";
        check(b"#!/bin/sh\n", 10, Err(magic));
        check(b"", 0, Err(magic));
        let cut = "it is cut off: it has 1063 bytes, and by its header 1064";
        check(&head(2, 1, 62), 1063, Err(cut));
        let cut = "it is cut off: it has 20 bytes, and by its header 64";
        check(&head(2, 1, 62)[..20], 20, Err(cut));
        let mut object = head(2, 1, 62);
        object[16] = 1;
        check(
            &object,
            1064,
            Err("it is an ELF file, and no program: its type is 1"),
        );
        let width = "it is an ELF file of a width or a byte order that there is none of";
        check(&head(3, 1, 62), 1064, Err(width));
    }

    #[test]
    fn this_very_test_is_a_program() {
        let own = std::fs::read("/proc/self/exe").expect("a process has a program");
        let machine = Machine::of(&own[..HEAD], own.len() as u64).expect("it runs");
        assert_eq!(machine.to_string(), std::env::consts::ARCH);
    }
}
