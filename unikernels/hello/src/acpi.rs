//! Reads ACPI tables from their bytes: root pointer, list of tables, FADT, and `\_S5` of the DSDT.
//!
//! Leaves out AML: `\_S5` is found by its name and read as the constant package that it is in every DSDT seen.
//! Source: ACPI 6.5, 5.2.5 (RSDP), 5.2.6 (header), 5.2.9 (FADT), 7.4.2 (`\_Sx`), 20.2 (encoding).

/// Bytes of a root pointer, second version.
pub const ROOT_LEN: usize = 36;
/// Bytes of every table's header.
pub const HEADER_LEN: usize = 36;

/// Where the list of tables is.
#[derive(Debug, PartialEq, Eq)]
pub struct Root {
    /// Physical address of RSDT or XSDT.
    pub address: u64,
    /// Whether the entries have 8 bytes (XSDT) rather than 4.
    pub wide: bool,
}

/// The part of the FADT that is needed to tell time and to stop.
#[derive(Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Physical address of the DSDT.
    pub dsdt: u64,
    /// Port and value that hand the power registers from firmware to us; port 0 where nothing needs doing.
    pub enable: (u16, u8),
    /// Port of the PM1a status register.
    pub events: u16,
    /// Bytes of the PM1a status and enable registers together.
    pub events_len: u8,
    /// Port of the PM1a control register.
    pub control: u16,
    /// Port of the power management timer; 0 where there is none.
    pub timer: u16,
    /// Whether the timer has 32 bits rather than 24.
    pub timer_wide: bool,
}

/// Reads the root pointer.
pub fn root(bytes: &[u8]) -> Option<Root> {
    if !bytes.starts_with(b"RSD PTR ") {
        return None;
    }
    let wide = bytes.get(15)? >= &2 && long(bytes, 24)? != 0;
    let address = if wide {
        long(bytes, 24)?
    } else {
        u64::from(word(bytes, 16)?)
    };
    Some(Root { address, wide })
}

/// The length that a table's header states.
pub fn table_len(header: &[u8]) -> usize {
    word(header, 4).unwrap_or(0) as usize
}

/// The addresses in an RSDT or XSDT.
pub fn entries(listing: &[u8], wide: bool) -> impl Iterator<Item = u64> {
    let size = if wide { 8 } else { 4 };
    listing
        .get(HEADER_LEN..)
        .unwrap_or_default()
        .chunks_exact(size)
        .map(move |entry| {
            if wide {
                long(entry, 0).unwrap_or(0)
            } else {
                u64::from(word(entry, 0).unwrap_or(0))
            }
        })
}

/// Reads a table if it is the FADT.
pub fn fixed(table: &[u8]) -> Option<Fixed> {
    if !table.starts_with(b"FACP") {
        return None;
    }
    let port = |offset| word(table, offset).and_then(|port| u16::try_from(port).ok());
    let extended = long(table, 140).unwrap_or(0);
    Some(Fixed {
        dsdt: if extended == 0 {
            u64::from(word(table, 40)?)
        } else {
            extended
        },
        enable: (port(48)?, *table.get(52)?),
        events: port(56)?,
        events_len: *table.get(88)?,
        control: port(64)?,
        timer: port(76)?,
        timer_wide: word(table, 112)? & 1 << 8 != 0,
    })
}

/// The sleep type of S5 for the PM1a control register, from a DSDT.
pub fn soft_off(dsdt: &[u8]) -> Option<u8> {
    const PACKAGE: u8 = 0x12;
    let name = dsdt.windows(4).position(|window| window == b"_S5_")?;
    let after = dsdt.get(name + 4..)?;
    let [PACKAGE, lead, ..] = after else {
        return None;
    };
    // The package's length takes as many further bytes as the two highest bits of its first say; then comes the count.
    let elements = after.get(2 + usize::from(lead >> 6) + 1..)?;
    let value = match elements {
        [0x00, ..] => 0,
        [0x01, ..] => 1,
        [0x0a, value, ..] => *value,
        _ => return None,
    };
    (value < 8).then_some(value)
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn long(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_pointer_prefers_the_wide_list() {
        let mut bytes = [0; ROOT_LEN];
        bytes[..8].copy_from_slice(b"RSD PTR ");
        bytes[16] = 0x10;
        assert_eq!(
            root(&bytes),
            Some(Root {
                address: 0x10,
                wide: false
            })
        );
        bytes[15] = 2;
        bytes[24] = 0x20;
        assert_eq!(
            root(&bytes),
            Some(Root {
                address: 0x20,
                wide: true
            })
        );
        assert_eq!(root(&[0; ROOT_LEN]), None);
    }

    #[test]
    fn a_listing_is_read_in_either_width_and_without_its_odd_end() {
        let mut listing = vec![0; HEADER_LEN];
        listing.extend([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 9]);
        assert_eq!(entries(&listing, false).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(entries(&listing, true).collect::<Vec<_>>(), [2 << 32 | 1]);
        assert_eq!(entries(&[], false).count(), 0);
    }

    #[test]
    fn a_fadt_gives_the_ports_and_a_cut_one_nothing() {
        let mut table = vec![0; 148];
        table[..4].copy_from_slice(b"FACP");
        table[40] = 0x40;
        table[48] = 0xb2;
        table[52] = 2;
        table[57] = 0x06;
        table[64..66].copy_from_slice(&[0x04, 0x06]);
        table[76..78].copy_from_slice(&[0x08, 0x06]);
        table[88] = 4;
        table[113] = 1;
        let read = fixed(&table).unwrap();
        assert_eq!(
            (read.dsdt, read.enable, read.events, read.events_len),
            (0x40, (0xb2, 2), 0x600, 4)
        );
        assert_eq!(
            (read.control, read.timer, read.timer_wide),
            (0x604, 0x608, true)
        );
        assert_eq!(fixed(&table[..100]), None);
        assert_eq!(fixed(b"APIC"), None);
    }

    #[test]
    fn soft_off_is_read_in_each_encoding() {
        let check = |bytes: &[u8], expect| assert_eq!(soft_off(bytes), expect, "{bytes:x?}");
        check(b"\x08_S5_\x12\x06\x04\x00\x00\x00\x00", Some(0));
        check(b"\x08_S5_\x12\x06\x04\x01\x01\x00\x00", Some(1));
        check(b"\x08_S5_\x12\x08\x04\x0a\x05\x0a\x05\x00\x00", Some(5));
        check(b"\x08_S5_\x12\x47\x00\x04\x0a\x07\x00\x00\x00", Some(7));
        check(b"\x08_S5_\x12\x08\x04\x0a\x09", None);
        check(b"\x08_S5_\x12", None);
        check(b"_S4_", None);
    }
}
