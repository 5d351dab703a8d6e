//! The driver on a router with a trunk, in a guest whose kernel has 802.1Q, bridges with VLANs and WireGuard.
//!
//! Programs take more than ten times as long there. So of the contract that is tried which looks at what the kernel has;
//! that changes are repeated, interrupted and made at once, which no kernel makes a difference to, is tried outside.

#[path = "guest/network.rs"]
mod network;

use std::future::Future;

use rhyzome_component::contract;
use rhyzome_lab::Lab;
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::placement::Placement;
use rhyzome_model::segment::Segment;
use rhyzome_openwrt::Trunk;
use rhyzome_test_router::Router;

use crate::contract::try_on;
use crate::site::{Site, network_on, peer};

static LAB: Lab = Lab::with_files(&[], Router::needs);

/// With a bridge of somebody else's, which has VLANs.
const WITH_BRIDGE: &str = "
config interface 'loopback'
	option device 'lo'
	option proto 'static'
	option ipaddr '127.0.0.1'
	option netmask '255.0.0.0'

config device
	option name 'br-trunk'
	option type 'bridge'
	list ports 'eth2'

config bridge-vlan
	option device 'br-trunk'
	option vlan '7'
	list ports 'eth2:u*'

config interface 'cameras'
	option device 'br-trunk.7'
	option proto 'static'
	option ipaddr '192.168.7.1'
	option netmask '255.255.255.0'

config interface 'wan'
	option device 'eth1'
	option proto 'static'
	option ipaddr '192.0.2.1'
	option netmask '255.255.255.0'
";

/// Does something with a runtime.
fn run(work: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().unwrap().block_on(work);
}

/// A router whose third card is the trunk.
fn on_a_device() -> Site {
    Site {
        trunk: Some(Trunk::Device("eth2".to_owned())),
        ..Site::new()
    }
}

/// A router whose third card is in a bridge.
fn on_a_bridge() -> Site {
    let router = Router::builder().config("network", WITH_BRIDGE).start();
    Site {
        trunk: Some(Trunk::Bridge {
            device: "br-trunk".to_owned(),
            ports: vec!["eth2".to_owned()],
        }),
        ..Site::on(router)
    }
}

fn vlan(number: u8) -> (Placement, NetworkPlacement) {
    let vlan = 100 + u16::from(number);
    network_on(number, Segment::Vlan(vlan.try_into().unwrap()))
}

#[test]
fn the_driver_keeps_its_contract_on_a_trunk() {
    LAB.run(|| {
        run(async {
            let site = on_a_device();
            let (network, spec) = vlan(1);
            let placements = vec![network, peer(&spec, 2)];
            try_on(&site, &spec, placements, async |subject| {
                contract::what_breaks_is_told_found_and_repaired(subject).await;
            })
            .await;
        });
    });
}

#[test]
fn the_driver_keeps_its_contract_on_a_bridge_with_vlans() {
    LAB.run(|| {
        run(async {
            let site = on_a_bridge();
            let (network, spec) = vlan(1);
            let vlans = || site.machine.output(["bridge", "vlan", "show"]);
            let before = vlans();
            try_on(&site, &spec, vec![network], async |subject| {
                contract::a_restart_finds_everything_as_it_was(subject).await;
            })
            .await;
            assert_eq!(vlans(), before);
        });
    });
}
