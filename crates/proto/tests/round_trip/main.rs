//! Every message survives the wire unchanged, and a wrong one names its field.

mod strategies;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use rhyzome_model::component::ComponentKind;
use rhyzome_proto::enrollment::Join;
use rhyzome_proto::session::{FromComponent, FromCore};
use rhyzome_proto::{Invalid, pb};
use uuid::Uuid;

use strategies::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_component_says_arrives_unchanged(message in from_component()) {
        let bytes = pb::FromComponent::from(message.clone()).encode_to_vec();
        let read = pb::FromComponent::decode(bytes.as_slice()).expect("what was encoded");
        prop_assert_eq!(FromComponent::try_from(read), Ok(message));
    }

    #[test]
    fn what_a_core_says_arrives_unchanged(message in from_core()) {
        let bytes = pb::FromCore::from(message.clone()).encode_to_vec();
        let read = pb::FromCore::decode(bytes.as_slice()).expect("what was encoded");
        prop_assert_eq!(FromCore::try_from(read), Ok(message));
    }

    #[test]
    fn a_wish_to_join_arrives_unchanged(
        token in ".*",
        csr in vec(any::<u8>(), 0..50),
        kind in proptest::sample::select(ComponentKind::ALL.to_vec()),
        name in option::of(name()),
        hostname in ".*",
    ) {
        let join = Join { token, csr, kind, name, hostname };
        let bytes = pb::JoinRequest::from(join.clone()).encode_to_vec();
        let read = pb::JoinRequest::decode(bytes.as_slice()).expect("what was encoded");
        prop_assert_eq!(Join::try_from(read), Ok(join));
    }
}

/// An instance's placement in a job, spoiled by `spoil`, is refused with `expect`.
fn check(spoil: impl FnOnce(&mut pb::Instance), expect: &str) {
    let interface = pb::Interface {
        network: Uuid::nil().to_string(),
        mac: "52:54:00:12:34:56".to_owned(),
        ipv4: "10.0.0.2".to_owned(),
        ipv6: "fd00::2".to_owned(),
        mtu: 1500,
        network_name: "lab".to_owned(),
        subnet4: "10.0.0.0/24".to_owned(),
        subnet6: "fd00::/64".to_owned(),
        domain: "lab.default.rhyzome.internal".to_owned(),
        egress: false,
        peers_ipv4: "100.64.0.0/16".to_owned(),
        peers_ipv6: "fd01::/64".to_owned(),
    };
    let mut instance = pb::Instance {
        instance: Uuid::nil().to_string(),
        project: "default".to_owned(),
        name: "web".to_owned(),
        image: Some(pb::Image {
            blob: Some(pb::Blob {
                digest: "0".repeat(64),
                size: 1,
            }),
            format: Some(pb::image::Format::Linux(pb::Nothing {})),
        }),
        interfaces: vec![interface.clone(), interface],
        power: pb::Power::Running.into(),
        restart: pb::RestartPolicy::Never.into(),
        guest: Some(pb::Guest {
            metadata: pb::MetadataAccess::TokenRequired.into(),
            ..pb::Guest::default()
        }),
        ..pb::Instance::default()
    };
    spoil(&mut instance);
    let placement = pb::Placement {
        id: Uuid::nil().to_string(),
        generation: 1,
        spec: Some(pb::placement::Spec::Instance(instance)),
    };
    let job = pb::Job {
        id: Uuid::nil().to_string(),
        fence: 1,
        task: Some(pb::job::Task::Ensure(placement)),
    };
    let message = pb::FromCore {
        message: Some(pb::from_core::Message::Job(job)),
    };
    let got = FromCore::try_from(message)
        .map(drop)
        .map_err(|error: Invalid| error.to_string());
    assert_eq!(
        got,
        if expect.is_empty() {
            Ok(())
        } else {
            Err(expect.to_owned())
        }
    );
}

#[test]
fn a_wrong_message_names_the_field_and_what_is_wrong() {
    check(|_| (), "");
    check(
        |i| i.interfaces[1].mac = "ff:ff:ff:ff:ff:ff".to_owned(),
        "job.ensure.instance.interfaces[1].mac: \"ff:ff:ff:ff:ff:ff\" is not a unicast Ethernet \
         address like 52:54:00:12:34:56",
    );
    check(
        |i| i.interfaces[0].ipv4 = "10.0.0".to_owned(),
        "job.ensure.instance.interfaces[0].ipv4: \"10.0.0\": invalid IPv4 address syntax",
    );
    check(
        |i| i.interfaces[0].mtu = 70_000,
        "job.ensure.instance.interfaces[0].mtu: 70000 is more than 65535",
    );
    check(|i| i.image = None, "job.ensure.instance.image: is missing");
    check(
        |i| i.image.as_mut().expect("it has one").format = None,
        "job.ensure.instance.image.format: is missing",
    );
    check(|i| i.power = 0, "job.ensure.instance.power: is missing");
    check(
        |i| i.restart = 9,
        "job.ensure.instance.restart: 9 is no value known here",
    );
    check(
        |i| i.guest.as_mut().expect("it has one").metadata = 0,
        "job.ensure.instance.guest.metadata: is missing",
    );
    check(
        |i| i.name = "Web".to_owned(),
        "job.ensure.instance.name: the name \"Web\" contains 'W'; a-z, 0-9 and - are allowed",
    );
}
