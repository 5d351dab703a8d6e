//! fw4: what it does not understand it leaves out, and ends well.

use rhyzome_test_router::{Fault, Router};

fn set(router: &Router, words: &str) {
    for word in words.split_whitespace() {
        router.output(["uci", "set", &format!("firewall.{word}")]);
    }
    router.output(["uci", "commit", "firewall"]);
}

fn table(router: &Router) -> String {
    router.output(["nft", "list", "table", "inet", "fw4"])
}

/// What `fw4 check` says, which ends well.
fn check(router: &Router) -> String {
    let output = router.run(["fw4", "check"]);
    assert!(output.status.success());
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_rule_that_is_not_understood_is_left_out_and_said() {
    let router = Router::start();
    assert_eq!(check(&router), "Ruleset passes nftables check.\n");
    set(
        &router,
        "web=rule web.name=Web web.src=lan web.proto=tcp web.dest_port=80 web.target=ACCEPT",
    );
    assert_eq!(check(&router), "Ruleset passes nftables check.\n");
    set(&router, "web.dest_port=99999");
    let said = check(&router);
    assert!(
        said.contains("[!] Section web (Web) option 'dest_port' specifies invalid value '99999'"),
        "{said}"
    );
    assert!(
        said.contains("[!] Section web (Web) skipped due to invalid options"),
        "{said}"
    );
    router.output(["fw4", "reload"]);
    assert!(!table(&router).contains("!fw4: Web"));
    set(&router, "web.dest_port=80 web.colour=red");
    assert!(check(&router).contains("[!] Section web (Web) specifies unknown option 'colour'"));
    router.output(["fw4", "reload"]);
    let table = table(&router);
    assert!(
        table.contains("tcp dport 80") && table.contains("accept comment \"!fw4: Web\""),
        "{table}"
    );
}

#[test]
fn a_zone_that_is_left_out_takes_its_rules_along() {
    let router = Router::start();
    set(
        &router,
        "dmz=zone dmz.name=dm:z web=rule web.src=dm:z web.target=ACCEPT",
    );
    let said = check(&router);
    assert!(
        said.contains("[!] Section dmz (dm:z)") && said.contains("[!] Section web option 'src'"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_read_closes_the_router() {
    let router = Router::start();
    std::fs::write(router.path("/etc/config/firewall"), "config 'unclosed").unwrap();
    assert_eq!(check(&router), "Ruleset passes nftables check.\n");
    router.output(["fw4", "reload"]);
    let table = table(&router);
    assert!(
        table.contains("hook input priority filter; policy drop"),
        "{table}"
    );
    assert!(!table.contains("jump input_lan"), "{table}");
}

#[test]
fn the_chains_of_a_zone_that_is_gone_stay_without_their_rules() {
    let router = Router::start();
    set(
        &router,
        "dmz=zone dmz.name=dmz dmz.network=nowhere dmz.input=ACCEPT",
    );
    assert_eq!(check(&router), "Ruleset passes nftables check.\n");
    router.output(["fw4", "reload"]);
    assert!(
        router
            .output(["nft", "list", "chain", "inet", "fw4", "input_dmz"])
            .contains("jump")
    );
    router.output(["uci", "delete", "firewall.dmz"]);
    router.output(["uci", "commit", "firewall"]);
    router.output(["fw4", "reload"]);
    assert!(
        !router
            .output(["nft", "list", "chain", "inet", "fw4", "input_dmz"])
            .contains("jump")
    );
}

#[test]
fn a_reload_may_leave_everything_as_it_is() {
    let router = Router::start();
    set(
        &router,
        "web=rule web.name=Web web.src=lan web.target=ACCEPT",
    );
    router.fault(Fault::FirewallIgnored);
    router.output(["fw4", "reload"]);
    assert!(!table(&router).contains("!fw4: Web"));
    router.mend(Fault::FirewallIgnored);
    router.fault(Fault::FirewallSkips);
    assert!(check(&router).contains("[!] Section web (Web)"));
    router.output(["fw4", "reload"]);
    assert!(!table(&router).contains("!fw4: Web"));
    router.mend(Fault::FirewallSkips);
    router.output(["fw4", "reload"]);
    assert!(table(&router).contains("!fw4: Web"));
}

#[test]
fn a_port_is_redirected_and_an_address_translated() {
    let router = Router::start();
    set(
        &router,
        "web=redirect web.name=Web web.src=wan web.dest=lan web.proto=tcp web.src_dport=8080 web.dest_ip=192.168.1.7 \
         web.dest_port=80 web.target=DNAT out=nat out.src=wan out.src_ip=10.1.0.0/24 out.proto=all out.target=MASQUERADE",
    );
    assert_eq!(check(&router), "Ruleset passes nftables check.\n");
    router.output(["fw4", "reload"]);
    let table = table(&router);
    assert!(table.contains("dnat ip to 192.168.1.7:80"), "{table}");
    assert!(
        table.contains("ip saddr 10.1.0.0/24") && table.contains("masquerade"),
        "{table}"
    );
}
