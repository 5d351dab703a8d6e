//! What a member reaches: the networks that their peer was given, through the tunnel, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use ipnet::IpNet;
use rhyzome_end_to_end::member::{SILENCE, as_nobody};
use rhyzome_end_to_end::world::{CORE, CORE_PORT, HOST, PUBLIC, PUBLIC_IPV6};
use rhyzome_end_to_end::{Operator, Tunnelled, World, stranger};
use rhyzome_wireguard::config::{ClientConfig, HostPort, PeerConfig};

use crate::canary::{self, Canaries};
use crate::tenants::{Inhabited, Tenant, assert_is};

/// How long an endpoint has to answer who it must not answer.
const UNANSWERED: Duration = Duration::from_secs(3);

/// The device that was given the first network of the first project, and the one that was given both.
pub struct Devices {
    pub one: ClientConfig,
    pub both: ClientConfig,
}

pub async fn a_peer_reaches_exactly_its_networks(
    world: &World,
    operator: &Operator,
    tenants: &[Tenant],
) -> Devices {
    let [alpha, beta] = tenants else {
        panic!("two projects")
    };
    let [lab, attic] = &alpha.networks[..] else {
        panic!("two networks")
    };
    let one = operator.add_peer(&alpha.project, "phone", &[lab.name()]);
    let both = operator.add_peer(&alpha.project, "laptop", &[lab.name(), attic.name()]);
    let [other_lab, other_attic] = &beta.networks[..] else {
        panic!("two networks")
    };
    let given = [other_lab.name(), other_attic.name()];
    let other = operator.add_peer(&beta.project, "phone", &given);

    let tunnel = Tunnelled::start(&world.member, &one);
    reaches(&tunnel, &[lab]).await;
    world.say("a peer with one network reaches its instances");
    let tunnel = Tunnelled::start(&world.member, &both);
    reaches(&tunnel, &[lab, attic]).await;
    world.say("a peer with two networks reaches the instances of both");
    let tunnel = Tunnelled::start(&world.member, &other);
    reaches(&tunnel, &[other_lab, other_attic]).await;
    world.say("a peer of the other project reaches its own, behind the same prefix too");
    Devices { one, both }
}

/// Every instance of these networks answers at both of its addresses, as itself.
pub async fn reaches(tunnel: &Tunnelled, networks: &[&Inhabited]) {
    for inhabited in networks {
        for instance in &inhabited.instances {
            for address in crate::tenants::addresses(instance) {
                let page = tunnel.ask(address).await;
                let page = page.unwrap_or_else(|why| panic!("{}: {why}", instance.meta.name));
                assert_is(&page, instance, &inhabited.network);
            }
        }
    }
}

/// Sends everything through one network's endpoint, whatever the core said: the stranger's side.
fn greedy(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.peers.truncate(1);
    let all = ["0.0.0.0/0", "::/0"].map(|all| all.parse::<IpNet>().unwrap());
    config.peers[0].allowed_ips = all.to_vec();
    config
}

