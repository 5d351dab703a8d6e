//! What passes on a network's segment: instances reach each other as themselves, and nothing else does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use rhyzome_end_to_end::frame::{Frames, udp_to_all};
use rhyzome_end_to_end::member::{PATIENCE, SILENCE};
use rhyzome_end_to_end::operator::{READY, TOLD, name};
use rhyzome_end_to_end::page;
use rhyzome_end_to_end::stranger::{LINK, Stranger, connect};
use rhyzome_end_to_end::world::{CORE, CORE_PORT, HOST, PUBLIC, World};
use rhyzome_model::network::tap_name;

use crate::canary::{self, Canaries};
use crate::tenants::{Inhabited, Tenant, assert_is, running, spec};

/// How long a frame may take over a bridge.
const CROSSED: Duration = Duration::from_secs(5);

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

pub async fn only_an_instance_as_itself_passes(world: &World, tenants: &[Tenant]) {
    let alpha = &tenants[0];
    let lab = &alpha.networks[0];
    let spare = name("spare");
    let instances = alpha.scope.instance();
    instances
        .create(&spare, spec("lab", TOLD), None)
        .await
        .unwrap();
    running(&alpha.scope, &spare).await;
    let stopped = instances.stop(&spare, false, Some(READY)).await.unwrap();
    let stranger = Stranger::of(world, &stopped, &lab.network);

    reaches_its_neighbours(&stranger, lab);
    world.say("a neighbour on the segment reaches the network's instances");
    reaches_nothing_else(world, &stranger, tenants);
    world.say("a neighbour on the segment reaches no other network, no host and not the core");
    is_heard_as_itself_alone(world, &stranger, lab);
    world.say("stolen addresses and a DHCP server are not heard on the segment");
    drop(stranger);
    instances.delete(&spare, None, Some(READY)).await.unwrap();
}

fn reaches_its_neighbours(stranger: &Stranger, lab: &Inhabited) {
    stranger.place().block_on(async || {
        for instance in &lab.instances {
            for address in crate::tenants::addresses(instance) {
                let mut stream = connect(SocketAddr::new(address, 80), PATIENCE)
                    .await
                    .unwrap();
                let page = page::ask(&mut stream).await.unwrap();
                assert_is(&page, instance, &lab.network);
            }
        }
    });
}

fn reaches_nothing_else(world: &World, stranger: &Stranger, tenants: &[Tenant]) {
    let canaries = Canaries::start(world);
    let networks = tenants.iter().flat_map(|tenant| &tenant.networks);
    let others = networks.clone().skip(1).flat_map(Inhabited::addresses);
    let mut never: Vec<SocketAddr> = others.map(|address| SocketAddr::new(address, 80)).collect();
    for inhabited in networks {
        let status = &inhabited.network.status;
        let routers: [IpAddr; 2] = [status.router_ipv4.into(), status.router_ipv6.into()];
        never.extend(routers.map(|router| SocketAddr::new(router, canary::PORT)));
    }
    for host in [HOST, PUBLIC, CORE] {
        never.push(SocketAddr::new(host.parse().unwrap(), canary::PORT));
    }
    never.push(SocketAddr::new(CORE.parse().unwrap(), CORE_PORT));
    stranger.place().block_on(async || {
        let tries = never
            .iter()
            .map(|destination| connect(*destination, SILENCE));
        for (tried, destination) in join_all(tries).await.into_iter().zip(&never) {
            assert!(
                tried.is_err(),
                "{destination} is reached from another segment"
            );
        }
    });
    assert_eq!(canaries.heard(), 0, "somebody came to the host or the core");
    canaries.work(world);
}

/// Looks at what goes to a neighbour's tap.
fn is_heard_as_itself_alone(world: &World, stranger: &Stranger, lab: &Inhabited) {
    let neighbour = &lab.instances[0];
    let theirs = &neighbour.status.interfaces[0];
    let tap = tap_name(neighbour.meta.id, 0);
    let passing = world.host.run(|| Frames::open(&tap));
    let sender = stranger.place().run(|| Frames::open(LINK));
    let (mac, own) = (stranger.mac().octets(), stranger.ipv4());
    let unused = Ipv4Addr::from(u32::from(lab.network.status.ipv4.broadcast()) - 1);
    let datagram = |mac: [u8; 6], from: Ipv4Addr, port: u16, text: &str| {
        udp_to_all(mac, from, (port, DHCP_CLIENT), text.as_bytes())
    };
    sender.send(&datagram(
        theirs.mac.octets(),
        own,
        7000,
        "a neighbour's MAC",
    ));
    sender.send(&datagram(mac, theirs.ipv4, 7000, "a neighbour's address"));
    sender.send(&datagram(mac, unused, 7000, "an address of nobody"));
    sender.send(&datagram(mac, own, DHCP_SERVER, "an offer of a lease"));
    sender.send(&datagram(mac, own, 7000, "as itself"));
    // What a link carries it carries in order: what was sent before would have passed before.
    let mut passed = Vec::new();
    let all = [
        "a neighbour's MAC",
        "a neighbour's address",
        "an address of nobody",
        "an offer of a lease",
    ];
    assert!(passing.collect_until(b"as itself", CROSSED, |frame| passed.push(frame.to_vec())));
    for text in all {
        let bytes = text.as_bytes();
        let came = passed
            .iter()
            .any(|frame| frame.windows(bytes.len()).any(|part| part == bytes));
        assert!(!came, "{text} passed");
    }
}
