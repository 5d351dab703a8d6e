//! The devices that an image insists on, against those that an instance has.

use super::{ImageFormat, Solo5Device, Solo5DeviceKind};

/// Why an instance cannot boot an image: other devices than its manifest names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongDevices {
    #[error(
        "the image's manifest names {wanted}, and {given} given: a Solo5 unikernel takes neither more nor fewer"
    )]
    Networks { wanted: String, given: String },
    #[error(
        "the image's manifest names {wanted}, and {given} given: a Solo5 unikernel takes neither more nor fewer"
    )]
    Blocks { wanted: String, given: String },
}

impl WrongDevices {
    /// The field of an instance's spec that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Networks { .. } => "networks",
            Self::Blocks { .. } => "disk",
        }
    }
}

impl ImageFormat {
    /// Whether an instance with so many networks and disks has what the image needs.
    pub fn check_devices(&self, networks: usize, disks: usize) -> Result<(), WrongDevices> {
        let Self::Solo5 {
            networks: wanted_networks,
            blocks: wanted_blocks,
            devices,
        } = self
        else {
            return Ok(());
        };
        if usize::from(*wanted_networks) != networks {
            return Err(WrongDevices::Networks {
                wanted: named(
                    *wanted_networks,
                    "network",
                    devices,
                    Solo5DeviceKind::Network,
                ),
                given: counted(networks),
            });
        }
        if usize::from(*wanted_blocks) != disks {
            return Err(WrongDevices::Blocks {
                wanted: named(*wanted_blocks, "disk", devices, Solo5DeviceKind::Block),
                given: counted(disks),
            });
        }
        Ok(())
    }

    /// The kinds of its devices in the order in which the unikernel looks for them; none where the order
    /// does not matter.
    pub fn device_order(&self) -> Option<Vec<Solo5DeviceKind>> {
        match self {
            Self::Solo5 { devices, .. } if !devices.is_empty() => {
                Some(devices.iter().map(|device| device.kind).collect())
            }
            _ => None,
        }
    }

    /// What a Solo5 manifest calls the network that the instance's interface at an index is in.
    pub fn network_device(&self, index: usize) -> Option<&str> {
        let Self::Solo5 { devices, .. } = self else {
            return None;
        };
        let mut networks = devices
            .iter()
            .filter(|device| device.kind == Solo5DeviceKind::Network);
        networks.nth(index).map(|device| device.name.as_str())
    }
}

fn counted(count: usize) -> String {
    match count {
        0 => "none is".to_owned(),
        1 => "1 is".to_owned(),
        count => format!("{count} are"),
    }
}

fn named(count: u8, what: &str, devices: &[Solo5Device], kind: Solo5DeviceKind) -> String {
    let plural = if count == 1 { "" } else { "s" };
    let names: Vec<&str> = devices
        .iter()
        .filter(|device| device.kind == kind)
        .map(|device| device.name.as_str())
        .collect();
    match (count, names.is_empty()) {
        (0, _) => format!("no {what}"),
        (_, true) => format!("{count} {what}{plural}"),
        (_, false) => format!("{count} {what}{plural} ({})", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solo5(devices: &[(&str, Solo5DeviceKind)]) -> ImageFormat {
        let count = |kind| devices.iter().filter(|(_, own)| *own == kind).count() as u8;
        ImageFormat::Solo5 {
            networks: count(Solo5DeviceKind::Network),
            blocks: count(Solo5DeviceKind::Block),
            devices: devices
                .iter()
                .map(|(name, kind)| Solo5Device {
                    name: (*name).to_owned(),
                    kind: *kind,
                })
                .collect(),
        }
    }

    fn check(format: &ImageFormat, networks: usize, disks: usize, expect: Result<(), &str>) {
        let got = format.check_devices(networks, disks);
        assert_eq!(
            got.map_err(|wrong| wrong.to_string())
                .as_ref()
                .map_err(String::as_str),
            expect.as_ref().map_err(|text| *text)
        );
    }

    #[test]
    fn a_manifest_is_obeyed_to_the_letter_and_named() {
        use Solo5DeviceKind::{Block, Network};
        let format = solo5(&[("service", Network), ("store", Block), ("private", Network)]);
        check(&format, 2, 1, Ok(()));
        check(
            &format,
            1,
            1,
            Err(
                "the image's manifest names 2 networks (service, private), and 1 is given: a Solo5 unikernel takes neither more nor fewer",
            ),
        );
        check(
            &format,
            2,
            0,
            Err(
                "the image's manifest names 1 disk (store), and none is given: a Solo5 unikernel takes neither more nor fewer",
            ),
        );
        check(
            &solo5(&[]),
            2,
            0,
            Err(
                "the image's manifest names no network, and 2 are given: a Solo5 unikernel takes neither more nor fewer",
            ),
        );
        check(&ImageFormat::Linux, 3, 0, Ok(()));
        assert_eq!(format.device_order(), Some(vec![Network, Block, Network]));
        assert_eq!(format.network_device(1), Some("private"));
    }

    #[test]
    fn an_image_that_was_imported_before_names_were_kept_is_still_read() {
        let old: ImageFormat =
            serde_json::from_str(r#"{"family": "solo5", "networks": 1, "blocks": 0}"#).unwrap();
        check(
            &old,
            0,
            0,
            Err(
                "the image's manifest names 1 network, and none is given: a Solo5 unikernel takes neither more nor fewer",
            ),
        );
        assert_eq!(old.device_order(), None);
        let old: ImageFormat = serde_json::from_str(r#"{"family": "unikraft"}"#).unwrap();
        assert_eq!(old, ImageFormat::Unikraft { parameters: false });
        assert_eq!(
            serde_json::to_string(&old).unwrap(),
            r#"{"family":"unikraft"}"#
        );
    }
}
