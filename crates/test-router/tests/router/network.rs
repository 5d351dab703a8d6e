//! netifd: everything ends well, and is done later, or not at all.

use rhyzome_test_router::{Fault, Router};

const STATUS: [&str; 4] = ["ubus", "call", "network.interface.dmz", "status"];

/// Adds an interface on a bridge of its own, and reloads.
fn add(router: &Router, address: &str) {
    for words in [
        "network.dmz_dev=device",
        "network.dmz_dev.type=bridge",
        "network.dmz_dev.name=br-dmz",
        "network.dmz=interface",
        "network.dmz.proto=static",
        "network.dmz.device=br-dmz",
        &format!("network.dmz.ipaddr={address}"),
    ] {
        router.output(["uci", "set", words]);
    }
    reload(router);
}

fn reload(router: &Router) {
    router.output(["uci", "commit", "network"]);
    router.output(["ubus", "call", "network", "reload"]);
}

fn says(router: &Router, text: &str) -> bool {
    let output = router.run(STATUS);
    String::from_utf8_lossy(&output.stdout).contains(text)
}

#[test]
fn a_reload_is_answered_before_it_is_done() {
    let router = Router::start();
    router.fault(Fault::ReloadLate);
    add(&router, "10.5.0.1/24");
    assert!(!says(&router, "up"));
    router.wait_for("the interface is up", |router| says(router, "\"up\": true"));
    assert!(
        router
            .output(["ip", "addr", "show", "br-dmz"])
            .contains("10.5.0.1/24")
    );
    router.output(["uci", "delete", "network.dmz"]);
    router.output(["uci", "delete", "network.dmz_dev"]);
    reload(&router);
    router.wait_for("the bridge is gone", |router| {
        !router.path("/sys/class/net/br-dmz").exists()
    });
}

#[test]
fn a_reload_that_is_ignored_ends_well() {
    let router = Router::start();
    router.fault(Fault::ReloadIgnored);
    add(&router, "10.5.0.1/24");
    router.mend(Fault::ReloadIgnored);
    assert!(!says(&router, "up"));
    reload(&router);
    router.wait_for("the interface is up", |router| says(router, "\"up\": true"));
}

#[test]
fn what_is_wrong_is_said_in_the_status_alone() {
    let router = Router::start();
    add(&router, "10.5.0.300/24");
    router.wait_for("the address is refused", |router| {
        says(router, "INVALID_ADDRESS")
    });
    router.output(["uci", "set", "network.dmz.ipaddr=10.5.0.1"]);
    reload(&router);
    router.wait_for("an address without a netmask stands alone", |router| {
        says(router, "\"mask\": 32")
    });
    router.output(["uci", "set", "network.dmz.device=eth77"]);
    reload(&router);
    router.wait_for("the device is missing", |router| says(router, "NO_DEVICE"));
    router.output(["uci", "set", "network.dmz.proto=nonsense"]);
    reload(&router);
    router.wait_for("it is up without one", |router| {
        says(router, "NO_DEVICE") || says(router, "\"up\": true")
    });
}

#[test]
fn a_file_that_cannot_be_read_changes_nothing_until_the_next_start() {
    let mut router = Router::start();
    let path = router.path("/etc/config/network");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\nconfig 'unclosed")).unwrap();
    router.output(["ubus", "call", "network", "reload"]);
    // The reload that comes behind it is done, when this has been.
    router.output(["ifup", "lan"]);
    router.wait_for("the LAN is up again", |router| {
        router
            .output(["ubus", "call", "network.interface.lan", "status"])
            .contains("\"up\": true")
    });
    router.reboot();
    assert!(!router.path("/sys/class/net/br-lan").exists());
}

#[test]
fn a_tunnel_between_hosts_carries_packets() {
    let router = Router::start();
    for words in [
        "network.vx=interface",
        "network.vx.proto=vxlan",
        "network.vx.ipaddr=192.0.2.1",
        "network.vx.vid=7",
        "network.vx.port=4789",
        "network.vx.learning=0",
        "network.end=vxlan_peer",
        "network.end.vxlan=vx",
        "network.end.dst=192.0.2.9",
        "network.inner=interface",
        "network.inner.proto=static",
        "network.inner.device=vx",
        "network.inner.ipaddr=10.6.0.1/24",
        "firewall.inner=zone",
        "firewall.inner.name=inner",
        "firewall.inner.network=inner",
        "firewall.inner.input=ACCEPT",
        "firewall.vxlan=rule",
        "firewall.vxlan.src=wan",
        "firewall.vxlan.proto=udp",
        "firewall.vxlan.dest_port=4789",
        "firewall.vxlan.target=ACCEPT",
    ] {
        router.output(["uci", "set", words]);
    }
    router.output(["uci", "commit"]);
    router.output(["reload_config"]);
    let host = router.neighbour(1);
    host.ip("addr add 192.0.2.9/24 dev wire");
    host.ip("link add vx7 type vxlan id 7 local 192.0.2.9 remote 192.0.2.1 dstport 4789");
    host.ip("addr add 10.6.0.9/24 dev vx7");
    host.ip("link set vx7 up");
    router.wait_for("the other end answers", |router| {
        let words = ["busybox", "ping", "-c", "1", "-W", "1", "10.6.0.1"];
        router.neighbour(1).run(words).status.success()
    });
}
