//! The contract of every driver, on the real thing.

use std::sync::{Arc, Mutex};

use rhyzome_component::contract::{self, Subject};
use rhyzome_component::driver::Driver;
use rhyzome_libvirt::LibvirtDriver;
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{Placement, PlacementSpec};
use rhyzome_model::{NetworkId, PeerId};
use uuid::Uuid;

use crate::isolated::isolated;
use crate::world::World;

#[test]
fn the_driver_keeps_the_contract_of_drivers() {
    isolated(
        "contract::the_driver_keeps_the_contract_of_drivers",
        |world| async move {
            let first = Arc::new(world.open().await);
            let current: Mutex<Arc<LibvirtDriver>> = Mutex::new(first.clone());
            let restart = || -> Arc<dyn Driver> {
                let before = current.lock().unwrap().clone();
                let after = here(async {
                    // What a killed process leaves under way goes with it.
                    before.idle().await;
                    Arc::new(world.open().await)
                });
                *current.lock().unwrap() = after.clone();
                after
            };
            let break_one = |_: &Placement| here(world.take_rules_away());
            let mut subject = Subject {
                driver: first,
                placements: vec![world.segment_placement(), world.hello()],
                unsupported: unsupported(&world),
                restart: &restart,
                break_one: &break_one,
            };
            contract::all(&mut subject).await;
        },
    );
}

/// Waits in a place that is not asynchronous.
fn here<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

fn unsupported(world: &World) -> Placement {
    let peer = PeerPlacement {
        peer: PeerId(Uuid::from_u128(1)),
        network: NetworkId(Uuid::from_u128(2)),
        public_key: String::new(),
        ipv4: "10.0.0.9".parse().unwrap(),
        ipv6: "fd00::9".parse().unwrap(),
    };
    Placement {
        spec: PlacementSpec::Peer(peer),
        ..world.hello()
    }
}
