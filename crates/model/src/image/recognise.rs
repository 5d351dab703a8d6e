//! Recognises an image by its bytes, or says in a sentence why it cannot be booted.
//!
//! Names and endings of files are not looked at. What the loader would run in silence for ever (a
//! compressed kernel, a disk image, an image for another hypervisor) is refused here, where somebody
//! reads the answer.
//!
//! The loader is QEMU's `-kernel`: it tries the Linux boot protocol, then multiboot 1, then PVH. Reads
//! are small and bounded, so an image need not be in memory.

mod container;
mod disk;
mod elf;
mod fat;
mod guest;
mod kernel;
mod multiboot;
mod qcow2;
mod refused;
mod solo5;

use std::io;

use crate::image::ImageFormat;

pub use refused::Refused;

/// Bytes that can be read anywhere: a slice, or a file that its owner wraps.
pub trait ReadAt {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on as far as there are bytes, and says how many it filled; fewer
    /// than asked only at the end.
    ///
    /// # Errors
    /// Where reading fails; the end of the bytes is no error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..))
            .unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Recognises bytes that are all in memory.
///
/// # Errors
/// Why they are no image that can be booted.
pub fn recognise(bytes: &[u8]) -> Result<ImageFormat, Refused> {
    recognise_at(bytes).expect("reading from memory does not fail")
}

/// Recognises bytes that are read as needed: some hundred KiB at most of what is no qcow2 image, and of
/// one its tables besides, up to 17 MiB, and a few compressed clusters of up to 2 MiB each.
///
/// # Errors
/// The outer one where reading failed, the inner one why they are no image that can be booted.
pub fn recognise_at<B: ReadAt + ?Sized>(bytes: &B) -> io::Result<Result<ImageFormat, Refused>> {
    match look(bytes) {
        Ok(format) => Ok(Ok(format)),
        Err(Stop::Refused(refused)) => Ok(Err(refused)),
        Err(Stop::Read(error)) => Err(error),
    }
}

/// Why looking ended without a format.
enum Stop {
    Read(io::Error),
    Refused(Refused),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// How much of the beginning is read at once: multiboot's 8 KiB and the volume descriptor of ISO 9660.
const HEAD: usize = 0x9000;

fn look<B: ReadAt + ?Sized>(bytes: &B) -> Result<ImageFormat, Stop> {
    let size = bytes.size();
    if size == 0 {
        return Err(Refused::Empty.into());
    }
    let head = window(bytes, 0, HEAD)?;
    // The loader's order: the mark of Linux wins over all else.
    if kernel::is_linux(&head) {
        return Ok(kernel::linux(&head, size)?);
    }
    if head.starts_with(elf::MAGIC) {
        return kernel::elf(bytes, size, &head);
    }
    if head.starts_with(qcow2::MAGIC) {
        return disk::in_qcow2(bytes);
    }
    if let Some(refused) = container::refusal(&head) {
        return Err(refused.into());
    }
    if let Some(refused) = container::disk(&head) {
        return Err(refused.into());
    }
    if let Some(disk) = disk::raw(bytes, &head)? {
        return Ok(disk);
    }
    if let Some(refused) = container::file_system(&head) {
        return Err(refused.into());
    }
    match multiboot::find(&head) {
        // Without an ELF around it, only a header with addresses can be loaded.
        Some(header) if header.has_addresses() => {
            header.check(size)?;
            Ok(ImageFormat::Multiboot)
        }
        _ if multiboot::has_version_2(bytes)? => Err(Refused::Multiboot2.into()),
        _ => Err(Refused::Unknown.into()),
    }
}

/// Up to `length` bytes from `offset` on; fewer where there are no more.
fn window<B: ReadAt + ?Sized>(bytes: &B, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let rest = usize::try_from(bytes.size().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut buffer = vec![0; length.min(rest)];
    let count = bytes.read_at(offset, &mut buffer)?;
    buffer.truncate(count);
    Ok(buffer)
}

/// `N` bytes at an offset, where there are as many.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array(bytes, offset).map(u64::from_le_bytes)
}

#[cfg(test)]
mod build;
#[cfg(test)]
mod tests;
