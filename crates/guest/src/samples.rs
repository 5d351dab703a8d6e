//! An instance for this crate's tests.

use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::{
    BlobPin, Guest, ImagePin, InstancePlacement, Interface, MetadataAccess, Power, RestartPolicy,
};
use rhyzome_model::user_data::UserData;
use rhyzome_model::{Digest, InstanceId, MacAddr, NetworkId, Size};
use uuid::Uuid;

fn interface(number: u8, network: &str, egress: bool) -> Interface {
    Interface {
        network: NetworkId(Uuid::from_u128(number.into())),
        mac: MacAddr::qemu([0, 0, number]),
        ipv4: [10, number, 0, 2].into(),
        ipv6: format!("fd00:{number}::2").parse().unwrap(),
        mtu: 1420,
        network_name: network.parse().unwrap(),
        subnet4: format!("10.{number}.0.0/24").parse().unwrap(),
        subnet6: format!("fd00:{number}::/64").parse().unwrap(),
        domain: format!("{network}.default.rhyzome.internal"),
        egress,
        peers_ipv4: "100.64.0.0/16".parse().unwrap(),
        peers_ipv6: "fd00:ff::/64".parse().unwrap(),
    }
}

/// With an interface in a closed network, and one in a network with a way out.
pub(crate) fn web() -> InstancePlacement {
    InstancePlacement {
        instance: InstanceId(Uuid::from_u128(0xabcd)),
        project: "default".parse().unwrap(),
        name: "web".parse().unwrap(),
        cpus: 2,
        memory: Size::mib(512),
        image: ImagePin {
            blob: BlobPin {
                digest: Digest::of(b"image"),
                size: Size::bytes(5),
            },
            format: ImageFormat::Linux,
        },
        initrd: None,
        command_line: String::new(),
        disk: None,
        interfaces: vec![interface(1, "lab", false), interface(2, "out", true)],
        bridges: Vec::new(),
        card_slots: 0,
        power: Power::Running,
        restart: RestartPolicy::OnFailure,
        stop_timeout: 20,
        guest: Guest {
            fqdn: "web.lab.default.rhyzome.internal".to_owned(),
            ssh_keys: vec!["ssh-ed25519 AAAA ann".to_owned(), "ssh-rsa BBBB".to_owned()],
            user_data: Some(UserData::new("#cloud-config\npackages: [nginx]\n")),
            metadata: MetadataAccess::TokenRequired,
        },
    }
}
