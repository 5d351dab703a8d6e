//! The component's program: it has to run where there is neither its C library nor its loader.

use std::fs;
use std::path::Path;

use crate::Error;

/// Of an ELF file: 64 bits, little-endian; its machine, x86-64; the kind of a part that names a loader.
const ELF: &[u8] = b"\x7fELF\x02\x01";
const X86_64: u16 = 62;
const INTERPRETER: u32 = 3;

/// Bytes; a router's flash is small, and ten times of what we make is something else.
const MOST: u64 = 64 << 20;

/// # Errors
/// It is not there, or no static program for x86-64.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |reason| Error::Agent {
        path: path.to_owned(),
        reason,
    };
    let metadata = fs::metadata(path).map_err(Error::reading(path))?;
    if !metadata.is_file() || metadata.len() > MOST {
        return Err(wrong("it is no program of ours"));
    }
    let bytes = fs::read(path).map_err(Error::reading(path))?;
    match interpreter(&bytes) {
        Some((X86_64, false)) => Ok(bytes),
        Some((X86_64, true)) => Err(wrong(
            "it is linked to the libraries of another system (build it static)",
        )),
        Some(_) => Err(wrong("it is for another architecture than x86-64")),
        None => Err(wrong("it is no program for Linux on 64 bits")),
    }
}

/// The machine that a program is for, and whether it wants a loader (elf(5)).
fn interpreter(bytes: &[u8]) -> Option<(u16, bool)> {
    if !bytes.starts_with(ELF) {
        return None;
    }
    let number = |at: usize, length: usize| -> Option<u64> {
        let part = bytes.get(at..at.checked_add(length)?)?;
        Some(
            part.iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    let machine = u16::try_from(number(18, 2)?).ok()?;
    let at = usize::try_from(number(32, 8)?).ok()?;
    let (size, count) = (number(54, 2)?, number(56, 2)?);
    let mut wants = false;
    for part in 0..count {
        let part = at.checked_add(usize::try_from(part * size).ok()?)?;
        wants |= number(part, 4)? == u64::from(INTERPRETER);
    }
    Some((machine, wants))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::program;

    fn check(bytes: &[u8], expect: Result<(), &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rhyzome-openwrt");
        fs::write(&path, bytes).unwrap();
        let got = read(&path).map(drop).map_err(|e| e.to_string());
        match expect {
            Ok(()) => assert_eq!(got, Ok(())),
            Err(part) => assert!(got.clone().unwrap_err().contains(part), "{got:?}"),
        }
    }

    #[test]
    fn only_a_static_program_for_the_right_machine_is_taken() {
        check(&program(), Ok(()));
        let mut arm = program();
        arm[18] = 183;
        check(&arm, Err("another architecture"));
        let mut linked = program();
        linked[64] = 3;
        check(&linked, Err("libraries of another system"));
        check(b"#!/bin/sh\n", Err("no program for Linux"));
        check(&program()[..66], Err("no program for Linux"));
        assert!(read(Path::new("/nonexistent/agent")).is_err());
    }

    #[test]
    fn a_program_of_this_machine_is_linked_to_its_libraries() {
        let got = read(Path::new("/bin/sh"))
            .map(drop)
            .map_err(|e| e.to_string());
        assert!(got.unwrap_err().contains("libraries of another system"));
    }
}
