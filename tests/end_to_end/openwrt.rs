//! A router appliance, from an image to a network: prepared by the command line, it boots, joins by itself, and has what
//! is made through the API, in a Debian kernel of its own.

#[path = "openwrt/dhcp.rs"]
mod dhcp;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rhyzome_end_to_end::appliance::{Appliance, MACS};
use rhyzome_end_to_end::hypervisor::lay_wire;
use rhyzome_end_to_end::member::{PATIENCE, connect};
use rhyzome_end_to_end::operator::{READY, name};
use rhyzome_end_to_end::{Operator, Place, Tunnelled, World, host, programs, wait_for};
use rhyzome_model::Name;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::Network;
use rhyzome_test_router::{Builder, Router};
use rhyzome_wireguard::tunnel::Tunnel;

/// Where the root begins, in bytes, and how large it is, in MiB.
const ROOT: u64 = 1 << 20;
const ROOT_SIZE: u64 = 64;

/// What a test cannot ask the appliance for is told on its console: its VLANs, its tunnels, and who makes them.
const WITNESS: &str = "(while sleep 2; do
  echo \"witness: $(grep -h DEVTYPE /sys/class/net/*/uevent | tr '\\n' ' ') programs: $(ps | grep -c '[w]ireguard-go')\"
done) >/dev/console 2>/dev/null &
";

const APPLIANCE: &str = "192.0.2.20";

pub async fn a_prepared_image_becomes_a_router(world: &mut World) {
    world.start_core();
    let operator = Operator::of(world).await;
    lay_wire(world);
    let [uplink, trunk] = MACS;
    let macs = ["--uplink-mac", uplink, "--trunk-mac", trunk];
    let router = Router::builder().file("/etc/uci-defaults/99-witness", WITNESS);
    let disk = prepared(world, &operator, router, &macs);
    let gw = name("gw");
    let appliance = Appliance::new(world, &disk);
    let begun = Instant::now();
    appliance.start();
    world.say("libvirt has started the appliance");
    let joined = wait_for("the appliance joins", READY, async || {
        let component = operator.client().component().get(&gw).await.ok()?;
        component.connected.then_some(())
    });
    tokio::select! {
        () = joined => {}
        () = tokio::time::sleep(READY - Duration::from_secs(5)) => panic!("{}", appliance.tell()),
    }
    world.say(&format!(
        "it joined {:.1} s after it was switched on",
        begun.elapsed().as_secs_f32()
    ));

    let project = name("alpha");
    let scope = operator.add_project(&project).await;
    let on = NetworkSpec {
        router: Some(gw.clone()),
        ..NetworkSpec::default()
    };
    let mut networks = Vec::new();
    for called in ["red", "blue"] {
        let made = scope
            .network()
            .create(&name(called), on.clone(), Some(READY))
            .await;
        networks
            .push(made.unwrap_or_else(|error| panic!("{called}: {error}\n{}", appliance.tell())));
    }
    let [red, blue] = networks.as_slice() else {
        panic!("two were made")
    };
    only_its_own_vlan_reaches_a_network(world, &appliance, red, blue).await;
    let both = [red, blue];
    dhcp::an_instance_gets_its_address_from_the_router(world, &operator, &scope, &appliance, both)
        .await;
    peers_come_and_go_without_loss(world, &operator, &project, red).await;
    let console = appliance.tell();
    let seen = console.lines().rfind(|line| line.starts_with("witness: "));
    let seen = seen.unwrap_or_else(|| panic!("nothing is told of the appliance\n{console}"));
    assert!(
        seen.contains("DEVTYPE=wireguard") && seen.ends_with("programs: 0"),
        "{seen}"
    );
    world.say("its tunnels are the kernel's");
    appliance.cut_power();
    drop(appliance);
}

/// A host in a network's VLAN reaches the network's router; one with the same address in another VLAN, or without a tag,
/// does not.
async fn only_its_own_vlan_reaches_a_network(
    world: &World,
    appliance: &Appliance,
    red: &Network,
    blue: &Network,
) {
    let address = red.status.ipv4.hosts().nth(200).expect("it is a /24");
    let router = red.status.router_ipv4;
    let hosts =
        [("i", Some(vlan(red))), ("j", Some(vlan(blue))), ("k", None)].map(|(letter, vlan)| {
            let host = Place::new(format!("{}{letter}", world.core.name()));
            appliance.trunk.plug(&host, vlan, "02:00:00:00:00:10");
            host.ip(&format!(
                "address add {address}/{} dev eth0",
                red.status.ipv4.prefix_len()
            ));
            host
        });
    let [inside, others @ ..] = &hosts;
    wait_for(
        "a host in the network reaches its router",
        READY,
        async || pings(inside, router).then_some(()),
    )
    .await;
    for other in others {
        assert!(!pings(other, router), "{} reaches {router}", other.name());
    }
    assert!(pings(inside, router));
    world.say("its VLAN reaches a network, and nothing else on the trunk does");
}

