//! Networks that are network cards of their router, which is an instance: plugged in while it runs, found by their MACs at
//! each start, and apart from each other. The router is a prepared image; Debian's kernel boots it, and carries it along
//! to its disk at the first start.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use rhyzome_client::Scope;
use rhyzome_end_to_end::hypervisor::{BRIDGES, Hypervisor, lay_wire};
use rhyzome_end_to_end::operator::{READY, name};
use rhyzome_end_to_end::{Operator, Place, World, programs, wait_for};
use rhyzome_model::Size;
use rhyzome_model::image::ImageSpec;
use rhyzome_model::instance::{Attachment, InstanceSpec};
use rhyzome_model::network::{NetworkSpec, bridge_name, card_name, router_mac};
use rhyzome_model::resource::{Instance, Network};
use rhyzome_model::segment::Segmentation;
use rhyzome_test_router::Router;
use serde_json::json;

use crate::linux::upload;
use crate::openwrt::{pings, prepared};

/// Of the router's uplink, and of a card that it was never told of.
const MACS: [&str; 2] = ["52:54:00:72:7a:11", "52:54:00:72:7a:12"];

/// How many networks the router has slots for.
const SLOTS: u32 = 3;

/// What the router says of its links, as `name mac flags`, all on one line. It fails, as such a script is then run at each
/// start.
const WITNESS: &str = "(while sleep 2; do
  said=
  for at in /sys/class/net/*; do
    [ -e \"$at/address\" ] && said=\"$said, ${at##*/} $(cat \"$at/address\") $(cat \"$at/flags\")\"
  done
  echo \"witness: $(cat /proc/sys/kernel/random/boot_id)$said, end\"
done) >/dev/console 2>/dev/null &
false
";

/// All of the network that is there before it is prepared: no card is anybody's by its number.
const LOOPBACK: &str = "config interface 'loopback'
	option device 'lo'
	option proto 'static'
	option ipaddr '127.0.0.1'
	option netmask '255.0.0.0'
";

/// The first process of the machine: what it carries becomes its disk, unless there is something on that.
const FIRST: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox modprobe virtio_pci
/bin/busybox modprobe virtio_blk
tries=0
while ! [ -b /dev/vda ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); /bin/busybox sleep 0.1; done
first=$(/bin/busybox dd if=/dev/vda bs=1 skip=510 count=2 2>/dev/null | /bin/busybox hexdump -e '2/1 \"%02x\"')
[ \"$first\" = 55aa ] || /bin/busybox dd if=/disk of=/dev/vda bs=1M 2>/dev/null
/bin/busybox rm /disk
/bin/busybox blockdev --rereadpt /dev/vda
/bin/busybox umount /dev
exec /init
";

const LINE: &str = "console=ttyS0 quiet panic=-1 rdinit=/first root=/dev/vda2 no_timer_check mitigations=off \
                    random.trust_cpu=on";

pub async fn networks_are_network_cards_of_a_router(world: &mut World) {
    world.start_core();
    let operator = Operator::of(world).await;
    lay_wire(world);
    let machine = Hypervisor::with_bridges(world, &operator, 3).await;
    let scope = operator.add_project(&name("alpha")).await;
    let words = ["--segmentation", "port", "--uplink-mac", MACS[0]];
    let router = Router::builder()
        .config("network", LOOPBACK)
        .file("/etc/uci-defaults/99-witness", WITNESS);
    let disk = prepared(world, &operator, router, &words);
    let router = start_router(world, &scope, &machine, &disk).await;
    let gateway = Gateway {
        operator: &operator,
        machine: &machine,
        router,
    };
    gateway.joined().await;
    world.say("the router runs as an instance and has joined");

    let mut networks = Vec::new();
    for (index, called) in ["red", "green", "blue"].into_iter().enumerate() {
        networks.push(gateway.add_network(world, &scope, called, index).await);
    }
    world.say("three networks are network cards of it, and answer");
    for network in &networks {
        gateway.is_named(network).await;
    }
    are_apart(&networks);
    world.say("each card has its network's name, and networks do not see each other");
    let refused = scope.network().create(&name("more"), on_gw(), None).await;
    let refused = refused.expect_err("all slots are used").to_string();
    assert!(
        refused.contains("made with slots for 3 of them, and all are used"),
        "{refused}"
    );

    let middle = networks.remove(1);
    let deleted = scope
        .network()
        .delete(&name("green"), None, Some(READY))
        .await;
    deleted.unwrap_or_else(|error| panic!("green: {error}\n{}", gateway.tell()));
    assert!(!gateway.has_card(&middle));
    assert!(networks.iter().all(|network| gateway.has_card(network)));
    gateway.is_gone(&middle).await;
    world.say("the middle network's card is out of the router");

    let before = gateway.boot().await;
    scope
        .instance()
        .reboot(&name("gw"), Some(READY))
        .await
        .expect("it runs");
    gateway.starts_anew(&before).await;
    for network in &networks {
        gateway.is_named(network).await;
        network.answers().await;
    }
    are_apart(&networks);
    let stranger = format!("rz_{}", MACS[1].replace(':', ""));
    let stays_down = |links: &[Link]| {
        let found = links.iter().find(|link| link.mac == MACS[1]);
        found.is_some_and(|link| link.name == stranger && !link.up)
    };
    gateway
        .wait_for_links("what it knows nothing of is down", stays_down)
        .await;
    gateway.is_gone(&middle).await;
    world.say(
        "after a start each card has its name and its address still, and one of nobody's is down",
    );

    gateway.joined().await;
    networks.push(gateway.add_network(world, &scope, "more", 3).await);
    world.say("the slot that is free takes another network");
    for index in 0..4 {
        machine.place.ip(&format!("link delete n{index}"));
    }
    machine.end();
    world.say("nothing of it is left on the hypervisor");
}

fn on_gw() -> NetworkSpec {
    NetworkSpec {
        router: Some(name("gw")),
        ..NetworkSpec::default()
    }
}

/// A network, and a host in it.
struct Inhabited {
    network: Network,
    host: Place,
}

/// A link as the router tells of it.
struct Link {
    name: String,
    mac: String,
    up: bool,
}

struct Gateway<'a> {
    operator: &'a Operator,
    machine: &'a Hypervisor,
    router: Instance,
}

