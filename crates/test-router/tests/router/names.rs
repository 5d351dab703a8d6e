//! dnsmasq: one entry that is wrong, and there is no DHCP and no DNS.

use rhyzome_test_router::{Fault, Router};

fn is_running(router: &Router) -> bool {
    let said = router.output(["ubus", "call", "service", "list", r#"{"name":"dnsmasq"}"#]);
    said.contains("\"running\": true")
}

fn add_host(router: &Router, name: &str, mac: &str, ip: &str) {
    for word in [
        format!("dhcp.{name}=host"),
        format!("dhcp.{name}.name={name}"),
        format!("dhcp.{name}.mac={mac}"),
        format!("dhcp.{name}.ip={ip}"),
    ] {
        router.output(["uci", "set", &word]);
    }
    router.output(["uci", "commit", "dhcp"]);
    router.output(["/etc/init.d/dnsmasq", "reload"]);
}

fn check_down_after(mac: &str, ip: &str) {
    let router = Router::start();
    router.wait_for("dnsmasq runs", is_running);
    add_host(&router, "one", "52:54:00:00:00:01", "192.168.1.50");
    router.wait_for("dnsmasq runs with a host", is_running);
    add_host(&router, "two", mac, ip);
    router.wait_for("dnsmasq is down", |router| !is_running(router));
}

#[test]
fn the_same_address_in_two_hosts_ends_dnsmasq() {
    check_down_after("52:54:00:00:00:02", "192.168.1.50");
}

#[test]
fn a_bad_mac_ends_dnsmasq() {
    check_down_after("52:54:00:00:00:zz:qq", "192.168.1.51");
}

#[test]
fn names_of_the_package_are_answered() {
    let router = Router::start();
    router.output(["uci", "set", "dhcp.web=domain"]);
    router.output(["uci", "set", "dhcp.web.name=web.lab.internal"]);
    router.output(["uci", "set", "dhcp.web.ip=10.1.0.9"]);
    router.output(["uci", "commit", "dhcp"]);
    router.output(["reload_config"]);
    router.neighbour(0).ip("addr add 192.168.1.7/24 dev wire");
    router.wait_for("the name is answered", |router| {
        let words = ["busybox", "nslookup", "web.lab.internal", "192.168.1.1"];
        let output = router.neighbour(0).run(words);
        String::from_utf8_lossy(&output.stdout).contains("10.1.0.9")
    });
}

#[test]
fn dnsmasq_may_be_made_to_crash_or_to_be_left_alone() {
    let router = Router::start();
    router.fault(Fault::DnsmasqIgnored);
    add_host(&router, "one", "52:54:00:00:00:01", "192.168.1.50");
    let conf = "/var/etc/dnsmasq.conf.cfg01411c";
    assert!(!router.output(["cat", conf]).contains("192.168.1.50"));
    router.mend(Fault::DnsmasqIgnored);
    router.fault(Fault::DnsmasqCrashes);
    router.output(["/etc/init.d/dnsmasq", "restart"]);
    router.wait_for("dnsmasq is down", |router| !is_running(router));
    router.mend(Fault::DnsmasqCrashes);
    router.output(["/etc/init.d/dnsmasq", "restart"]);
    router.wait_for("dnsmasq runs", is_running);
}
