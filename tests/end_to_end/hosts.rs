//! A network on two hypervisors and a router, each on a machine of its own, on one wire with another
//! network.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use rhyzome_client::Scope;
use rhyzome_end_to_end::frame::{Frames, udp_to_all};
use rhyzome_end_to_end::hypervisor::{Hypervisor, lay_wire};
use rhyzome_end_to_end::member::{PATIENCE, SILENCE};
use rhyzome_end_to_end::operator::{READY, TOLD, name};
use rhyzome_end_to_end::page;
use rhyzome_end_to_end::stranger::{LINK, Stranger, connect};
use rhyzome_end_to_end::world::{HOST, Kind};
use rhyzome_end_to_end::{Operator, Talk, Tunnelled, World, host};
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::network::{NetworkSpec, tap_name, tunnel_name};
use rhyzome_model::resource::{Instance, Network};
use rhyzome_model::{Name, NetworkId};

use crate::tenants::{running, spec};

const TUNNELS: u16 = 4789;
/// How long a frame may take over a wire.
const CROSSED: Duration = Duration::from_secs(5);

/// A network with an instance on each of two hosts.
struct Spanning {
    scope: Scope,
    project: Name,
    network: Network,
    instances: [Instance; 2],
}

pub async fn a_network_spans_hosts(world: &mut World) {
    world.start_core();
    let operator = Operator::of(world).await;
    lay_wire(world);
    operator.add_component(world, Kind::Linux).await;
    let mut nodes = [
        Hypervisor::add(world, &operator, 1).await,
        Hypervisor::add(world, &operator, 2).await,
    ];
    world.say("a router and two hypervisors have joined, each on its own machine");
    let lab = settle(&operator, "alpha", &nodes).await;
    let other = settle(&operator, "beta", &nodes).await;
    assert_eq!(
        lab.network.status.mtu, 1450,
        "what fits through the tunnels"
    );
    world.say("two networks have an instance on each hypervisor");

    let config = operator.add_peer(&lab.project, "laptop", &[&lab.network.meta.name]);
    let tunnel = Tunnelled::start(&world.member, &config);
    reached(&tunnel, &lab).await;
    world.say("a member reaches the instances on both");
    instances_reach_each_other_and_no_other_network(world, &nodes, &lab, &other).await;
    nothing_comes_from_a_stranger_on_the_wire(world, &nodes, &lab);
    killing_all_interrupts_nothing(world, &mut nodes, &tunnel, &lab).await;
    let operator = Operator::of(world).await;
    a_host_that_left_is_forgotten(&operator, &nodes, &lab).await;
    world.say("the host that has no instance any more is no end of the network");
    for node in nodes {
        node.end();
    }
}

async fn settle(operator: &Operator, project: &str, nodes: &[Hypervisor; 2]) -> Spanning {
    let project = name(project);
    let scope = operator.add_project(&project).await;
    let networks = scope.network();
    let lab = name("lab");
    networks
        .create(&lab, NetworkSpec::default(), Some(READY))
        .await
        .unwrap();
    let called = |number: usize| name(&format!("web-{number}"));
    for (number, node) in nodes.iter().enumerate() {
        let on = InstanceSpec {
            host: Some(node.name.clone()),
            ..spec("lab", TOLD)
        };
        scope
            .instance()
            .create(&called(number), on, None)
            .await
            .unwrap();
    }
    let instances = [
        running(&scope, &called(0)).await,
        running(&scope, &called(1)).await,
    ];
    let network = networks.get(&lab).await.unwrap();
    Spanning {
        scope,
        project,
        network,
        instances,
    }
}

async fn reached(tunnel: &Tunnelled, lab: &Spanning) {
    for instance in &lab.instances {
        for address in crate::tenants::addresses(instance) {
            let page = tunnel.ask(address).await;
            let page = page.unwrap_or_else(|why| panic!("{}: {why}", instance.meta.name));
            assert_eq!(page.hostname, instance.meta.name.as_str());
        }
    }
}

