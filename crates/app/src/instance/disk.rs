//! An instance's disk: how large it is, and what boots it.

use rhyzome_model::image::{DiskFirmware, ImageFormat};
use rhyzome_model::instance::{Disk, Firmware, InstanceSpec};

use crate::{Error, Result};

/// What an instance of an image gets: as it was asked for, or as the image is.
pub(crate) fn effective(spec: &InstanceSpec, format: &ImageFormat) -> Option<Disk> {
    let firmware = match format {
        ImageFormat::Disk { firmware, .. } => Some(spec.firmware.unwrap_or(firmware.preferred())),
        _ => None,
    };
    let size = spec.disk_size(format)?;
    Some(Disk { size, firmware })
}

/// Whether an instance of an image can be as it was asked for.
pub(super) fn check(spec: &InstanceSpec, format: &ImageFormat) -> Result<()> {
    let ImageFormat::Disk { size, firmware, .. } = format else {
        return match spec.firmware {
            None => Ok(()),
            Some(_) => Err(Error::invalid(
                "spec.firmware",
                "the image is a kernel, which is booted without firmware; only disk images have a choice",
            )),
        };
    };
    if let Some(asked) = spec.disk.filter(|asked| asked < size) {
        let why = format!("the image is a disk of {size}: {asked} is too small for it");
        return Err(Error::invalid("spec.disk", why));
    }
    let boots = match spec.firmware {
        None => true,
        Some(Firmware::Bios) => *firmware != DiskFirmware::Uefi,
        Some(Firmware::Uefi) => *firmware != DiskFirmware::Bios,
    };
    if boots {
        return Ok(());
    }
    let only = firmware.preferred().as_str();
    let why = format!("the image has a boot loader for {only} only");
    Err(Error::invalid("spec.firmware", why))
}

/// Whether a disk can become what a new spec says: it may grow.
pub(super) fn check_growth(
    old: &InstanceSpec,
    new: &InstanceSpec,
    format: &ImageFormat,
) -> Result<()> {
    let size = |spec| effective(spec, format).map(|disk| disk.size);
    let refused = |why: String| Err(Error::invalid("spec.disk", why));
    match (size(old), size(new)) {
        (Some(old), Some(new)) if new < old => refused(format!(
            "the disk has {old}, and a disk never shrinks: what is at its end would be lost"
        )),
        (Some(_), None) => refused("a disk cannot be taken away; make a new instance".to_owned()),
        (None, Some(_)) => refused("a disk cannot be added; make a new instance".to_owned()),
        (Some(_), Some(_)) | (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rhyzome_model::Size;
    use rhyzome_model::image::DiskLayout;

    use super::*;

    fn image(firmware: DiskFirmware) -> ImageFormat {
        ImageFormat::Disk {
            layout: DiskLayout::Qcow2,
            size: Size::mib(2048),
            firmware,
            guest: None,
        }
    }

    fn spec(disk: Option<u64>, firmware: Option<Firmware>) -> InstanceSpec {
        let mut spec: InstanceSpec =
            serde_json::from_str(r#"{"image":"debian"}"#).expect("the least that is a spec");
        spec.disk = disk.map(Size::mib);
        spec.firmware = firmware;
        spec
    }

    #[test]
    fn a_disk_is_as_asked_or_as_its_image() {
        let expect = |size, firmware| {
            Some(Disk {
                size: Size::mib(size),
                firmware,
            })
        };
        let both = image(DiskFirmware::Both);
        let (bios, uefi) = (Some(Firmware::Bios), Some(Firmware::Uefi));
        assert_eq!(effective(&spec(None, None), &both), expect(2048, bios));
        assert_eq!(
            effective(&spec(Some(4096), uefi), &both),
            expect(4096, uefi)
        );
        assert_eq!(
            effective(&spec(None, None), &image(DiskFirmware::Uefi)),
            expect(2048, uefi)
        );
        assert_eq!(effective(&spec(None, None), &ImageFormat::Linux), None);
        assert_eq!(
            effective(&spec(Some(64), None), &ImageFormat::Linux),
            expect(64, None)
        );
    }

    #[test]
    fn what_could_not_boot_or_would_lose_data_is_refused() {
        let refused = |spec: &InstanceSpec, format: &ImageFormat| {
            check(spec, format).map_err(|error| error.to_string())
        };
        let bios = image(DiskFirmware::Bios);
        assert_eq!(
            refused(&spec(Some(2048), Some(Firmware::Bios)), &bios),
            Ok(())
        );
        let small = refused(&spec(Some(1024), None), &bios).unwrap_err();
        assert!(
            small.contains("a disk of 2GiB: 1GiB is too small"),
            "{small}"
        );
        let wrong = refused(&spec(None, Some(Firmware::Uefi)), &bios).unwrap_err();
        assert!(wrong.contains("for bios only"), "{wrong}");
        let kernel = refused(&spec(None, Some(Firmware::Bios)), &ImageFormat::Pvh).unwrap_err();
        assert!(kernel.contains("a kernel"), "{kernel}");
    }

    #[test]
    fn a_disk_grows_and_never_shrinks() {
        let grows = |old, new, format: &ImageFormat| {
            check_growth(&spec(old, None), &spec(new, None), format).is_ok()
        };
        let disk = image(DiskFirmware::Bios);
        assert!(grows(None, Some(4096), &disk) && grows(Some(4096), Some(4096), &disk));
        assert!(!grows(Some(4096), Some(2048), &disk) && !grows(Some(4096), None, &disk));
        assert!(
            !grows(None, Some(64), &ImageFormat::Pvh) && !grows(Some(64), None, &ImageFormat::Pvh)
        );
    }
}
