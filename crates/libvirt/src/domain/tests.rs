use std::io::Write as _;
use std::process::Command;

use proptest::prelude::*;
use rhyzome_model::image::{DiskFirmware, DiskGuest, DiskLayout, Solo5Device};
use rhyzome_model::instance::{
    BlobPin, BridgeInterface, Disk, Guest, ImagePin, Interface, MetadataAccess, Power,
    RestartPolicy,
};
use rhyzome_model::user_data::UserData;
use rhyzome_model::{Digest, InstanceId, NetworkId, PlacementId};

use super::*;

fn spec(format: ImageFormat, networks: u128) -> InstancePlacement {
    let blob = BlobPin {
        digest: Digest::of(b"kernel"),
        size: Size::bytes(6),
    };
    let interface = |number: u128| Interface {
        network: NetworkId(Uuid::from_u128(number)),
        mac: format!("52:54:00:00:00:{number:02x}").parse().unwrap(),
        ipv4: "10.0.0.2".parse().unwrap(),
        ipv6: "fd00::2".parse().unwrap(),
        mtu: 1420,
        network_name: "net".parse().unwrap(),
        subnet4: "10.0.0.0/24".parse().unwrap(),
        subnet6: "fd00::/64".parse().unwrap(),
        domain: "net.default.test".to_owned(),
        egress: false,
        peers_ipv4: "100.64.0.0/16".parse().unwrap(),
        peers_ipv6: "fd00:2::/64".parse().unwrap(),
    };
    InstancePlacement {
        instance: InstanceId(Uuid::from_u128(0xabcdef)),
        project: "default".parse().unwrap(),
        name: "web".parse().unwrap(),
        cpus: 2,
        memory: Size::mib(64),
        image: ImagePin { blob, format },
        initrd: None,
        command_line: "ip=10.0.0.2 name=\"a & <b>\"".to_owned(),
        disk: None,
        interfaces: (1..=networks).map(interface).collect(),
        bridges: Vec::new(),
        card_slots: 0,
        power: Power::Running,
        restart: RestartPolicy::OnFailure,
        stop_timeout: 20,
        guest: Guest {
            fqdn: "web.net.default.test".to_owned(),
            ssh_keys: Vec::new(),
            user_data: None,
            metadata: MetadataAccess::TokenRequired,
        },
    }
}

fn solo5(networks: u8, blocks: u8) -> ImageFormat {
    ImageFormat::Solo5 {
        networks,
        blocks,
        devices: Vec::new(),
    }
}

fn files(initrd: bool) -> Files {
    Files {
        image: "/var/lib/rhyzome/libvirt/blobs/0123".into(),
        initrd: initrd.then(|| "/var/lib/rhyzome/libvirt/blobs/4567".into()),
        console: "/var/lib/rhyzome/libvirt/instances/1/console".into(),
        disk: None,
        seed: None,
        ovmf: None,
        variables: "/var/lib/rhyzome/libvirt/instances/1/variables.fd".into(),
    }
}

fn domain(
    spec: &InstancePlacement,
    initrd: bool,
    accelerator: Accelerator,
) -> Result<Domain, InvalidDomain> {
    Domain::new(
        spec,
        files(initrd),
        accelerator,
        mark(spec),
        &BTreeMap::new(),
    )
}

fn mark(spec: &InstancePlacement) -> DomainMark {
    DomainMark {
        component: "0a1b2c3d".to_owned(),
        placement: PlacementId(Uuid::from_u128(7)),
        generation: 3,
        spec: spec_hash(spec),
    }
}

/// By libvirt's own schema.
fn check_schema(xml: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(xml.as_bytes()).unwrap();
    let output = Command::new("virt-xml-validate")
        .arg(file.path())
        .arg("domain")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{xml}");
}