async fn instances_reach_each_other_and_no_other_network(
    world: &World,
    nodes: &[Hypervisor; 2],
    lab: &Spanning,
    other: &Spanning,
) {
    let spare = name("spare");
    let on = InstanceSpec {
        host: Some(nodes[1].name.clone()),
        ..spec("lab", TOLD)
    };
    lab.scope.instance().create(&spare, on, None).await.unwrap();
    running(&lab.scope, &spare).await;
    let stopped = lab
        .scope
        .instance()
        .stop(&spare, true, Some(READY))
        .await
        .unwrap();
    let stranger = Stranger::at(&nodes[1].place, &stopped, &lab.network);
    stranger.place().block_on(async || {
        for instance in &lab.instances {
            for address in crate::tenants::addresses(instance) {
                let to = SocketAddr::new(address, 80);
                let mut stream = connect(to, PATIENCE).await.unwrap();
                let page = page::ask(&mut stream).await.unwrap();
                assert_eq!(page.hostname, instance.meta.name.as_str());
            }
        }
        for instance in &other.instances {
            for address in crate::tenants::addresses(instance) {
                let tried = connect(SocketAddr::new(address, 80), SILENCE).await;
                assert!(tried.is_err(), "{address} is reached from another network");
            }
        }
    });
    world.say("an instance reaches those of its network on both hosts, and no others");
    captures(world, nodes, (&stranger, lab), other);
    drop(stranger);
    lab.scope
        .instance()
        .delete(&spare, None, Some(READY))
        .await
        .unwrap();
}

/// Looks at every tap and at the wire while an instance shouts.
fn captures(
    world: &World,
    nodes: &[Hypervisor; 2],
    (stranger, lab): (&Stranger, &Spanning),
    other: &Spanning,
) {
    let tap = |of: &Spanning, at: usize| {
        let tap = tap_name(of.instances[at].meta.id, 0);
        nodes[at].place.run(|| Frames::open(&tap))
    };
    let own = [tap(lab, 0), tap(lab, 1)];
    let others = [tap(other, 0), tap(other, 1)];
    let wire = world.core.run(|| Frames::open("to1"));
    let sender = stranger.place().run(|| Frames::open(LINK));
    let datagram = |text: &[u8]| {
        let mac = stranger.mac().octets();
        udp_to_all(mac, stranger.ipv4(), (7000, 7000), text)
    };
    sender.send(&datagram(b"a canary sings"));
    sender.send(&datagram(b"the last word"));
    for socket in &own {
        assert!(
            socket.collect_until(b"the last word", CROSSED, |_| {}),
            "the control"
        );
    }
    // On the wire, both words are in packets of one network, from one host to another.
    let mut sung = Vec::new();
    let sings = |frame: &[u8]| frame.windows(14).any(|part| part == b"a canary sings");
    let passed = wire.collect_until(b"the last word", CROSSED, |frame| {
        if sings(frame) {
            sung.push(frame.to_vec());
        }
    });
    assert!(
        passed && sung.len() == 1,
        "{} packets to one host",
        sung.len()
    );
    let nobody = |frame: &[u8]| assert!(!sings(frame), "it is heard in another network");
    for (at, socket) in others.iter().enumerate() {
        // The control in the other network: its own words do arrive.
        let theirs = &other.instances[1 - at].status.interfaces[0];
        ask_for(&nodes[1 - at], other, 1 - at);
        assert!(
            socket.collect_until(&theirs.mac.octets(), CROSSED, nobody),
            "the control"
        );
    }
    world
        .say("what an instance says to all is heard by its network on both hosts, and by no other");
}

/// Makes an instance of a network look for its neighbour, by asking it for something.
fn ask_for(node: &Hypervisor, of: &Spanning, at: usize) {
    let tap = tap_name(of.instances[at].meta.id, 0);
    let (own, neighbour) = (&of.instances[at], &of.instances[1 - at]);
    let (asker, answerer) = (&neighbour.status.interfaces[0], &own.status.interfaces[0]);
    // A question to the guest in its neighbour's name, answered to the neighbour over the wire.
    let mut request = vec![0u8, 1, 8, 0, 6, 4, 0, 1];
    request.extend(asker.mac.octets());
    request.extend(asker.ipv4.octets());
    request.extend([0; 6]);
    request.extend(answerer.ipv4.octets());
    let frame = [
        &answerer.mac.octets()[..],
        &asker.mac.octets(),
        &[8, 6],
        &request,
    ]
    .concat();
    node.place.run(|| Frames::open(&tap).send(&frame));
}

