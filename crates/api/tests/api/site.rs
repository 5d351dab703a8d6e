//! The site, its projects, components, keys and jobs.

use rhyzome_testkit::{TestCore, wait_for};
use serde_json::json;

use crate::{DEFAULT, Site};

#[tokio::test]
async fn a_site_says_what_it_is_and_who_is_asking() {
    let core = TestCore::start().await;
    let site = core.admin().get("/v1/site").await.good();
    assert_eq!(
        site,
        json!({"name": "rhyzome", "version": env!("CARGO_PKG_VERSION"), "caller": "admin"})
    );
}

#[tokio::test]
async fn a_revoked_component_is_gone_at_once_and_can_be_forgotten() {
    let site = Site::start().await;
    let admin = site.core.admin();
    let revoked = admin.post("/v1/components/host/revoke").await.good();
    assert_eq!(revoked["revoked"], true);
    site.hypervisor.wait_connected(&admin, false).await;
    admin.delete("/v1/components/host").await.status(204);
    admin
        .get("/v1/components/host")
        .await
        .problem(404, "not_found");
    admin.get("/v1/components/router").await.good();
}

#[tokio::test]
async fn a_components_labels_are_changed_and_its_facts_are_shown() {
    let site = Site::start().await;
    let admin = site.core.admin();
    let body = json!({"spec": {"labels": {"room": "attic"}}});
    let changed = admin.put("/v1/components/host").json(&body).await.good();
    assert_eq!(
        (&changed["spec"]["labels"]["room"], &changed["generation"]),
        (&json!("attic"), &json!(2))
    );
    assert_eq!(changed["facts"]["cpus"], 16, "{changed}");
    assert_eq!(changed["seen_from"], "127.0.0.1", "{changed}");
    let listed = admin.get("/v1/components").await.good();
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
}

#[tokio::test]
async fn a_component_that_comes_back_is_connected_again() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    let stopped = site.router.stop().await;
    stopped.wait_connected(&admin, false).await;
    let made = admin
        .post(&format!("{DEFAULT}/networks"))
        .json(&json!({"name": "dmz", "spec": {"router": "router"}}));
    made.await.status(201);
    let router = stopped.start(&admin).await;
    let seen = admin
        .get(&format!("{DEFAULT}/networks/dmz?wait=30s"))
        .await
        .good();
    assert_eq!(seen["status"]["phase"], "ready", "{seen}");
    assert_eq!(router.driver.count(), 2);
}

#[tokio::test]
async fn jobs_are_shown_to_their_project_and_to_the_site() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    let jobs = admin.get(&format!("{DEFAULT}/jobs")).await.good();
    let job = &jobs["items"][0];
    assert_eq!(
        (&job["resource_name"], &job["state"]),
        (&json!("lan"), &json!("done")),
        "{jobs}"
    );
    let id = job["id"].as_str().expect("an id");
    assert_eq!(
        admin.get(&format!("{DEFAULT}/jobs/{id}")).await.good()["id"],
        id
    );
    assert_eq!(admin.get(&format!("/v1/jobs/{id}")).await.good()["id"], id);
    admin
        .post("/v1/projects")
        .json(&json!({"name": "other"}))
        .await
        .good();
    admin
        .get(&format!("/v1/projects/other/jobs/{id}"))
        .await
        .problem(404, "not_found");
    assert_eq!(
        admin.get("/v1/projects/other/jobs").await.good()["items"],
        json!([])
    );
}

#[tokio::test]
async fn nothing_of_one_project_is_seen_from_another() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    admin
        .post("/v1/projects")
        .json(&json!({"name": "other"}))
        .await
        .good();
    admin
        .get("/v1/projects/other/networks/lan")
        .await
        .problem(404, "not_found");
    assert_eq!(
        admin.get("/v1/projects/other/networks").await.good()["items"],
        json!([])
    );
    admin
        .delete("/v1/projects/other/networks/lan")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn keys_are_added_shown_and_removed() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let keys = format!("{DEFAULT}/ssh-keys");
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@x";
    let body = json!({"name": "me", "spec": {"public_key": key}});
    let made = admin.post(&keys).json(&body).await.status(201).json();
    assert!(
        made["fingerprint"]
            .as_str()
            .is_some_and(|text| text.starts_with("SHA256:")),
        "{made}"
    );
    let wrong = json!({"name": "you", "spec": {"public_key": "ssh-ed25519 ???"}});
    let problem = admin.post(&keys).json(&wrong).await.problem(422, "invalid");
    assert_eq!(problem["field"], "spec.public_key");
    admin.delete(&format!("{keys}/me")).await.status(204);
    wait_for("no key", async || {
        (admin.get(&keys).await.good()["items"] == json!([])).then_some(())
    })
    .await;
}