#[test]
fn a_domain_follows_from_the_family_of_its_image() {
    let cases = [
        ("linux", ImageFormat::Linux, 1, true, Accelerator::Kvm),
        ("pvh", ImageFormat::Pvh, 8, false, Accelerator::Qemu),
        ("solo5", solo5(2, 0), 2, false, Accelerator::Qemu),
        (
            "unikraft",
            ImageFormat::Unikraft { parameters: true },
            1,
            false,
            Accelerator::Qemu,
        ),
        ("hermit", ImageFormat::Hermit, 0, true, Accelerator::Qemu),
    ];
    for (name, format, networks, initrd, accelerator) in cases {
        let xml = domain(&spec(format, networks), initrd, accelerator)
            .unwrap()
            .to_xml();
        insta::assert_snapshot!(name, xml);
        check_schema(&xml);
    }
}

/// With a network before and behind a block device.
fn solo5_interleaved() -> ImageFormat {
    use Solo5DeviceKind::{Block, Network};
    let devices = [("service", Network), ("store", Block), ("private", Network)];
    let device = |(name, kind): (&str, Solo5DeviceKind)| Solo5Device {
        name: name.to_owned(),
        kind,
    };
    ImageFormat::Solo5 {
        networks: 2,
        blocks: 1,
        devices: devices.map(device).to_vec(),
    }
}

fn overlay(folder: &str) -> Volume {
    Volume {
        path: format!("{folder}/disk.qcow2").into(),
        kind: Kind::Overlay,
        size: Size::mib(64),
    }
}

fn with_disk(format: ImageFormat, networks: u128, firmware: Option<Firmware>) -> String {
    let mut spec = spec(format, networks);
    let size = Size::mib(64);
    spec.disk = Some(Disk { size, firmware });
    if firmware.is_some() {
        spec.command_line.clear();
    }
    let mark = mark(&spec);
    let files = Files {
        disk: Some(overlay("/var/lib/rhyzome/libvirt/instances/1")),
        ..files(false)
    };
    let none = BTreeMap::new();
    let domain = Domain::new(&spec, files, Accelerator::Qemu, mark, &none).unwrap();
    domain.to_xml()
}

#[test]
fn solo5_finds_its_devices_in_slots_in_the_order_of_its_manifest() {
    let xml = with_disk(solo5_interleaved(), 2, None);
    insta::assert_snapshot!("solo5_interleaved", xml);
    check_schema(&xml);
}

/// A raw image that boots by BIOS.
fn disk(guest: Option<DiskGuest>) -> ImageFormat {
    ImageFormat::Disk {
        layout: DiskLayout::Raw,
        size: Size::mib(64),
        firmware: DiskFirmware::Bios,
        guest,
    }
}

#[test]
fn a_unikernel_on_a_disk_has_it_on_virtio_and_does_not_reset_in_it() {
    let xml = with_disk(disk(Some(DiskGuest::Nanos)), 1, Some(Firmware::Bios));
    insta::assert_snapshot!("nanos", xml);
    check_schema(&xml);
}

#[test]
fn an_interface_on_a_bridge_of_the_hosts_own_comes_after_those_of_networks() {
    let mut spec = spec(ImageFormat::Linux, 1);
    spec.bridges = vec![BridgeInterface {
        bridge: "uplink".parse().unwrap(),
        mac: "52:54:00:00:00:99".parse().unwrap(),
    }];
    let made = |bridges: &BTreeMap<Name, String>| {
        Domain::new(&spec, files(false), Accelerator::Qemu, mark(&spec), bridges)
    };
    let bridges = BTreeMap::from([("uplink".parse().unwrap(), "br0".to_owned())]);
    let xml = made(&bridges).unwrap().to_xml();
    insta::assert_snapshot!("on_a_bridge", xml);
    check_schema(&xml);
    let refused = made(&BTreeMap::new()).unwrap_err().to_string();
    assert!(
        refused.contains("no bridge uplink") && refused.contains("under `bridges`"),
        "{refused}"
    );
}