fn vlan(network: &Network) -> u16 {
    u16::try_from(network.status.segment.number).expect("a VLAN")
}

pub fn pings(place: &Place, address: std::net::Ipv4Addr) -> bool {
    let mut command = Command::new("busybox");
    command.args(["ping", "-c", "1", "-W", "1", &address.to_string()]);
    place.run(|| host::finish(command, None)).is_ok()
}

/// One peer asks on and on while another is added, used and removed.
async fn peers_come_and_go_without_loss(
    world: &World,
    operator: &Operator,
    project: &Name,
    network: &Network,
) {
    let street = Place::new(format!("{}p", world.core.name()));
    let cable = format!(
        "link add topeers type veth peer name eth0 netns {}",
        street.name()
    );
    world.core.ip(&cable);
    world.core.ip("link set topeers master wire up");
    street.ip("address add 192.0.2.30/24 dev eth0");
    street.ip("link set eth0 up");
    let dns = SocketAddr::new(network.status.router_ipv4.into(), 53);
    let red = &network.meta.name;
    let first = Tunnelled::start(&street, &operator.add_peer(project, "first", &[red]));
    wait_for("a peer reaches the router", READY, async || {
        reaches(&first, dns).await.ok()
    })
    .await;
    let (asked, lost) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counts = (Arc::clone(&asked), Arc::clone(&lost));
    first
        .run(async move |tunnel| {
            tokio::task::spawn_local(async move {
                loop {
                    let answered = connect(&tunnel, dns, PATIENCE).await;
                    counts.0.fetch_add(1, Ordering::Relaxed);
                    counts
                        .1
                        .fetch_add(answered.is_err().into(), Ordering::Relaxed);
                }
            });
        })
        .await;
    let second = Tunnelled::start(&street, &operator.add_peer(project, "second", &[red]));
    wait_for("another peer reaches the router", READY, async || {
        reaches(&second, dns).await.ok()
    })
    .await;
    operator.rhyzome(&["--project", project.as_str(), "peer", "delete", "second"]);
    second.fails_to_reach(dns.ip(), dns.port()).await;
    let before = asked.load(Ordering::Relaxed);
    wait_for("the first peer goes on", READY, async || {
        (asked.load(Ordering::Relaxed) > before + 10).then_some(())
    })
    .await;
    assert_eq!(lost.load(Ordering::Relaxed), 0);
    world.say(&format!(
        "a peer came and went while another asked {} times, and lost none",
        asked.load(Ordering::Relaxed)
    ));
}

async fn reaches(tunnel: &Tunnelled, destination: SocketAddr) -> Result<(), String> {
    let reached =
        async move |tunnel: Rc<Tunnel>| connect(&tunnel, destination, PATIENCE).await.map(drop);
    tunnel.run(reached).await
}

/// A disk as OpenWrt's images are, with the root of a router to try things on, prepared with these words.
pub fn prepared(world: &World, operator: &Operator, router: Builder, words: &[&str]) -> PathBuf {
    let (root, image, disk) = (
        world.path("root.ext4"),
        world.path("openwrt.img"),
        world.path("gw.img"),
    );
    router
        .file(
            "/lib/modules/6.1/modules.dep",
            "kernel/net/8021q/8021q.ko:\nkernel/drivers/net/wireguard/wireguard.ko:\n",
        )
        .file("/lib/netifd/proto/wireguard.sh", "")
        .write_image(&root, ROOT_SIZE);
    std::fs::write(&image, disk_of(&root)).expect("there is room");
    let text = |path: &Path| path.to_str().expect("it is plain text").to_owned();
    let (image, output, agent) = (text(&image), text(&disk), text(&programs::openwrt()));
    let address = format!("{APPLIANCE}/24");
    let always = [
        "openwrt",
        "prepare",
        &image,
        "--name",
        "gw",
        "--output",
        &output,
        "--agent",
        &agent,
        "--address",
        &address,
        "--gateway",
        "192.0.2.1",
    ];
    let said = operator.rhyzome(&[&always, words].concat());
    world.say(&format!("an image is prepared: {said}"));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&disk, open).expect("the file is ours");
    disk
}

/// A partition table with the root second, as in OpenWrt's images, and the root.
fn disk_of(root: &Path) -> Vec<u8> {
    const SECTOR: u64 = 512;
    let root = std::fs::read(root).expect("it was just written");
    let mut disk = vec![0; usize::try_from(ROOT).expect("a MiB")];
    let sectors = |bytes: u64| {
        u32::try_from(bytes / SECTOR)
            .expect("a small disk")
            .to_le_bytes()
    };
    for (entry, begin, size) in [(446, SECTOR, ROOT - SECTOR), (462, ROOT, ROOT_SIZE << 20)] {
        disk[entry + 4] = 0x83;
        disk[entry + 8..entry + 12].copy_from_slice(&sectors(begin));
        disk[entry + 12..entry + 16].copy_from_slice(&sectors(size));
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend(root);
    disk
}
