//! ubus and rpcd: what calls end with.

use std::fs;

use rhyzome_test_router::{Fault, Router};

/// What a call ends with, and what it says.
fn call(router: &Router, object: &str, method: &str, arguments: &str) -> (i32, String) {
    let output = router.run(["ubus", "-S", "call", object, method, arguments]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("it ends by itself"), text)
}

fn uci(router: &Router, method: &str, arguments: &str) -> i32 {
    call(router, "uci", method, arguments).0
}

fn mtu(router: &Router) -> String {
    let text = fs::read_to_string(router.path("/etc/config/network")).expect("there is the file");
    let line = text
        .lines()
        .find(|line| line.contains("mtu"))
        .unwrap_or_default();
    line.trim().to_owned()
}

/// A session that may write everything, whose id is the first one's.
fn session(router: &Router) -> String {
    let (code, text) = call(router, "session", "create", "{}");
    assert_eq!(code, 0, "{text}");
    let id = text
        .split('"')
        .find(|word| word.len() == 32)
        .expect("it has an id")
        .to_owned();
    let grant = format!(r#"{{"ubus_rpc_session":"{id}","scope":"uci","objects":[["*","write"]]}}"#);
    assert_eq!(call(router, "session", "grant", &grant).0, 0);
    id
}

fn set(router: &Router, id: &str, value: &str) -> i32 {
    let words = format!(
        r#"{{"ubus_rpc_session":"{id}","config":"network","section":"lan","values":{{"mtu":{value}}}}}"#
    );
    uci(router, "set", &words)
}

fn apply(router: &Router, id: &str, rollback: bool, timeout: u32) -> i32 {
    let words =
        format!(r#"{{"ubus_rpc_session":"{id}","rollback":{rollback},"timeout":{timeout}}}"#);
    uci(router, "apply", &words)
}

#[test]
fn a_call_that_fails_ends_with_256_less_its_status() {
    let router = Router::start();
    assert_eq!(call(&router, "nobody", "get", "{}").0, 4);
    assert_eq!(uci(&router, "get", "{}"), 254);
    assert_eq!(uci(&router, "get", r#"{"config":"nothing"}"#), 252);
    assert_eq!(
        call(
            &router,
            "uci",
            "get",
            r#"{"config":"network","section":"no"}"#
        ),
        (0, String::new())
    );
    assert_eq!(
        uci(
            &router,
            "set",
            r#"{"config":"network","section":"lan","values":{"mtu":1.5}}"#
        ),
        254
    );
    assert_eq!(
        uci(
            &router,
            "set",
            r#"{"config":"network","section":"lan","values":{"mtu":null}}"#
        ),
        254
    );
    assert_eq!(uci(&router, "apply", "{}"), 254);
}

#[test]
fn there_may_be_no_bus_or_no_answer() {
    let router = Router::start();
    router.fault(Fault::NoUbus);
    assert_eq!(router.run(["ubus", "list"]).status.code(), Some(255));
    router.mend(Fault::NoUbus);
    router.fault(Fault::UbusHangs);
    let words = ["ubus", "-t", "1", "call", "network", "reload"];
    assert_eq!(router.run(words).status.code(), Some(7));
    router.mend(Fault::UbusHangs);
    router.fault(Fault::NoRpcd);
    assert_eq!(uci(&router, "configs", "{}"), 4);
    router.mend(Fault::NoRpcd);
    assert_eq!(uci(&router, "configs", "{}"), 0);
    let bare = Router::builder().rpcd(false).start();
    assert_eq!(uci(&bare, "configs", "{}"), 4);
    assert!(!bare.path("/sbin/rpcd").exists());
}

#[test]
fn a_session_neither_takes_nor_loses_what_the_operator_left_uncommitted() {
    let router = Router::start();
    router.output(["uci", "set", "network.lan.metric=7"]);
    let id = session(&router);
    assert_eq!(set(&router, &id, "1400"), 0);
    assert_eq!(mtu(&router), "");
    assert_eq!(apply(&router, &id, false, 0), 0);
    assert_eq!(mtu(&router), "option mtu '1400'");
    let text = fs::read_to_string(router.path("/etc/config/network")).unwrap();
    assert!(!text.contains("metric"), "{text}");
    assert!(
        router
            .output(["uci", "changes"])
            .contains("network.lan.metric='7'")
    );
}

#[test]
fn what_is_not_confirmed_is_rolled_back_and_reloaded() {
    let router = Router::start();
    let id = session(&router);
    let confirm = format!(r#"{{"ubus_rpc_session":"{id}"}}"#);
    assert_eq!(set(&router, &id, "1400"), 0);
    assert_eq!(apply(&router, &id, true, 30), 0);
    assert_eq!(uci(&router, "confirm", &confirm), 0);
    assert_eq!(uci(&router, "confirm", &confirm), 251);
    assert_eq!(set(&router, &id, "1300"), 0);
    assert_eq!(apply(&router, &id, true, 1), 0);
    assert_eq!(apply(&router, &id, true, 1), 250);
    assert_eq!(uci(&router, "commit", r#"{"config":"system"}"#), 250);
    router.wait_for("it is as it was", |router| {
        mtu(router) == "option mtu '1400'"
    });
}

#[test]
fn an_end_of_rpcd_or_a_second_apply_loses_the_way_back() {
    let router = Router::start();
    let id = session(&router);
    assert_eq!(set(&router, &id, "1400"), 0);
    assert_eq!(apply(&router, &id, true, 1), 0);
    router.output(["/etc/init.d/rpcd", "restart"]);
    router.wait_for("rpcd is there again", |router| {
        uci(router, "configs", "{}") == 0
    });
    let id = session(&router);
    assert_eq!(set(&router, &id, "1300"), 0);
    assert_eq!(apply(&router, &id, true, 1), 0);
    assert_eq!(set(&router, &id, "1200"), 0);
    assert_eq!(apply(&router, &id, false, 0), 0);
    let rollback = format!(r#"{{"ubus_rpc_session":"{id}"}}"#);
    assert_eq!(uci(&router, "rollback", &rollback), 251);
    assert_eq!(mtu(&router), "option mtu '1200'");
}

#[test]
fn a_session_without_a_list_of_rights_is_refused() {
    let router = Router::start();
    router.fault(Fault::NoAcl);
    let id = session(&router);
    assert_eq!(set(&router, &id, "1400"), 250);
    router.mend(Fault::NoAcl);
    assert_eq!(set(&router, &id, "1400"), 0);
}

#[test]
fn a_commit_over_the_bus_reloads_and_one_by_hand_does_not() {
    let router = Router::start();
    let has = |router: &Router| {
        let table = router.output(["nft", "list", "table", "inet", "fw4"]);
        table.contains("!fw4: Web")
    };
    let add = r#"{"config":"firewall","type":"rule","values":{"name":"Web","src":"lan","target":"ACCEPT"}}"#;
    assert_eq!(uci(&router, "add", add), 0);
    router.output(["uci", "commit", "firewall"]);
    assert!(!has(&router));
    assert_eq!(uci(&router, "commit", r#"{"config":"firewall"}"#), 0);
    router.wait_for("the rule is there", has);
}
