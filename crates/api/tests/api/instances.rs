//! An instance's life through the API, on a simulated host.

use rhyzome_testkit::wait_for;
use serde_json::json;

use crate::{DEFAULT, Site};

#[tokio::test]
async fn an_instance_is_made_shown_stopped_started_rebooted_and_removed() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    site.image("hello").await;
    let made = site.instance("web", "lan").await;
    let path = format!("{DEFAULT}/instances/web");
    assert_eq!(made["status"]["host"], "host");
    assert_eq!(made["status"]["observed"]["state"], "running", "{made}");
    let act = async |verb: &str| {
        let changed = admin.post(&format!("{path}/{verb}?wait=30s")).await.good();
        assert_eq!(changed["status"]["phase"], "ready", "{verb}: {changed}");
        changed["status"]["observed"]["state"].clone()
    };
    assert_eq!(act("stop").await, "stopped");
    assert_eq!(act("start").await, "running");
    assert_eq!(act("reboot").await, "running");
    let console = admin.get(&format!("{path}/console?bytes=10")).await;
    assert_eq!(
        console.status(200).header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(console.bytes.len(), 10);
    let why = admin.get(&format!("{path}/why")).await.good();
    assert!(
        why["summary"]
            .as_str()
            .is_some_and(|text| text.contains("host")),
        "{why}"
    );
    assert_eq!(why["placing"][0]["chosen"], true, "{why}");
    let listed = admin.get(&format!("{DEFAULT}/instances")).await.good();
    assert_eq!(listed["items"][0]["name"], "web", "{listed}");
    admin.delete(&format!("{path}?wait=30s")).await.status(204);
    admin.get(&path).await.problem(404, "not_found");
    // Its segment goes after it.
    let left = async || (site.hypervisor.driver.count() == 0).then_some(());
    wait_for("nothing is left on the hypervisor", left).await;
}

#[tokio::test]
async fn what_does_not_run_is_not_rebooted_and_nobody_is_told_to_try_again() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    site.image("hello").await;
    site.instance("web", "lan").await;
    let path = format!("{DEFAULT}/instances/web");
    admin
        .post(&format!("{path}/stop?wait=30s"))
        .await
        .status(200);
    let refused = admin.post(&format!("{path}/reboot")).await;
    refused.problem(409, "wrong_state");
    assert_eq!(refused.header("retry-after"), None);
}

#[tokio::test]
async fn an_instance_has_its_addresses_in_the_answer_to_the_post() {
    let site = Site::start().await;
    site.network("lan").await;
    site.image("hello").await;
    let body = json!({"name": "web", "spec": {"image": "hello", "networks": ["lan"]}});
    let call = site.core.admin().post(&format!("{DEFAULT}/instances"));
    let made = call.json(&body).await.status(201).json();
    let interface = &made["status"]["interfaces"][0];
    assert!(
        interface["ipv4"].is_string() && interface["mac"].is_string(),
        "{made}"
    );
    assert_eq!(
        made["spec"]["memory"], "128MiB",
        "defaults are returned: {made}"
    );
}

#[tokio::test]
async fn a_stop_takes_a_body_or_none() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    site.image("hello").await;
    site.instance("web", "lan").await;
    let stop = format!("{DEFAULT}/instances/web/stop");
    let problem = admin.post(&stop).json(&json!({"forse": true})).await;
    assert_eq!(problem.problem(422, "unknown_field")["field"], "forse");
    let stopped = admin
        .post(&format!("{stop}?wait=30s"))
        .json(&json!({"force": true}))
        .await
        .good();
    assert_eq!(
        stopped["status"]["observed"]["state"], "stopped",
        "{stopped}"
    );
}

#[tokio::test]
async fn what_something_else_needs_is_not_removed() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    site.image("hello").await;
    site.instance("web", "lan").await;
    admin
        .delete(&format!("{DEFAULT}/networks/lan"))
        .await
        .problem(409, "in_use");
    admin
        .delete("/v1/components/host")
        .await
        .problem(409, "in_use");
    admin
        .delete("/v1/components/router")
        .await
        .problem(409, "in_use");
    admin
        .delete("/v1/projects/default")
        .await
        .problem(409, "in_use");
}

#[tokio::test]
async fn what_no_host_has_room_for_is_refused_and_leaves_nothing() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.image("hello").await;
    let spec = json!({"image": "hello", "memory": "900GiB"});
    let call = admin.post(&format!("{DEFAULT}/instances"));
    call.json(&json!({"name": "big", "spec": spec}))
        .await
        .problem(409, "no_capacity");
    admin
        .get(&format!("{DEFAULT}/instances/big"))
        .await
        .problem(404, "not_found");
}
