//! Finds the ACPI tables that say where timer and power registers are.

use hello::acpi::{self, Fixed};

use super::memory;

/// No table that matters here is larger; what claims to be is not believed.
const LARGEST: usize = 1 << 20;

/// What was found.
pub struct Firmware {
    /// The fixed hardware's ports.
    pub fixed: Fixed,
    /// The value that puts the machine into S5, if the DSDT has one.
    pub sleep: Option<u8>,
}

/// Follows the root pointer at a physical address to FADT and DSDT. `None` where the way breaks off.
pub fn read(rsdp: u64) -> Option<Firmware> {
    let root = acpi::root(memory::bytes(rsdp, acpi::ROOT_LEN)?)?;
    let listing = table(root.address)?;
    let fixed = acpi::entries(listing, root.wide)
        .filter_map(table)
        .find_map(acpi::fixed)?;
    let sleep = table(fixed.dsdt).and_then(acpi::soft_off);
    Some(Firmware { fixed, sleep })
}

fn table(address: u64) -> Option<&'static [u8]> {
    let len = acpi::table_len(memory::bytes(address, acpi::HEADER_LEN)?);
    if !(acpi::HEADER_LEN..=LARGEST).contains(&len) {
        return None;
    }
    memory::bytes(address, len)
}
