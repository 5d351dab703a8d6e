//! Disks and what boots them.

use rhyzome_model::Size;
use rhyzome_model::image::{DiskFirmware, DiskGuest, DiskLayout, ImageFormat};
use rhyzome_model::instance::{Disk, Firmware};

use crate::invalid::Invalid;
use crate::pb;

impl From<Disk> for pb::Disk {
    fn from(disk: Disk) -> Self {
        Self {
            size: disk.size.as_bytes(),
            firmware: disk
                .firmware
                .map(|firmware| pb::Firmware::from(firmware).into()),
        }
    }
}

impl TryFrom<pb::Disk> for Disk {
    type Error = Invalid;

    fn try_from(disk: pb::Disk) -> Result<Self, Invalid> {
        Ok(Self {
            size: Size::bytes(disk.size),
            firmware: disk.firmware.map(firmware).transpose()?,
        })
    }
}

impl From<Firmware> for pb::Firmware {
    fn from(firmware: Firmware) -> Self {
        match firmware {
            Firmware::Bios => Self::Bios,
            Firmware::Uefi => Self::Uefi,
        }
    }
}

pub(crate) fn firmware(value: i32) -> Result<Firmware, Invalid> {
    match pb::Firmware::try_from(value) {
        Ok(pb::Firmware::Bios) => Ok(Firmware::Bios),
        Ok(pb::Firmware::Uefi) => Ok(Firmware::Uefi),
        Ok(pb::Firmware::Unspecified) => Err(Invalid::missing("firmware")),
        Err(_) => Err(Invalid::unknown("firmware", value)),
    }
}

pub(crate) fn image_message(
    layout: DiskLayout,
    size: Size,
    firmware: DiskFirmware,
    guest: Option<DiskGuest>,
) -> pb::DiskImage {
    let guest = guest.map(|guest| match guest {
        DiskGuest::Nanos => pb::DiskGuest::Nanos.into(),
        DiskGuest::Osv => pb::DiskGuest::Osv.into(),
    });
    let firmware: &[pb::Firmware] = match firmware {
        DiskFirmware::Bios => &[pb::Firmware::Bios],
        DiskFirmware::Uefi => &[pb::Firmware::Uefi],
        DiskFirmware::Both => &[pb::Firmware::Bios, pb::Firmware::Uefi],
    };
    pb::DiskImage {
        layout: match layout {
            DiskLayout::Raw => pb::DiskLayout::Raw,
            DiskLayout::Qcow2 => pb::DiskLayout::Qcow2,
        }
        .into(),
        size: size.as_bytes(),
        firmware: firmware.iter().map(|one| (*one).into()).collect(),
        guest,
    }
}

pub(crate) fn image_format(disk: &pb::DiskImage) -> Result<ImageFormat, Invalid> {
    let layout = match pb::DiskLayout::try_from(disk.layout) {
        Ok(pb::DiskLayout::Raw) => DiskLayout::Raw,
        Ok(pb::DiskLayout::Qcow2) => DiskLayout::Qcow2,
        Ok(pb::DiskLayout::Unspecified) => return Err(Invalid::missing("layout")),
        Err(_) => return Err(Invalid::unknown("layout", disk.layout)),
    };
    let (mut bios, mut uefi) = (false, false);
    for one in &disk.firmware {
        match firmware(*one)? {
            Firmware::Bios => bios = true,
            Firmware::Uefi => uefi = true,
        }
    }
    let firmware = match (bios, uefi) {
        (true, false) => DiskFirmware::Bios,
        (false, true) => DiskFirmware::Uefi,
        (true, true) => DiskFirmware::Both,
        (false, false) => return Err(Invalid::missing("firmware")),
    };
    Ok(ImageFormat::Disk {
        layout,
        size: Size::bytes(disk.size),
        firmware,
        guest: disk.guest.map(guest).transpose()?,
    })
}

fn guest(value: i32) -> Result<DiskGuest, Invalid> {
    match pb::DiskGuest::try_from(value) {
        Ok(pb::DiskGuest::Nanos) => Ok(DiskGuest::Nanos),
        Ok(pb::DiskGuest::Osv) => Ok(DiskGuest::Osv),
        Ok(pb::DiskGuest::Unspecified) => Err(Invalid::missing("guest")),
        Err(_) => Err(Invalid::unknown("guest", value)),
    }
}
