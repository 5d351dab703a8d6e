//! Network cards of networks, in a router's VM: plugged in and out while it runs, and there again whatever happens.

use std::fs;
use std::time::Duration;

use rhyzome_component::driver::Driver;
use rhyzome_component::{DriverError, Progress};
use rhyzome_libvirt::LibvirtDriver;
use rhyzome_libvirt::domain::Nic;
use rhyzome_libvirt::hypervisor::Hypervisor;
use rhyzome_model::instance::{BlobPin, Power, RestartPolicy};
use rhyzome_model::job::Action;
use rhyzome_model::network::{SegmentPlacement, bridge_name, card_name, router_mac};
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_model::segment::Segment;
use rhyzome_model::{Digest, InstanceId, NetworkId, PlacementId, Size};
use uuid::Uuid;

use crate::guest::End;
use crate::isolated::isolated;
use crate::world::{World, ip, linux, wait_for};

const SERVES: &str = "serves its page";

/// A guest that lets go of network cards.
fn router(world: &World) -> Placement {
    let read = |file: &str| fs::read(linux(file)).expect("run `images/linux/build` before");
    let mut placement = world.placement("gw", 0xc1, &read("vmlinuz"), Vec::new());
    let initrd = read("initrd.img");
    world.change(&mut placement, |spec| {
        spec.initrd = Some(BlobPin {
            digest: Digest::of(&initrd),
            size: Size::bytes(initrd.len() as u64),
        });
        spec.memory = Size::mib(128);
        spec.command_line = "console=ttyS0 quiet".to_owned();
        spec.card_slots = 3;
        spec.stop_timeout = 0;
    });
    placement
}

/// The segment of a network that is a network card of a VM.
fn card(number: u32, router: &Placement) -> Placement {
    let spec = SegmentPlacement {
        network: NetworkId(Uuid::from_u128(0x7700 + u128::from(number))),
        project: "default".parse().unwrap(),
        name: format!("lan{number}").parse().unwrap(),
        segment: Segment::Port(number.try_into().unwrap()),
        mtu: 1420,
        router: Some(InstanceId(router.spec.resource())),
    };
    Placement {
        id: PlacementId(Uuid::from_u128(0x8800 + u128::from(number))),
        generation: 1,
        spec: PlacementSpec::Segment(spec),
    }
}

fn network(card: &Placement) -> NetworkId {
    NetworkId(card.spec.resource())
}

fn nic(card: &Placement) -> Nic {
    Nic {
        tap: card_name(network(card)),
        bridge: bridge_name(network(card)),
        mac: router_mac(network(card)),
        mtu: Some(1420),
        slot: None,
    }
}

async fn ensure(driver: &LibvirtDriver, card: &Placement) {
    let ensured = driver.ensure(card, &Progress::new().0).await;
    let ensured = ensured.unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(ensured, Observed::Segment);
}

async fn remove(driver: &LibvirtDriver, card: &Placement) -> Result<(), DriverError> {
    driver.remove(&card.reference(), &Progress::new().0).await
}

async fn is_as_it_should_be(driver: &LibvirtDriver, card: &Placement) -> bool {
    driver.look(card).await.unwrap() == Ok(Observed::Segment)
}

/// The taps of cards.
fn taps(world: &World) -> Vec<String> {
    let mut taps = world.links("rzc");
    taps.sort_unstable();
    taps
}

fn names(cards: &[&Placement]) -> Vec<String> {
    cards.iter().map(|card| card_name(network(card))).collect()
}

