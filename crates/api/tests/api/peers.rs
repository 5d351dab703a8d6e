//! Peers, given networks and taken from them.

use serde_json::json;

use crate::{DEFAULT, Site};

const KEY: &str = "mEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=";

#[tokio::test]
async fn a_peers_removal_says_when_it_was_asked_and_when_it_was_applied() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    site.network("dmz").await;
    let body = json!({"name": "laptop", "spec": {"public_key": KEY, "networks": ["lan", "dmz"]}});
    let call = admin.post(&format!("{DEFAULT}/peers?wait=30s")).json(&body);
    let made = call.await.status(201).json();
    assert_eq!(made["status"]["phase"], "ready", "{made}");
    assert!(
        made["status"]["networks"][0]["endpoint"]["public_key"].is_string(),
        "{made}"
    );
    let path = format!("{DEFAULT}/peers/laptop");
    let gone = admin
        .delete(&format!("{path}?wait=30s"))
        .await
        .status(200)
        .json();
    let networks = gone["status"]["networks"].as_array().expect("networks");
    assert_eq!(networks.len(), 2, "{gone}");
    for network in networks {
        let asked = network["asked_at"].as_str().expect("when it was asked");
        let applied = network["applied_at"].as_str().expect("when it was applied");
        assert!(asked <= applied, "{network}");
        assert_eq!(network["ready"], false, "{network}");
    }
    admin.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_peer_is_changed_by_difference() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    site.network("dmz").await;
    let spec = |networks: &[&str]| json!({"public_key": KEY, "networks": networks});
    let body = json!({"name": "laptop", "spec": spec(&["lan"])});
    admin
        .post(&format!("{DEFAULT}/peers?wait=30s"))
        .json(&body)
        .await
        .good();
    let path = format!("{DEFAULT}/peers/laptop?wait=30s");
    let before = site.router.driver.count();
    let both = admin
        .put(&path)
        .json(&json!({"spec": spec(&["lan", "dmz"])}))
        .await
        .good();
    assert_eq!(both["status"]["phase"], "ready", "{both}");
    assert_eq!(site.router.driver.count(), before + 1);
    let none = admin
        .put(&path)
        .json(&json!({"spec": spec(&[])}))
        .await
        .good();
    assert_eq!(none["status"]["networks"], json!([]), "{none}");
    let other = json!({"spec": {"public_key": KEY.replace('m', "n"), "networks": []}});
    let problem = admin.put(&path).json(&other).await.problem(422, "invalid");
    assert_eq!(problem["field"], "spec.public_key");
}