impl Gateway<'_> {
    async fn joined(&self) {
        let gw = name("gw");
        let joined = wait_for("the router joins", READY, async || {
            let component = self.operator.client().component().get(&gw).await.ok()?;
            component.connected.then_some(())
        });
        tokio::select! {
            () = joined => {}
            () = tokio::time::sleep(READY.mul_f32(0.95)) => panic!("{}", self.tell()),
        }
    }

    /// The network, and a host plugged into its segment where the router runs.
    async fn add_network(
        &self,
        world: &World,
        scope: &Scope,
        called: &str,
        index: usize,
    ) -> Inhabited {
        let made = scope
            .network()
            .create(&name(called), on_gw(), Some(READY))
            .await;
        let network = made.unwrap_or_else(|error| panic!("{called}: {error}\n{}", self.tell()));
        assert_eq!(network.status.segment.kind, Segmentation::Port);
        let host = Place::new(format!("{}n{index}", world.core.name()));
        let (bridge, place) = (bridge_name(id(&network)), &self.machine.place);
        place.ip(&format!(
            "link add n{index} type veth peer name eth0 netns {}",
            host.name()
        ));
        place.ip(&format!("link set n{index} master {bridge} up"));
        let status = &network.status;
        let address = status.ipv4.hosts().nth(200).expect("it is a /24");
        let length = status.ipv4.prefix_len();
        host.ip(&format!("address add {address}/{length} dev eth0"));
        host.ip("link set eth0 up");
        host.ip(&format!("route add default via {}", status.router_ipv4));
        let inhabited = Inhabited { network, host };
        let answers = inhabited.answers();
        tokio::select! {
            () = answers => {}
            () = tokio::time::sleep(READY.mul_f32(0.3)) => {
                let links = self.machine.place.ip("-s link");
                panic!("{called} does not answer\n{links}\n{}", self.tell());
            }
        }
        inhabited
    }

    async fn is_named(&self, inhabited: &Inhabited) {
        let network = &inhabited.network;
        let name = format!("rz_p{}", network.status.segment.number);
        let mac = router_mac(id(network)).to_string();
        let is_it = |links: &[Link]| {
            links
                .iter()
                .any(|link| link.name == name && link.mac == mac && link.up)
        };
        self.wait_for_links(&format!("{name} is {mac}"), is_it)
            .await;
    }

    async fn is_gone(&self, inhabited: &Inhabited) {
        let mac = router_mac(id(&inhabited.network)).to_string();
        let is_gone = |links: &[Link]| links.iter().all(|link| link.mac != mac);
        self.wait_for_links(&format!("{mac} is gone"), is_gone)
            .await;
        let links = self.machine.place.ip("-o link");
        for gone in [
            bridge_name(id(&inhabited.network)),
            card_name(id(&inhabited.network)),
        ] {
            assert!(!links.contains(&gone), "{gone} in {links}");
        }
    }

    async fn wait_for_links(&self, what: &str, is_so: impl Fn(&[Link]) -> bool) {
        let looked = wait_for(what, READY, async || {
            is_so(&self.witness().unwrap_or_default().1).then_some(())
        });
        tokio::select! {
            () = looked => {}
            () = tokio::time::sleep(READY.mul_f32(0.95)) => panic!("not so: {what}\n{}", self.tell()),
        }
    }

    async fn starts_anew(&self, before: &str) {
        let anew = wait_for("it has started anew", READY, async || {
            (self.boot().await != before).then_some(())
        });
        tokio::select! {
            () = anew => {}
            () = tokio::time::sleep(READY.mul_f32(0.9)) => panic!("it does not start\n{}", self.tell()),
        }
    }

    /// Names the router's start.
    async fn boot(&self) -> String {
        wait_for("the router tells of itself", READY, async || {
            self.witness().map(|(boot, _)| boot)
        })
        .await
    }

    /// What was said last: the start, and the links.
    fn witness(&self) -> Option<(String, Vec<Link>)> {
        let console = self.tell();
        let whole = |line: &&str| line.starts_with("witness: ") && line.trim_end().ends_with("end");
        let line = console.lines().rfind(whole)?;
        let mut parts = line.trim_start_matches("witness: ").split(", ");
        let boot = parts.next()?.to_owned();
        let link = |part: &str| {
            let [name, mac, flags] = part.split(' ').collect::<Vec<_>>().try_into().ok()?;
            let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
            Some(Link {
                name: name.to_owned(),
                mac: mac.to_owned(),
                up: flags & 1 != 0,
            })
        };
        Some((boot, parts.filter_map(link).collect()))
    }

    fn tell(&self) -> String {
        let words = [
            "--project",
            "alpha",
            "instance",
            "logs",
            "gw",
            "--bytes",
            "60000",
        ];
        self.operator
            .attempt(&words)
            .unwrap_or_else(|error| format!("no console of {}: {error}", self.router.meta.name))
    }

    /// Whether the card of a network is on the hypervisor.
    fn has_card(&self, inhabited: &Inhabited) -> bool {
        let links = self.machine.place.ip("-o link");
        links.contains(&format!(": {}:", card_name(id(&inhabited.network))))
    }
}