#[test]
fn a_router_has_a_slot_for_each_network_card_and_those_that_it_has_are_found_again() {
    let ports = |xml: &str| xml.matches("model=\"pcie-root-port\"").count();
    let mut spec = spec(ImageFormat::Linux, 1);
    let made = |spec: &InstancePlacement| {
        let (mark, none) = (mark(spec), BTreeMap::new());
        Domain::new(spec, files(false), Accelerator::Qemu, mark, &none).unwrap()
    };
    let before = ports(&made(&spec).to_xml());
    spec.card_slots = 16;
    let empty = made(&spec);
    assert_eq!(ports(&empty.to_xml()), before + 16);
    let card = Nic {
        tap: "rzc0000000005".to_owned(),
        bridge: "rz0000000005".to_owned(),
        mac: "02:00:00:00:00:05".parse().unwrap(),
        mtu: Some(1450),
        slot: None,
    };
    let xml = empty.with_cards(vec![card.clone()]).to_xml();
    check_schema(&xml);
    assert_eq!(ports(&xml), before + 16);
    assert_eq!(macs(&xml), [spec.interfaces[0].mac, card.mac]);
    assert_eq!(macs(&write_card(&card)), [card.mac]);
    // What libvirt says is not all XML of ours.
    assert_eq!(macs("<domain><mac/><mac address='x'/><"), []);
}

#[test]
fn a_disk_that_is_a_device_is_above_nothing() {
    let mut spec = spec(disk(None), 0);
    spec.command_line.clear();
    spec.disk = Some(Disk {
        size: Size::mib(64),
        firmware: Some(Firmware::Bios),
    });
    let mark = mark(&spec);
    let files = Files {
        disk: Some(Volume {
            path: "/dev/vg0/rhyzome-0a1b2c3d-1".into(),
            kind: Kind::Device,
            size: Size::mib(64),
        }),
        ..files(false)
    };
    let none = BTreeMap::new();
    let domain = Domain::new(&spec, files, Accelerator::Qemu, mark, &none).unwrap();
    let xml = domain.to_xml();
    insta::assert_snapshot!("disk_device", xml);
    check_schema(&xml);
}

#[test]
fn a_domain_of_a_disk_boots_by_its_firmware_and_leaves_the_image_as_it_is() {
    let format = ImageFormat::Disk {
        layout: DiskLayout::Qcow2,
        size: Size::mib(2048),
        firmware: DiskFirmware::Both,
        guest: None,
    };
    let folder = "/var/lib/rhyzome/libvirt/instances/1";
    let made = |firmware, ovmf: Option<Ovmf>| {
        let mut spec = spec(format.clone(), 1);
        spec.command_line = String::new();
        spec.disk = Some(Disk {
            size: Size::mib(4096),
            firmware: Some(firmware),
        });
        let files = Files {
            disk: Some(overlay(folder)),
            seed: Some(format!("{folder}/seed.iso").into()),
            ovmf,
            ..files(false)
        };
        let mark = mark(&spec);
        Domain::new(&spec, files, Accelerator::Qemu, mark, &BTreeMap::new())
    };
    let ovmf = Ovmf {
        code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
        variables: "/usr/share/OVMF/OVMF_VARS_4M.fd".into(),
    };
    for (name, domain) in [
        ("disk_bios", made(Firmware::Bios, None)),
        ("disk_uefi", made(Firmware::Uefi, Some(ovmf))),
    ] {
        let xml = domain.unwrap().to_xml();
        insta::assert_snapshot!(name, xml);
        check_schema(&xml);
    }
    let refused = made(Firmware::Uefi, None).unwrap_err();
    assert_eq!(refused, InvalidDomain::NoUefi);
}

#[test]
fn solo5_gets_the_devices_of_its_manifest_neither_more_nor_fewer() {
    for (networks, blocks, given) in [(1, 0, 0), (0, 0, 1), (0, 1, 0)] {
        let spec = spec(solo5(networks, blocks), given);
        let refused = domain(&spec, false, Accelerator::Qemu).map(|_| ());
        assert!(matches!(refused, Err(InvalidDomain::Devices(_))));
    }
}

