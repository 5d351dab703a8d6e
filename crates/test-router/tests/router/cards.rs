//! Cards and their cables.

use std::fs;

use rhyzome_test_router::{Neighbour, Router};

const MAC: &str = "52:54:00:aa:01:01";

fn mac_of(router: &Router, name: &str) -> String {
    let path = router.path(format!("/sys/class/net/{name}/address"));
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn answers(neighbour: &Neighbour, address: &str) -> bool {
    let words = ["busybox", "ping", "-c", "1", "-W", "5", address];
    neighbour.run(words).status.success()
}

#[test]
fn packets_go_between_a_router_and_its_neighbour() {
    let mut router = Router::start();
    let ping = |router: &Router| answers(router.neighbour(0), "192.168.1.1");
    router.neighbour(0).ip("addr add 192.168.1.7/24 dev wire");
    router.wait_for("the LAN answers", ping);
    router.reboot();
    router.wait_for("the LAN answers again", ping);
}

#[test]
fn what_comes_in_from_the_uplink_is_refused() {
    let router = Router::start();
    router.neighbour(1).ip("addr add 192.0.2.254/24 dev wire");
    let is_open = |port: &str| {
        let words =
            ["bash", "-c", &format!("exec 3<>/dev/tcp/192.0.2.1/{port}")].map(str::to_owned);
        router.neighbour(1).run(words).status.success()
    };
    router.wait_for("the uplink answers", |router| {
        answers(router.neighbour(1), "192.0.2.1")
    });
    assert!(!is_open("53"));
}

#[test]
fn cards_have_names_by_their_order_at_a_start() {
    let mut router = Router::builder().nics(4).start();
    let (second, third) = (mac_of(&router, "eth2"), mac_of(&router, "eth3"));
    router.unplug(&second);
    assert!(!router.path("/sys/class/net/eth2").exists());
    assert_eq!(mac_of(&router, "eth3"), third);
    router.reboot();
    assert_eq!(mac_of(&router, "eth2"), third);
    router.plug(MAC);
    assert_eq!(mac_of(&router, "eth3"), MAC);
}

#[test]
fn a_port_that_is_plugged_in_later_joins_its_bridge() {
    let mut router = Router::start();
    router.output(["uci", "add_list", "network.@device[0].ports=eth3"]);
    router.output(["uci", "commit", "network"]);
    router.output(["ubus", "call", "network", "reload"]);
    router.plug(MAC);
    router.wait_for("the card is in the bridge", |router| {
        router
            .output([
                "ubus",
                "call",
                "network.device",
                "status",
                r#"{"name":"br-lan"}"#,
            ])
            .contains("eth3")
    });
}

#[test]
fn nothing_of_a_router_is_left_when_it_goes() {
    let router = Router::start();
    let init = router.path("/");
    let pid = init.components().nth(2).unwrap().as_os_str().to_owned();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _router = router;
        panic!("a test that fails");
    }));
    assert!(caught.is_err());
    assert!(!std::path::Path::new("/proc").join(pid).exists());
    assert!(!init.exists());
}
