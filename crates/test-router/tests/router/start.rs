//! A router that has started.

use rhyzome_test_router::Router;

#[test]
fn a_router_starts_with_its_networks() {
    let router = Router::start();
    let status = router.output(["ubus", "call", "network.interface.lan", "status"]);
    assert!(status.contains("\"up\": true"), "{status}");
    let addresses = router.output(["ip", "addr", "show", "br-lan"]);
    assert!(addresses.contains("192.168.1.1/24"), "{addresses}");
    let table = router.output(["nft", "list", "table", "inet", "fw4"]);
    assert!(table.contains("chain input_lan"), "{table}");
    router.wait_for("dnsmasq runs", |router| {
        let said = router.output(["ubus", "call", "service", "list", r#"{"name":"dnsmasq"}"#]);
        said.contains("\"running\": true")
    });
}