#[test]
fn a_card_is_plugged_in_and_out_and_is_there_after_every_start() {
    isolated(
        "cards::a_card_is_plugged_in_and_out_and_is_there_after_every_start",
        |world| async move {
            let driver = world.open().await;
            let mut router = router(&world);
            let [first, middle, last] = [1, 2, 3].map(|number| card(number, &router));
            // Before anybody has heard of the VM.
            ensure(&driver, &first).await;
            assert_eq!(taps(&world), Vec::<String>::new());
            world.ensure(&driver, &router).await;
            assert_eq!(taps(&world), names(&[&first]));
            for card in [&middle, &last] {
                ensure(&driver, card).await;
                ensure(&driver, card).await;
                assert!(is_as_it_should_be(&driver, card).await);
            }
            assert_eq!(taps(&world), names(&[&first, &middle, &last]));
            world.console_says(&driver, &router, SERVES).await;

            remove(&driver, &middle).await.unwrap();
            remove(&driver, &middle).await.unwrap();
            assert_eq!(taps(&world), names(&[&first, &last]));
            assert!(!world.bridges().contains(&bridge_name(network(&middle))));

            driver
                .act(&router.reference(), &Action::Reboot)
                .await
                .unwrap();
            assert_eq!(taps(&world), names(&[&first, &last]));
            assert!(is_as_it_should_be(&driver, &last).await);
            drop(driver);

            // Whoever comes next knows of it, and brings it up again with all that it had.
            world.kill_guests();
            let driver = world.open().await;
            world.change(&mut router, |_| ());
            world.ensure(&driver, &router).await;
            let again = async || (taps(&world) == names(&[&first, &last])).then_some(());
            // libvirt may take it for running still, at first.
            wait_for("it has both again", Duration::from_secs(30), again).await;
            world.change(&mut router, |spec| spec.power = Power::Stopped);
            world.ensure(&driver, &router).await;
            assert!(is_as_it_should_be(&driver, &first).await);
            remove(&driver, &first).await.unwrap();
            ensure(&driver, &middle).await;
            world.change(&mut router, |spec| spec.power = Power::Running);
            world.ensure(&driver, &router).await;
            assert_eq!(taps(&world), names(&[&middle, &last]));
        },
    );
}

#[test]
fn what_somebody_takes_away_is_put_back() {
    isolated(
        "cards::what_somebody_takes_away_is_put_back",
        |world| async move {
            let driver = world.open().await;
            let router = router(&world);
            let card = card(1, &router);
            world.ensure(&driver, &router).await;
            ensure(&driver, &card).await;
            world.console_says(&driver, &router, SERVES).await;

            let (events, _inbox) = tokio::sync::mpsc::unbounded_channel();
            let operator = Hypervisor::open(&world.settings, events).await.unwrap();
            let uuid = router.spec.resource();
            operator.unplug(uuid, nic(&card)).await.unwrap();
            let gone = async || taps(&world).is_empty().then_some(());
            wait_for("the card is out", Duration::from_secs(20), gone).await;
            assert!(!is_as_it_should_be(&driver, &card).await);
            ensure(&driver, &card).await;
            assert!(is_as_it_should_be(&driver, &card).await);

            ip(&["link", "set", &card_name(network(&card)), "nomaster"]);
            assert!(!is_as_it_should_be(&driver, &card).await);
            ensure(&driver, &card).await;
            assert!(is_as_it_should_be(&driver, &card).await);

            ip(&["link", "delete", &bridge_name(network(&card))]);
            ensure(&driver, &card).await;
            assert!(is_as_it_should_be(&driver, &card).await);
        },
    );
}

#[test]
fn a_guest_that_does_not_let_go_of_a_card_keeps_nobody_from_trying_again() {
    isolated(
        "cards::a_guest_that_does_not_let_go_of_a_card_keeps_nobody_from_trying_again",
        |world| async move {
            let driver = world.open().await;
            let mut router = world.tiny(End::Never, RestartPolicy::Never);
            world.change(&mut router, |spec| {
                spec.card_slots = 1;
                spec.stop_timeout = 0;
            });
            let card = card(1, &router);
            world.ensure(&driver, &router).await;
            ensure(&driver, &card).await;
            let refused = remove(&driver, &card).await.unwrap_err().chain();
            assert!(refused.contains("does not let go"), "{refused}");
            // It is on its way out, and no start brings it back.
            assert!(!is_as_it_should_be(&driver, &card).await);
            driver
                .act(&router.reference(), &Action::Reboot)
                .await
                .unwrap();
            assert_eq!(taps(&world), Vec::<String>::new());
            remove(&driver, &card).await.unwrap();
            assert!(!world.bridges().contains(&bridge_name(network(&card))));
        },
    );
}
