//! What every driver has to keep, on the real thing.

use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rhyzome_component::Driver;
use rhyzome_component::contract::{self, Subject};
use rhyzome_linux::LinuxDriver;
use rhyzome_model::network::SegmentPlacement;
use rhyzome_model::placement::{Placement, PlacementSpec};
use rhyzome_wireguard::key::PrivateKey;

use crate::peers::peer;
use crate::site::{lease, network, on_a_site, placed, processes, settings};

fn placements() -> Vec<Placement> {
    let ((one, one_spec), (two, two_spec)) = (network(1), network(2));
    let key = || PrivateKey::generate(&mut rand::rng());
    let peer = |spec, number| placed(PlacementSpec::Peer(peer(spec, &key(), number)));
    vec![
        one,
        two,
        lease(&one_spec, 17, "web").0,
        lease(&one_spec, 18, "db").0,
        lease(&two_spec, 17, "web").0,
        peer(&one_spec, 2),
        peer(&one_spec, 3),
        peer(&two_spec, 2),
    ]
}

#[test]
fn the_driver_keeps_its_contract() {
    on_a_site(|site| async move {
        let settings = settings(site.state.path());
        let start = || -> Arc<dyn Driver> { Arc::new(LinuxDriver::new(settings.clone())) };
        let state = site.state.path().to_owned();
        let end_dnsmasq = |_: &Placement| {
            let all = processes(&state);
            let (pid, _) = all
                .iter()
                .find(|(_, text)| text.contains("dnsmasq"))
                .unwrap();
            kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
        };
        let (_, spec) = network(3);
        let segment = PlacementSpec::Segment(SegmentPlacement {
            network: spec.network,
            project: spec.project,
            name: spec.name,
            segment: spec.segment,
            mtu: spec.mtu,
        });
        let mut subject = Subject {
            driver: start(),
            placements: placements(),
            unsupported: placed(segment),
            restart: &start,
            break_one: &end_dnsmasq,
        };
        contract::ensuring_again_changes_nothing(&subject).await;
        contract::removing_is_fine_when_there_is_nothing(&subject).await;
        contract::what_is_not_in_the_ledger_is_found_and_not_as_it_should_be(&subject).await;
        contract::another_spec_is_found_and_repaired(&subject).await;
        contract::a_restart_finds_everything_as_it_was(&mut subject).await;
        contract::what_ensure_was_interrupted_in_can_be_ensured_and_removed(&mut subject).await;
        contract::another_kind_is_unsupported(&subject).await;
        contract::placements_are_made_and_removed_at_once(&subject).await;
        // What dies is a network's process; leases and peers have none.
        subject.placements.truncate(1);
        contract::what_breaks_is_told_found_and_repaired(&subject).await;
    });
}