#[test]
fn the_mark_reads_back_from_the_element_that_libvirt_returns() {
    let mark = domain(&spec(ImageFormat::Pvh, 0), false, Accelerator::Qemu)
        .unwrap()
        .mark;
    assert_eq!(DomainMark::parse(&mark.to_element()), Some(mark));
    assert_eq!(DomainMark::parse("<placement id='x'/>"), None);
    assert_eq!(DomainMark::parse("<other/>"), None);
    assert_eq!(DomainMark::parse(""), None);
}

#[test]
fn only_what_needs_a_restart_changes_the_hash_of_a_spec() {
    let old = spec(ImageFormat::Pvh, 1);
    let mut new = old.clone();
    new.restart = RestartPolicy::Never;
    new.stop_timeout = 1;
    new.power = Power::Stopped;
    new.interfaces[0].ipv4 = "10.0.0.9".parse().unwrap();
    assert_eq!(spec_hash(&old), spec_hash(&new));
    new.cpus = 3;
    assert_ne!(spec_hash(&old), spec_hash(&new));
}

#[test]
fn what_a_seed_disk_says_at_each_start_needs_a_restart_where_there_is_one() {
    let told = |format: ImageFormat, firmware, change: fn(&mut InstancePlacement)| {
        let mut old = spec(format, 1);
        let size = Size::mib(64);
        old.disk = Some(Disk { size, firmware });
        let mut new = old.clone();
        change(&mut new);
        spec_hash(&old) != spec_hash(&new)
    };
    let key: fn(&mut InstancePlacement) = |spec| spec.guest.ssh_keys.push("ssh-rsa AA".to_owned());
    let user_data: fn(&mut InstancePlacement) =
        |spec| spec.guest.user_data = Some(UserData::new("#cloud-config\n"));
    let name: fn(&mut InstancePlacement) = |spec| spec.guest.fqdn = "other.test".to_owned();
    // These are in the network configuration, or in no seed at all.
    let elsewhere: fn(&mut InstancePlacement) = |spec| {
        spec.guest.metadata = MetadataAccess::Off;
        spec.interfaces[0].egress = true;
    };
    let nanos = disk(Some(DiskGuest::Nanos));
    for change in [key, user_data, name] {
        assert!(told(disk(None), Some(Firmware::Bios), change));
        assert!(!told(nanos.clone(), Some(Firmware::Bios), change));
        assert!(!told(ImageFormat::Linux, None, change));
    }
    assert!(!told(disk(None), Some(Firmware::Bios), elsewhere));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_metadata_is_a_mark_or_none(text in "<?placement[ a-z0-9='\"/>:&;-]{0,60}|\\PC{0,40}") {
        let _ = DomainMark::parse(&text);
    }

    #[test]
    fn any_command_line_is_refused_or_reads_back_as_it_was(text in any::<String>()) {
        let mut spec = spec(ImageFormat::Pvh, 0);
        spec.command_line.clone_from(&text);
        if let Ok(domain) = domain(&spec, false, Accelerator::Qemu) {
            let xml = domain.to_xml();
            let mut reader = quick_xml::Reader::from_str(&xml);
            let mut read = String::new();
            let mut inside = false;
            loop {
                use quick_xml::events::Event;
                match reader.read_event().expect("the XML reads") {
                    Event::Start(element) => inside = element.name().as_ref() == "cmdline",
                    Event::End(_) => inside = false,
                    Event::Text(text) if inside => read.push_str(&text),
                    Event::GeneralRef(entity) if inside => {
                        let name: &str = &entity;
                        read.push_str(quick_xml::escape::resolve_predefined_entity(name).unwrap());
                    }
                    Event::Eof => break,
                    _ => {}
                }
            }
            prop_assert_eq!(read, text);
        }
    }
}