pub async fn a_peer_reaches_nothing_else(world: &World, tenants: &[Tenant], devices: &Devices) {
    let canaries = Canaries::start(world);
    let [alpha, beta] = tenants else {
        panic!("two projects")
    };
    let [lab, attic] = &alpha.networks[..] else {
        panic!("two networks")
    };
    let foreign = [attic, &beta.networks[0], &beta.networks[1]];
    assert_eq!(
        lab.network.status.ipv4,
        beta.networks[0].network.status.ipv4
    );
    assert!(
        lab.addresses()
            .iter()
            .all(|own| !beta.networks[0].addresses().contains(own))
    );

    let tunnel = Tunnelled::start(&world.member, &devices.one);
    for address in attic.addresses() {
        let why = tunnel.fails_to_reach(address, 80).await;
        assert!(why.ends_with("is in no network of this tunnel"), "{why}");
    }
    drop(tunnel);

    let tunnel = Tunnelled::start(&world.member, &greedy(&devices.one));
    reaches(&tunnel, &[lab]).await;
    let mut never: Vec<SocketAddr> = foreign
        .iter()
        .flat_map(|inhabited| inhabited.addresses())
        .map(|address| SocketAddr::new(address, 80))
        .collect();
    for inhabited in foreign.into_iter().chain([lab]) {
        let status = &inhabited.network.status;
        let routers: [IpAddr; 2] = [status.router_ipv4.into(), status.router_ipv6.into()];
        never.extend(routers.map(|router| SocketAddr::new(router, canary::PORT)));
    }
    let hosts = [HOST, PUBLIC, PUBLIC_IPV6, CORE].map(|host| host.parse::<IpAddr>().unwrap());
    never.extend(hosts.map(|host| SocketAddr::new(host, canary::PORT)));
    never.push(SocketAddr::new(CORE.parse().unwrap(), CORE_PORT));
    never.push(crate::metadata::address());
    let tries = never
        .iter()
        .map(|at| tunnel.fails_to_reach(at.ip(), at.port()));
    let failures = join_all(tries).await;
    world.say(&format!(
        "{} other addresses are not reached through the tunnel",
        failures.len()
    ));

    // The control: through the same tunnel, at the same time as all that failed.
    reaches(&tunnel, &[lab]).await;
    assert_eq!(canaries.heard(), 0, "somebody came to the host or the core");
    a_key_opens_only_the_endpoints_it_was_given_to(world, tenants, devices).await;
    an_address_belongs_to_one_peer(world, devices, lab).await;
    nothing_is_reached_without_a_tunnel(world, tenants, &canaries);
    canaries.work(world);
}

async fn a_key_opens_only_the_endpoints_it_was_given_to(
    world: &World,
    tenants: &[Tenant],
    devices: &Devices,
) {
    let [alpha, beta] = tenants else {
        panic!("two projects")
    };
    let foreign = [&alpha.networks[1], &beta.networks[0], &beta.networks[1]];
    let tries = foreign.map(async |inhabited| {
        let endpoint = &inhabited.network.status.endpoint;
        let stolen = PeerConfig {
            public_key: endpoint.public_key.as_deref().unwrap().parse().unwrap(),
            endpoint: HostPort::new(PUBLIC, endpoint.port).unwrap(),
            ..devices.one.peers[0].clone()
        };
        let config = ClientConfig {
            peers: vec![stolen],
            ..devices.one.clone()
        };
        let tunnel = Tunnelled::start(&world.member, &greedy(&config));
        let shaken = tunnel.run(async |tunnel| tunnel.wait_handshake(UNANSWERED).await);
        let name = inhabited.name();
        assert!(
            shaken.await.is_err(),
            "the endpoint of {name} answers a stranger"
        );
    });
    join_all(tries).await;
    world.say("endpoints of other networks do not answer the peer");
}

/// A peer that takes another one's address gets no answer to it.
async fn an_address_belongs_to_one_peer(world: &World, devices: &Devices, lab: &Inhabited) {
    let config = ClientConfig {
        addresses: devices.both.addresses.clone(),
        ..devices.one.clone()
    };
    let tunnel = Tunnelled::start(&world.member, &config);
    let failures = join_all(
        lab.addresses()
            .iter()
            .map(|to| tunnel.fails_to_reach(*to, 80)),
    )
    .await;
    for why in failures {
        assert!(why.contains("did not answer within"), "{why}");
    }
    world.say("a peer with another peer's addresses gets no answer");
}

fn nothing_is_reached_without_a_tunnel(world: &World, tenants: &[Tenant], canaries: &Canaries) {
    let inhabited = tenants.iter().flat_map(|tenant| &tenant.networks);
    let instances = inhabited.flat_map(Inhabited::addresses);
    let mut never: Vec<SocketAddr> = instances.map(|to| SocketAddr::new(to, 80)).collect();
    for (host, port) in [
        (PUBLIC, canary::PORT),
        (PUBLIC_IPV6, canary::PORT),
        (CORE, CORE_PORT),
    ] {
        never.push(SocketAddr::new(host.parse().unwrap(), port));
    }
    let count = never.len();
    as_nobody(&world.member, async || {
        let tries = never
            .iter()
            .map(|destination| stranger::connect(*destination, SILENCE));
        for (tried, destination) in join_all(tries).await.into_iter().zip(&never) {
            assert!(tried.is_err(), "{destination} is reached without a tunnel");
        }
    });
    assert_eq!(canaries.heard(), 0, "somebody came to the host or the core");
    world.say(&format!(
        "{count} addresses are not reached without a tunnel"
    ));
}
