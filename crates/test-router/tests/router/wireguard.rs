//! WireGuard interfaces. The keys are any 32 bytes.

use rhyzome_test_router::{Release, Router};

const KEY: &str = "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gMTI=";
const PEER: &str = "d29ybGQgd29ybGQgd29ybGQgd29ybGQgd29ybGQgMTI=";
const OTHER: &str = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgMTI=";

/// A router with a WireGuard interface that has a peer.
fn router(release: Release) -> Router {
    let router = Router::builder().release(release).start();
    uci(&router, "set network.wg0=interface");
    uci(&router, "set network.wg0.proto=wireguard");
    uci(&router, &format!("set network.wg0.private_key={KEY}"));
    uci(&router, "set network.wg0.listen_port=51820");
    uci(&router, "add_list network.wg0.addresses=10.9.0.1/24");
    add_peer(&router, "one", PEER, "10.9.0.2/32");
    reload(&router);
    router.wait_for("the interface is up", |router| dump(router).contains(PEER));
    router
}

fn uci(router: &Router, words: &str) {
    router.output(std::iter::once("uci").chain(words.split(' ')));
}

fn add_peer(router: &Router, name: &str, key: &str, prefix: &str) {
    uci(router, &format!("set network.{name}=wireguard_wg0"));
    uci(router, &format!("set network.{name}.public_key={key}"));
    uci(
        router,
        &format!("add_list network.{name}.allowed_ips={prefix}"),
    );
}

/// Commits, and reloads until netifd must have seen it: an interface that is new is there.
fn reload(router: &Router) {
    let marker = format!(
        "seen{}",
        dump_all(router).matches("\"interface\": \"seen").count()
    );
    uci(router, &format!("set network.{marker}=interface"));
    uci(router, &format!("set network.{marker}.proto=none"));
    uci(router, "commit network");
    router.output(["ubus", "call", "network", "reload"]);
    router.wait_for("the reload is done", |router| {
        dump_all(router).contains(&marker)
    });
}

fn dump_all(router: &Router) -> String {
    router.output(["ubus", "call", "network.interface", "dump"])
}

fn dump(router: &Router) -> String {
    let output = router.run(["wg", "show", "wg0", "dump"]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_reload_applies_no_peers_until_the_interface_is_made_anew() {
    let router = router(Release::V24_10);
    add_peer(&router, "two", OTHER, "10.9.0.3/32");
    uci(&router, "delete network.one");
    reload(&router);
    router.output(["ubus", "call", "network.interface.wg0", "renew"]);
    reload(&router);
    let peers = dump(&router);
    assert!(peers.contains(PEER) && !peers.contains(OTHER), "{peers}");
    router.output(["ifup", "wg0"]);
    router.wait_for("the peers are those of the file", |router| {
        let peers = dump(router);
        !peers.contains(PEER) && peers.contains(OTHER)
    });
}

#[test]
fn one_bad_key_takes_the_interface_down_and_nothing_says_why_but_the_log() {
    let router = router(Release::V24_10);
    add_peer(&router, "bad", "not-a-key", "10.9.0.4/32");
    reload(&router);
    assert!(dump(&router).contains(PEER));
    router.output(["ifup", "wg0"]);
    router.wait_for("the interface is pending", |router| {
        let status = router.output(["ifstatus", "wg0"]);
        status.contains("\"pending\": true") && status.contains("\"errors\": []")
    });
    assert_eq!(dump(&router), "");
    let log = router.output(["logread"]);
    assert!(log.contains("Interface 'wg0' setup failed"), "{log}");
}

#[test]
fn a_renewal_applies_peers_in_the_later_release() {
    let router = router(Release::V25_12);
    add_peer(&router, "two", OTHER, "10.9.0.3/32");
    reload(&router);
    assert!(!dump(&router).contains(OTHER));
    router.output(["ubus", "call", "network.interface.wg0", "renew"]);
    router.wait_for("the peer is there", |router| dump(router).contains(OTHER));
}

#[test]
fn a_key_that_is_to_be_generated_commits_what_others_left_uncommitted() {
    let router = router(Release::V24_10);
    uci(&router, "set network.wg1=interface");
    uci(&router, "set network.wg1.proto=wireguard");
    uci(&router, "set network.wg1.private_key=generate");
    uci(&router, "commit network");
    uci(&router, "set network.lan.metric=7");
    router.output(["ubus", "call", "network", "reload"]);
    router.wait_for("there is a key", |router| {
        let text = std::fs::read_to_string(router.path("/etc/config/network"));
        text.is_ok_and(|text| !text.contains("generate") && text.contains("metric '7'"))
    });
}
