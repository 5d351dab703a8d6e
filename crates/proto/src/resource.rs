//! The specs inside placements: one section a resource.

use rhyzome_model::Size;
use rhyzome_model::image::{ImageFormat, Solo5Device, Solo5DeviceKind};
use rhyzome_model::instance::{
    BlobPin, BridgeInterface, Guest, ImagePin, InstancePlacement, Interface, MetadataAccess, Power,
    RestartPolicy,
};
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, SegmentPlacement, VtepPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::user_data::UserData;

use crate::disk;
use crate::invalid::{Invalid, inner, list, narrow, optional, text};
use crate::pb;

impl From<NetworkPlacement> for pb::Network {
    fn from(network: NetworkPlacement) -> Self {
        Self {
            network: network.network.to_string(),
            project: network.project.into(),
            name: network.name.into(),
            ipv4: network.ipv4.to_string(),
            ipv6: network.ipv6.to_string(),
            domain: network.domain,
            mtu: network.mtu.into(),
            egress: network.egress,
            endpoint_port: network.endpoint_port.into(),
            peers_ipv4: network.peers_ipv4.to_string(),
            peers_ipv6: network.peers_ipv6.to_string(),
            segment: Some(network.segment.into()),
        }
    }
}

impl TryFrom<pb::Network> for NetworkPlacement {
    type Error = Invalid;

    fn try_from(network: pb::Network) -> Result<Self, Invalid> {
        Ok(Self {
            network: text("network", &network.network)?,
            project: text("project", &network.project)?,
            name: text("name", &network.name)?,
            ipv4: text("ipv4", &network.ipv4)?,
            ipv6: text("ipv6", &network.ipv6)?,
            domain: network.domain,
            mtu: narrow("mtu", network.mtu, u16::MAX)?,
            egress: network.egress,
            endpoint_port: narrow("endpoint_port", network.endpoint_port, u16::MAX)?,
            peers_ipv4: text("peers_ipv4", &network.peers_ipv4)?,
            peers_ipv6: text("peers_ipv6", &network.peers_ipv6)?,
            segment: inner("segment", network.segment)?,
        })
    }
}

impl From<SegmentPlacement> for pb::Segment {
    fn from(segment: SegmentPlacement) -> Self {
        Self {
            network: segment.network.to_string(),
            project: segment.project.into(),
            name: segment.name.into(),
            mtu: segment.mtu.into(),
            segment: Some(segment.segment.into()),
            router: segment.router.map(|router| router.to_string()),
        }
    }
}

impl TryFrom<pb::Segment> for SegmentPlacement {
    type Error = Invalid;

    fn try_from(segment: pb::Segment) -> Result<Self, Invalid> {
        Ok(Self {
            network: text("network", &segment.network)?,
            project: text("project", &segment.project)?,
            name: text("name", &segment.name)?,
            mtu: narrow("mtu", segment.mtu, u16::MAX)?,
            segment: inner("segment", segment.segment)?,
            router: segment
                .router
                .map(|router| text("router", &router))
                .transpose()?,
        })
    }
}

