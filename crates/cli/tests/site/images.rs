//! Images, by the real programs: brought to a core and back, while each of them is killed.

pub mod core;
mod disks;
mod export;
mod fetch;
mod import;
mod object_storage;
mod web;

const MIB: u64 = 1 << 20;

/// A kernel (the head of a bzImage, Documentation/arch/x86/boot.rst of Linux) with bytes behind it of
/// which no two pieces are the same.
fn bytes(mib: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(usize::try_from(mib * MIB).unwrap());
    while (bytes.len() as u64) < mib * MIB {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes[..0x400].fill(0);
    bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x211] = 1;
    bytes
}