/// Packets for the right network, in the name of an instance, from a machine that is no host of it.
fn nothing_comes_from_a_stranger_on_the_wire(
    world: &World,
    nodes: &[Hypervisor; 2],
    lab: &Spanning,
) {
    let tap = tap_name(lab.instances[0].meta.id, 0);
    let heard = nodes[0].place.run(|| Frames::open(&tap));
    let theirs = &lab.instances[1].status.interfaces[0];
    let inside = |text: &[u8]| udp_to_all(theirs.mac.octets(), theirs.ipv4, (7000, 7000), text);
    let link = tunnel_name(NetworkId(lab.network.meta.id));
    let details = nodes[0].place.ip(&format!("-d link show {link}"));
    let mut words = details
        .split_whitespace()
        .skip_while(|word| *word != "vxlan");
    let vni: u32 = words
        .nth(2)
        .and_then(|word| word.parse().ok())
        .expect("a number");
    let send = |from: &str, text: &[u8]| {
        let mut packet = vec![8, 0, 0, 0];
        packet.extend((vni << 8).to_be_bytes());
        packet.extend(inside(text));
        let to = SocketAddr::new(nodes[0].address.parse().unwrap(), TUNNELS);
        let from: IpAddr = from.parse().unwrap();
        let socket = UdpSocket::bind(SocketAddr::new(from, 0)).unwrap();
        socket.send_to(&packet, to).unwrap();
    };
    world
        .core
        .run(|| send(rhyzome_end_to_end::world::CORE, b"from nowhere"));
    // The router's machine is an end of the network, and this is not its MAC.
    world.host.run(|| send(HOST, b"from a router"));
    nodes[1]
        .place
        .run(|| send(&nodes[1].address, b"from its host"));
    let arrived = heard.collect_until(b"from its host", CROSSED, |frame| {
        for forged in [&b"from nowhere"[..], b"from a router"] {
            let came = frame.windows(forged.len()).any(|part| part == forged);
            assert!(!came, "{} arrives", String::from_utf8_lossy(forged));
        }
    });
    assert!(arrived, "the control does not arrive");
    world.say("what a stranger sends over the wire in an instance's name does not arrive");
}

async fn killing_all_interrupts_nothing(
    world: &mut World,
    nodes: &mut [Hypervisor; 2],
    tunnel: &Tunnelled,
    lab: &Spanning,
) {
    let far = IpAddr::from(lab.instances[1].status.interfaces[0].ipv4);
    let talk = Talk::start(tunnel, SocketAddr::new(far, 80)).await;
    world.kill_core();
    world.kill_component(Kind::Linux);
    nodes.iter_mut().for_each(Hypervisor::kill);
    talk.goes_on(30).await;
    reached(tunnel, lab).await;
    world.start_core();
    let operator = Operator::of(world).await;
    world.start_component(Kind::Linux);
    operator.connected(&name("host-linux")).await;
    for node in nodes.iter_mut() {
        node.start();
        operator.connected(&node.name).await;
    }
    talk.goes_on(30).await;
    assert!(talk.is_on());
    reached(tunnel, lab).await;
    world.say("core and components are killed and started again, and one connection goes on");
}

async fn a_host_that_left_is_forgotten(
    operator: &Operator,
    nodes: &[Hypervisor; 2],
    lab: &Spanning,
) {
    let instances = operator.client().within(&lab.project).instance();
    let entries = || {
        let link = tunnel_name(NetworkId(lab.network.meta.id));
        nodes[0]
            .place
            .run(|| host::command("bridge", &["fdb", "show", "dev", &link], None))
    };
    let left = &nodes[1].address;
    assert!(entries().contains(&format!("dst {left} ")), "{}", entries());
    let leaving = &lab.instances[1].meta.name;
    instances.delete(leaving, None, Some(READY)).await.unwrap();
    rhyzome_end_to_end::wait_for("the host is forgotten", READY, async || {
        (!entries().contains(&format!("dst {left} "))).then_some(())
    })
    .await;
    assert!(entries().contains(&format!("dst {HOST} ")), "{}", entries());
}
