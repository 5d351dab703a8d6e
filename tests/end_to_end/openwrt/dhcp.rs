//! What the appliance gives by DHCP, and to whom.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rhyzome_client::Scope;
use rhyzome_end_to_end::appliance::Appliance;
use rhyzome_end_to_end::operator::{READY, name};
use rhyzome_end_to_end::simulated::Simulated;
use rhyzome_end_to_end::trunk::LINK;
use rhyzome_end_to_end::{Operator, Place, World, host, wait_for};
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::resource::Network;

use super::vlan;
use crate::tenants::{running, spec};

/// What udhcpc calls with what it got.
const SCRIPT: &str = "#!/bin/sh
[ \"$1\" != bound ] || echo \"bound: $ip/$mask router $router dns $dns search $search server $serverid\"
";

/// An instance's address is given to who has its MAC in its network's VLAN, and to nobody else.
pub async fn an_instance_gets_its_address_from_the_router(
    world: &World,
    operator: &Operator,
    scope: &Scope,
    appliance: &Appliance,
    [red, blue]: [&Network; 2],
) {
    let hypervisor = Simulated::hypervisor(world, operator).await;
    let (web, spec) = (name("web"), spec(red.meta.name.as_str(), ""));
    let on = InstanceSpec {
        host: Some(hypervisor.name.clone()),
        command_line: None,
        ..spec
    };
    let made = scope.instance().create(&web, on, Some(READY)).await;
    made.unwrap_or_else(|error| panic!("{error}\n{}", appliance.tell()));
    let instance = running(scope, &web).await;
    let [interface] = instance.status.interfaces.as_slice() else {
        panic!("it has one network")
    };
    let client = Client::new(world);
    let mac = interface.mac.to_string();
    let plugged = [
        ("d", red, mac.as_str()),
        ("e", blue, &mac),
        ("f", red, "02:00:00:00:00:11"),
    ];
    let [own, elsewhere, another] = plugged.map(|(letter, network, mac)| {
        let place = Place::new(format!("{}{letter}", world.core.name()));
        appliance.trunk.plug(&place, Some(vlan(network)), mac);
        place
    });
    let router = red.status.router_ipv4;
    let bound = format!(
        "bound: {}/{} router {router} dns {router} search {} server {router}",
        interface.ipv4,
        red.status.ipv4.prefix_len(),
        red.status.domain,
    );
    let said = wait_for("the instance gets an address", READY, async || {
        client.asks(&own)
    })
    .await;
    assert_eq!(said, bound);
    assert_eq!(client.asks(&elsewhere), None, "in another network's VLAN");
    assert_eq!(client.asks(&another), None, "another MAC");
    assert_eq!(client.asks(&own).as_ref(), Some(&bound));
    world.say("an instance's MAC gets its address in its network's VLAN, and nothing in another");

    own.ip(&format!(
        "address add {}/{} dev {LINK}",
        interface.ipv4,
        red.status.ipv4.prefix_len()
    ));
    let answer = looked_up(&own, &interface.dns_name, router);
    assert!(
        answer.contains(&interface.ipv4.to_string()),
        "{}: {answer}",
        interface.dns_name
    );
    world.say("the router knows the instance's name");
    let deleted = scope.instance().delete(&web, None, Some(READY)).await;
    deleted.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(client.asks(&own), None, "the instance is gone");
    world.say("a MAC that was an instance's gets nothing");
}

/// A DHCP client.
struct Client {
    script: PathBuf,
}

impl Client {
    fn new(world: &World) -> Self {
        let script = world.path("udhcpc");
        std::fs::write(&script, SCRIPT).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { script }
    }

    /// What it gets, if it gets anything.
    fn asks(&self, place: &Place) -> Option<String> {
        let mut command = Command::new("busybox");
        command.args(["udhcpc", "-f", "-q", "-n", "-t", "3", "-T", "1"]);
        command.args(["-O", "search", "-i", LINK, "-s"]);
        command.arg(&self.script as &Path);
        let said = place.run(|| host::finish(command, None)).ok()?;
        let bound = said.lines().find(|line| line.starts_with("bound: "));
        Some(bound.unwrap_or(&said).to_owned())
    }
}

fn looked_up(place: &Place, called: &str, server: Ipv4Addr) -> String {
    let mut command = Command::new("busybox");
    command.args(["nslookup", "-type=a", called, &server.to_string()]);
    let answer = place.run(|| host::finish(command, None));
    answer.unwrap_or_else(|error| panic!("{called} {error}"))
}