impl Inhabited {
    fn router(&self) -> Ipv4Addr {
        self.network.status.router_ipv4
    }

    fn address(&self) -> Ipv4Addr {
        let mut hosts = self.network.status.ipv4.hosts();
        hosts.nth(200).expect("it is a /24")
    }

    async fn answers(&self) {
        let what = format!("the router answers in {}", self.network.meta.name);
        wait_for(&what, READY, async || {
            pings(&self.host, self.router()).then_some(())
        })
        .await;
    }
}

/// Hosts of one network do not reach those of another, which have the same router.
fn are_apart(networks: &[Inhabited]) {
    for from in networks {
        for to in networks {
            if from.network.meta.id == to.network.meta.id {
                continue;
            }
            let (here, there) = (&from.network.meta.name, &to.network.meta.name);
            assert!(!pings(&from.host, to.address()), "{here} reaches {there}");
        }
        assert!(pings(&from.host, from.router()));
    }
}

fn id(network: &Network) -> rhyzome_model::NetworkId {
    rhyzome_model::NetworkId(network.meta.id)
}

/// The prepared disk, carried by a kernel, as an instance with slots for network cards.
async fn start_router(world: &World, scope: &Scope, machine: &Hypervisor, disk: &Path) -> Instance {
    let initrd = world.path("router.img");
    carry(world, disk, &initrd);
    let image = ImageSpec {
        digest: upload(scope, &programs::linux("vmlinuz")).await,
        initrd: Some(upload(scope, &initrd).await),
        command_line: LINE.to_owned(),
    };
    let gw = name("gw");
    let made = scope.image().create(&gw, image, None).await;
    made.unwrap_or_else(|error| panic!("the router's image: {error}"));
    let attached = BRIDGES
        .iter()
        .zip(MACS)
        .map(|((bridge, _), mac)| Attachment {
            bridge: name(bridge),
            mac: Some(mac.parse().expect("a MAC")),
        });
    let spec = serde_json::from_value(json!({ "image": "gw" })).expect("the rest is left out");
    let spec = InstanceSpec {
        memory: Size::mib(512),
        bridges: attached.collect(),
        card_slots: SLOTS,
        disk: Some(Size::mib(96)),
        host: Some(machine.name.clone()),
        ..spec
    };
    let made = scope.instance().create(&gw, spec, Some(READY)).await;
    made.unwrap_or_else(|error| panic!("the router: {error}"))
}

/// A RAM disk with another one in front, which puts a disk in place (Documentation/driver-api/early-userspace/buffer-format.rst).
fn carry(world: &World, disk: &Path, to: &Path) {
    let folder = world.path("carried");
    fs::create_dir(&folder).expect("the folder is ours");
    fs::rename(disk, folder.join("disk")).expect("it is beside");
    fs::write(folder.join("first"), FIRST).expect("there is room");
    let mut lab = fs::read(programs::linux("lab.img")).expect("it was just there");
    let script = format!(
        "chmod +x {0}/first && cd {0} && printf 'disk\\nfirst\\n' | busybox cpio -o -H newc",
        folder.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let archive = command.output().expect("the shell is there").stdout;
    lab.resize(lab.len().next_multiple_of(4), 0);
    lab.extend(archive);
    fs::write(to, lab).expect("there is room");
}