impl From<VtepPlacement> for pb::Vtep {
    fn from(vtep: VtepPlacement) -> Self {
        Self {
            network: vtep.network.to_string(),
            host: vtep.host.to_string(),
            address: vtep.address.to_string(),
            vni: vtep.vni,
            port: vtep.port.into(),
            macs: vtep.macs.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<pb::Vtep> for VtepPlacement {
    type Error = Invalid;

    fn try_from(vtep: pb::Vtep) -> Result<Self, Invalid> {
        let macs = vtep.macs.iter().map(|mac| text("macs", mac));
        Ok(Self {
            network: text("network", &vtep.network)?,
            host: text("host", &vtep.host)?,
            address: text("address", &vtep.address)?,
            vni: vtep.vni,
            port: narrow("port", vtep.port, u16::MAX)?,
            macs: macs.collect::<Result<_, _>>()?,
        })
    }
}

impl From<LeasePlacement> for pb::Lease {
    fn from(lease: LeasePlacement) -> Self {
        Self {
            lease: lease.lease.to_string(),
            network: lease.network.to_string(),
            hostname: lease.hostname.into(),
            mac: lease.mac.to_string(),
            ipv4: lease.ipv4.to_string(),
            ipv6: lease.ipv6.to_string(),
        }
    }
}

impl TryFrom<pb::Lease> for LeasePlacement {
    type Error = Invalid;

    fn try_from(lease: pb::Lease) -> Result<Self, Invalid> {
        Ok(Self {
            lease: text("lease", &lease.lease)?,
            network: text("network", &lease.network)?,
            hostname: text("hostname", &lease.hostname)?,
            mac: text("mac", &lease.mac)?,
            ipv4: text("ipv4", &lease.ipv4)?,
            ipv6: text("ipv6", &lease.ipv6)?,
        })
    }
}

impl From<PeerPlacement> for pb::Peer {
    fn from(peer: PeerPlacement) -> Self {
        Self {
            peer: peer.peer.to_string(),
            network: peer.network.to_string(),
            public_key: peer.public_key,
            ipv4: peer.ipv4.to_string(),
            ipv6: peer.ipv6.to_string(),
        }
    }
}

impl TryFrom<pb::Peer> for PeerPlacement {
    type Error = Invalid;

    fn try_from(peer: pb::Peer) -> Result<Self, Invalid> {
        Ok(Self {
            peer: text("peer", &peer.peer)?,
            network: text("network", &peer.network)?,
            public_key: peer.public_key,
            ipv4: text("ipv4", &peer.ipv4)?,
            ipv6: text("ipv6", &peer.ipv6)?,
        })
    }
}

impl From<InstancePlacement> for pb::Instance {
    fn from(instance: InstancePlacement) -> Self {
        Self {
            instance: instance.instance.to_string(),
            project: instance.project.into(),
            name: instance.name.into(),
            cpus: instance.cpus,
            memory: instance.memory.as_bytes(),
            image: Some(instance.image.into()),
            initrd: instance.initrd.map(Into::into),
            command_line: instance.command_line,
            disk: instance.disk.map(Into::into),
            interfaces: instance.interfaces.into_iter().map(Into::into).collect(),
            bridges: instance.bridges.into_iter().map(Into::into).collect(),
            card_slots: instance.card_slots,
            power: match instance.power {
                Power::Running => pb::Power::Running,
                Power::Stopped => pb::Power::Stopped,
            }
            .into(),
            restart: match instance.restart {
                RestartPolicy::Never => pb::RestartPolicy::Never,
                RestartPolicy::OnFailure => pb::RestartPolicy::OnFailure,
                RestartPolicy::Always => pb::RestartPolicy::Always,
            }
            .into(),
            stop_timeout: instance.stop_timeout,
            guest: Some(instance.guest.into()),
        }
    }
}

impl TryFrom<pb::Instance> for InstancePlacement {
    type Error = Invalid;

    fn try_from(instance: pb::Instance) -> Result<Self, Invalid> {
        Ok(Self {
            instance: text("instance", &instance.instance)?,
            project: text("project", &instance.project)?,
            name: text("name", &instance.name)?,
            cpus: instance.cpus,
            memory: Size::bytes(instance.memory),
            image: inner("image", instance.image)?,
            initrd: optional("initrd", instance.initrd)?,
            command_line: instance.command_line,
            disk: optional("disk", instance.disk)?,
            interfaces: list("interfaces", instance.interfaces)?,
            bridges: list("bridges", instance.bridges)?,
            card_slots: instance.card_slots,
            power: power(instance.power)?,
            restart: restart(instance.restart)?,
            stop_timeout: instance.stop_timeout,
            guest: inner("guest", instance.guest)?,
        })
    }
}

impl From<Guest> for pb::Guest {
    fn from(guest: Guest) -> Self {
        Self {
            fqdn: guest.fqdn,
            ssh_keys: guest.ssh_keys,
            user_data: guest.user_data.map(|text| text.as_str().to_owned()),
            metadata: match guest.metadata {
                MetadataAccess::TokenRequired => pb::MetadataAccess::TokenRequired,
                MetadataAccess::TokenOptional => pb::MetadataAccess::TokenOptional,
                MetadataAccess::Off => pb::MetadataAccess::Off,
            }
            .into(),
        }
    }
}

impl TryFrom<pb::Guest> for Guest {
    type Error = Invalid;

    fn try_from(guest: pb::Guest) -> Result<Self, Invalid> {
        Ok(Self {
            fqdn: guest.fqdn,
            ssh_keys: guest.ssh_keys,
            user_data: guest.user_data.map(UserData::new),
            metadata: match pb::MetadataAccess::try_from(guest.metadata) {
                Ok(pb::MetadataAccess::TokenRequired) => MetadataAccess::TokenRequired,
                Ok(pb::MetadataAccess::TokenOptional) => MetadataAccess::TokenOptional,
                Ok(pb::MetadataAccess::Off) => MetadataAccess::Off,
                Ok(pb::MetadataAccess::Unspecified) => return Err(Invalid::missing("metadata")),
                Err(_) => return Err(Invalid::unknown("metadata", guest.metadata)),
            },
        })
    }
}

fn power(value: i32) -> Result<Power, Invalid> {
    match pb::Power::try_from(value) {
        Ok(pb::Power::Running) => Ok(Power::Running),
        Ok(pb::Power::Stopped) => Ok(Power::Stopped),
        Ok(pb::Power::Unspecified) => Err(Invalid::missing("power")),
        Err(_) => Err(Invalid::unknown("power", value)),
    }
}

fn restart(value: i32) -> Result<RestartPolicy, Invalid> {
    match pb::RestartPolicy::try_from(value) {
        Ok(pb::RestartPolicy::Never) => Ok(RestartPolicy::Never),
        Ok(pb::RestartPolicy::OnFailure) => Ok(RestartPolicy::OnFailure),
        Ok(pb::RestartPolicy::Always) => Ok(RestartPolicy::Always),
        Ok(pb::RestartPolicy::Unspecified) => Err(Invalid::missing("restart")),
        Err(_) => Err(Invalid::unknown("restart", value)),
    }
}

impl From<ImagePin> for pb::Image {
    fn from(image: ImagePin) -> Self {
        use pb::image::Format;
        let format = match image.format {
            ImageFormat::Linux => Format::Linux(pb::Nothing {}),
            ImageFormat::Pvh => Format::Pvh(pb::Nothing {}),
            ImageFormat::Multiboot => Format::Multiboot(pb::Nothing {}),
            ImageFormat::Solo5 {
                networks,
                blocks,
                devices,
            } => Format::Solo5(pb::Solo5 {
                networks: networks.into(),
                blocks: blocks.into(),
                devices: devices.into_iter().map(Into::into).collect(),
            }),
            ImageFormat::Unikraft { parameters } => Format::Unikraft(pb::Unikraft { parameters }),
            ImageFormat::Osv => Format::Osv(pb::Nothing {}),
            ImageFormat::Hermit => Format::Hermit(pb::Nothing {}),
            ImageFormat::Disk {
                layout,
                size,
                firmware,
                guest,
            } => Format::Disk(disk::image_message(layout, size, firmware, guest)),
        };
        Self {
            blob: Some(image.blob.into()),
            format: Some(format),
        }
    }
}

impl TryFrom<pb::Image> for ImagePin {
    type Error = Invalid;

    fn try_from(image: pb::Image) -> Result<Self, Invalid> {
        use pb::image::Format;
        let format = match image.format.ok_or_else(|| Invalid::missing("format"))? {
            Format::Linux(_) => ImageFormat::Linux,
            Format::Pvh(_) => ImageFormat::Pvh,
            Format::Multiboot(_) => ImageFormat::Multiboot,
            Format::Solo5(solo5) => ImageFormat::Solo5 {
                networks: narrow("solo5.networks", solo5.networks, u8::MAX)?,
                blocks: narrow("solo5.blocks", solo5.blocks, u8::MAX)?,
                devices: solo5.devices.into_iter().map(Into::into).collect(),
            },
            Format::Unikraft(pb::Unikraft { parameters }) => ImageFormat::Unikraft { parameters },
            Format::Osv(_) => ImageFormat::Osv,
            Format::Hermit(_) => ImageFormat::Hermit,
            Format::Disk(disk) => {
                disk::image_format(&disk).map_err(|error| error.within("disk"))?
            }
        };
        Ok(Self {
            blob: inner("blob", image.blob)?,
            format,
        })
    }
}

impl From<Solo5Device> for pb::Solo5Device {
    fn from(device: Solo5Device) -> Self {
        Self {
            name: device.name,
            block: device.kind == Solo5DeviceKind::Block,
        }
    }
}

impl From<pb::Solo5Device> for Solo5Device {
    fn from(device: pb::Solo5Device) -> Self {
        Self {
            name: device.name,
            kind: if device.block {
                Solo5DeviceKind::Block
            } else {
                Solo5DeviceKind::Network
            },
        }
    }
}

impl From<BlobPin> for pb::Blob {
    fn from(blob: BlobPin) -> Self {
        Self {
            digest: blob.digest.to_string(),
            size: blob.size.as_bytes(),
        }
    }
}

impl TryFrom<pb::Blob> for BlobPin {
    type Error = Invalid;

    fn try_from(blob: pb::Blob) -> Result<Self, Invalid> {
        Ok(Self {
            digest: text("digest", &blob.digest)?,
            size: Size::bytes(blob.size),
        })
    }
}

impl From<BridgeInterface> for pb::BridgeInterface {
    fn from(interface: BridgeInterface) -> Self {
        Self {
            bridge: interface.bridge.into(),
            mac: interface.mac.to_string(),
        }
    }
}

impl TryFrom<pb::BridgeInterface> for BridgeInterface {
    type Error = Invalid;

    fn try_from(interface: pb::BridgeInterface) -> Result<Self, Invalid> {
        Ok(Self {
            bridge: text("bridge", &interface.bridge)?,
            mac: text("mac", &interface.mac)?,
        })
    }
}

impl From<Interface> for pb::Interface {
    fn from(interface: Interface) -> Self {
        Self {
            network: interface.network.to_string(),
            mac: interface.mac.to_string(),
            ipv4: interface.ipv4.to_string(),
            ipv6: interface.ipv6.to_string(),
            mtu: interface.mtu.into(),
            network_name: interface.network_name.into(),
            subnet4: interface.subnet4.to_string(),
            subnet6: interface.subnet6.to_string(),
            domain: interface.domain,
            egress: interface.egress,
            peers_ipv4: interface.peers_ipv4.to_string(),
            peers_ipv6: interface.peers_ipv6.to_string(),
        }
    }
}

impl TryFrom<pb::Interface> for Interface {
    type Error = Invalid;

    fn try_from(interface: pb::Interface) -> Result<Self, Invalid> {
        Ok(Self {
            network: text("network", &interface.network)?,
            mac: text("mac", &interface.mac)?,
            ipv4: text("ipv4", &interface.ipv4)?,
            ipv6: text("ipv6", &interface.ipv6)?,
            mtu: narrow("mtu", interface.mtu, u16::MAX)?,
            network_name: text("network_name", &interface.network_name)?,
            subnet4: text("subnet4", &interface.subnet4)?,
            subnet6: text("subnet6", &interface.subnet6)?,
            domain: interface.domain,
            egress: interface.egress,
            peers_ipv4: text("peers_ipv4", &interface.peers_ipv4)?,
            peers_ipv6: text("peers_ipv6", &interface.peers_ipv6)?,
        })
    }
}
