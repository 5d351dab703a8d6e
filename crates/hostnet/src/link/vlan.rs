//! VLANs (802.1Q) of a device, as devices of their own.

use netlink_packet_route::link::{InfoData, InfoVlan, LinkInfo};
use rtnetlink::LinkVlan;

use super::{LinkError, Links, failed, or_there_already};

/// No link has this number.
const NOBODY: u32 = i32::MAX.cast_unsigned();

impl Links {
    /// The VLAN of a device, down.
    pub async fn add_vlan(&self, name: &str, trunk: u32, vlan: u16) -> Result<bool, LinkError> {
        let message = LinkVlan::new(name, trunk, vlan).build();
        let result = self.handle.link().add(message).execute().await;
        or_there_already(result.map_err(failed("add the VLAN", name)))
    }

    /// Whether the kernel can 802.1Q. It is asked for a VLAN of a device that is not there, and makes none in any case.
    pub async fn can_vlans(&self) -> Result<bool, LinkError> {
        let message = LinkVlan::new("rzprobe", NOBODY, 1).build();
        let result = self.handle.link().add(message).execute().await;
        match result.map_err(failed("ask the kernel for", "802.1Q")) {
            Ok(()) => Ok(true),
            Err(e) if e.is_missing() => Ok(true),
            Err(e) if e.is_unsupported() => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// The VLAN that a message says a device is; none where the link is no such.
pub(super) fn vlan(infos: &[LinkInfo]) -> Option<u16> {
    infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(data)) => data.iter().find_map(|info| match info {
            InfoVlan::Id(id) => Some(*id),
            _ => None,
        }),
        _ => None,
    })
}
