//! The real `uci`, and the shared delta.

use std::fs;

use rhyzome_test_router::Router;

#[test]
fn a_batch_ends_well_when_lines_fail_and_commits_the_others() {
    let router = Router::start();
    let script =
        "printf 'set network.lan.mtu=1400\\nset nowhere.no.way=1\\ncommit network\\n' | uci batch";
    let output = router.run(["sh", "-c", script]);
    assert!(output.status.success());
    let text = fs::read_to_string(router.path("/etc/config/network")).unwrap();
    assert!(text.contains("option mtu '1400'"), "{text}");
}

#[test]
fn a_commit_takes_what_others_left_uncommitted_also_from_a_folder_of_its_own() {
    let router = Router::start();
    router.output(["uci", "set", "network.lan.mtu=1400"]);
    router.output(["uci", "-t", "/tmp/own", "set", "network.lan.metric=5"]);
    router.output(["uci", "-t", "/tmp/own", "commit", "network"]);
    let text = fs::read_to_string(router.path("/etc/config/network")).unwrap();
    assert!(
        text.contains("metric '5'") && text.contains("mtu '1400'"),
        "{text}"
    );
}
