//! The audit log through the API: whose it is, what is in it and what is not, and that it is sealed.

use reqwest::Method;
use rhyzome_testkit::{Actor, TestCore, wait_for};
use serde_json::{Value, json};

use crate::{DEFAULT, Site};

async fn token(core: &TestCore, path: &str, role: &str) -> (Actor, String) {
    let wanted = json!({"name": role, "spec": {"role": role}});
    let minted = core.admin().post(path).json(&wanted).await.good();
    let secret = minted["secret"].as_str().expect("a secret").to_owned();
    (core.admin().with_token(&secret), secret)
}

async fn project(core: &TestCore, name: &str) {
    let body = json!({"name": name});
    core.admin().post("/v1/projects").json(&body).await.good();
}

/// All entries of a chain, once all that is in it is sealed.
pub async fn sealed(actor: &Actor, path: &str) -> Vec<Value> {
    wait_for("all is sealed", async || {
        let page = actor.get(&format!("{path}?limit=1000")).await.good();
        let items = page["items"].as_array().expect("items").clone();
        items
            .iter()
            .all(|item| item["seal"].is_object())
            .then_some(items)
    })
    .await
}

fn told<'a>(entries: &'a [Value], operation: &str) -> &'a Value {
    let mut all = entries.iter().filter(|e| e["operation"] == operation);
    all.next()
        .unwrap_or_else(|| panic!("no {operation} in {entries:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_its_owners_and_the_auditors_and_nobody_elses() {
    let core = TestCore::start().await;
    for name in ["garden", "shed"] {
        project(&core, name).await;
    }
    let tokens = "/v1/projects/garden/tokens";
    let (owner, _) = token(&core, tokens, "owner").await;
    let (member, _) = token(&core, tokens, "member").await;
    let (viewer, _) = token(&core, tokens, "viewer").await;
    let (stranger, _) = token(&core, "/v1/projects/shed/tokens", "owner").await;
    let (auditor, _) = token(&core, "/v1/tokens", "auditor").await;
    for rest in ["", "/chain", "/verification"] {
        let garden = format!("/v1/projects/garden/audit{rest}");
        for actor in [&owner, &auditor, &core.admin()] {
            actor.get(&garden).await.good();
        }
        for actor in [&member, &viewer] {
            actor.get(&garden).await.problem(403, "forbidden");
        }
        let there = stranger.get(&garden).await.problem(404, "not_found");
        let not_there = garden.replace("garden", "gurden");
        let not_there = stranger.get(&not_there).await.problem(404, "not_found");
        assert_eq!(
            there["detail"],
            not_there["detail"]
                .as_str()
                .expect("a detail")
                .replace("gurden", "garden")
        );
        let of_site = format!("/v1/audit{rest}");
        auditor.get(&of_site).await.good();
        owner.get(&of_site).await.problem(403, "forbidden");
        // Nor by another way to the same chain.
        let id = core.admin().get("/v1/projects/garden").await.good()["id"].clone();
        let by_id = format!("{of_site}?chain={}", id.as_str().expect("an id"));
        owner.get(&by_id).await.problem(403, "forbidden");
        auditor.get(&by_id).await.good();
    }
    let entries = sealed(&owner, "/v1/projects/garden/audit").await;
    let text = json!(entries).to_string();
    assert!(!text.contains("shed"), "{text}");
    let made = told(&entries, "token_create");
    assert_eq!(made["actor"]["name"], "admin");
    assert_eq!(made["resource"]["kind"], "api_token");
    assert_eq!(made["from"], "127.0.0.1");
    assert!(made["request_id"].is_string(), "{made}");
    // What was refused to the member and the viewer, of whom its owners know.
    wait_for("refusals are told", async || {
        let entries = sealed(&owner, "/v1/projects/garden/audit").await;
        let refused = entries.iter().filter(|e| e["result"] == "refused");
        let names: Vec<&Value> = refused.map(|e| &e["actor"]["name"]).collect();
        assert!(!names.contains(&&json!("shed/owner")), "{names:?}");
        (names.len() == 6).then_some(())
    })
    .await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_with_what_it_changed_and_no_secret_is_in_it() {
    let site = Site::of(TestCore::start().await).await;
    let core = &site.core;
    let admin = core.admin();
    site.network("lab").await;
    site.image("hello").await;
    let user_data = "#cloud-config\npassword: hunter2-of-web\n";
    let spec = json!({"image": "hello", "networks": ["lab"], "user_data": user_data});
    let key = "mo5nyXfEjGbCLw0ZPqyDyZRXmmCqQKF4m7ZJvJjpGhc=";
    let mut secrets = vec!["hunter2".to_owned(), "BEGIN".to_owned(), key.to_owned()];
    let made = admin.post(&format!("{DEFAULT}/instances?wait=30s"));
    let made = made.json(&json!({"name": "web", "spec": spec})).await;
    if made.status == 422 {
        // A unikernel takes none: the text was refused, and is nowhere either.
        site.instance("web", "lab").await;
    }
    let peer = json!({"name": "laptop", "spec": {"public_key": key, "networks": ["lab"]}});
    admin
        .post(&format!("{DEFAULT}/peers?wait=30s"))
        .json(&peer)
        .await
        .good();
    let (_, secret) = token(core, &format!("{DEFAULT}/tokens"), "viewer").await;
    secrets.push(secret);
    let joining = admin
        .post("/v1/component-tokens")
        .json(&json!({}))
        .await
        .good();
    secrets.push(joining["token"].as_str().expect("a token").to_owned());
    // A token that somebody took for something else is not written down either.
    let wrong = format!("rz_{}", "7".repeat(43));
    admin
        .with_token(&wrong)
        .get("/v1/projects")
        .await
        .problem(401, "unauthenticated");
    secrets.push(wrong);
    for (method, path) in [
        (Method::POST, "instances/web/stop"),
        (Method::POST, "instances/web/start"),
        (Method::DELETE, "peers/laptop?wait=30s"),
        (Method::DELETE, "tokens/viewer"),
        (Method::DELETE, "instances/web?wait=30s"),
        (Method::DELETE, "images/hello"),
        (Method::DELETE, "networks/lab?wait=30s"),
    ] {
        let answer = admin.call(method, &format!("{DEFAULT}/{path}")).await;
        assert!(answer.status.is_success(), "{path}: {answer}");
    }
    let own = sealed(&admin, &format!("{DEFAULT}/audit")).await;
    let of_site = sealed(&admin, "/v1/audit").await;
    for (entries, operation, kind, name) in [
        (&own, "network_create", "network", "lab"),
        (&own, "image_create", "image", "hello"),
        (&own, "instance_create", "instance", "web"),
        (&own, "instance_stop", "instance", "web"),
        (&own, "peer_create", "peer", "laptop"),
        (&own, "peer_delete", "peer", "laptop"),
        (&own, "token_create", "api_token", "viewer"),
        (&own, "token_delete", "api_token", "viewer"),
        (&own, "network_delete", "network", "lab"),
        (&of_site, "component_join", "component", "router"),
        (
            &of_site,
            "component_token_create",
            "component_token",
            "router",
        ),
    ] {
        let resource = &told(entries, operation)["resource"];
        assert_eq!(
            (&resource["kind"], &resource["name"]),
            (&json!(kind), &json!(name))
        );
    }
    assert_eq!(told(&of_site, "component_join")["from"], "127.0.0.1");
    // A job leads back to what led to it.
    let change = told(&own, "network_create");
    let job = &change["jobs"][0];
    let ends = own.iter().filter(|e| e["operation"] == "job_end");
    let mut ends = ends.filter(|e| e["jobs"][0] == *job);
    let end = ends.next_back().expect("an end");
    assert_eq!(
        (&end["cause"], &end["actor"]["name"]),
        (&change["id"], &json!("router"))
    );
    let refused: Vec<&Value> = of_site
        .iter()
        .filter(|e| e["result"] == "refused")
        .collect();
    assert_eq!(refused[0]["actor"]["kind"], "nobody", "{refused:#?}");
    let text = json!([own, of_site]).to_string();
    for secret in &secrets {
        assert!(!text.contains(secret), "{secret} is in the audit log");
    }
    for path in [&format!("{DEFAULT}/audit"), "/v1/audit"] {
        let found = admin.get(&format!("{path}/verification")).await.good();
        assert_eq!(
            (&found["good"], &found["unsealed"]),
            (&json!(true), &json!([]))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_is_told_what_is_sealed_and_comes_back_where_it_was() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let path = format!("{DEFAULT}/audit?follow=true");
    let mut stream = admin.follow(&path, None).await;
    let make = async |name: &str| {
        let body = json!({"name": name, "spec": {}});
        let path = format!("{DEFAULT}/ssh-keys");
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@x";
        let body = json!({"name": body["name"], "spec": {"public_key": key}});
        admin.post(&path).json(&body).await.good();
    };
    make("first").await;
    let told = stream.next().await.expect("an entry");
    assert_eq!(
        (told.id, &told.data["resource"]["name"]),
        (1, &json!("first"))
    );
    assert_eq!(told.data["seal"]["number"], 1);
    drop(stream);
    make("second").await;
    let mut stream = admin.follow(&path, Some(1)).await;
    let told = stream.next().await.expect("an entry");
    assert_eq!(
        (told.id, &told.data["resource"]["name"]),
        (2, &json!("second"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_stops_leaves_nothing_unsealed_and_the_next_goes_on() {
    let core = TestCore::start().await;
    project(&core, "garden").await;
    core.anonymous()
        .get("/v1/projects")
        .await
        .problem(401, "unauthenticated");
    core.anonymous()
        .get("/v1/projects")
        .await
        .problem(401, "unauthenticated");
    let core = core.restart().await;
    let admin = core.admin();
    let page = admin.get("/v1/audit?limit=1000").await.good();
    let items = page["items"].as_array().expect("items");
    assert!(items.iter().all(|item| item["seal"].is_object()), "{page}");
    let refused = items.iter().filter(|item| item["result"] == "refused");
    let counted = refused
        .map(|item| item["count"].as_u64().unwrap_or(1))
        .sum::<u64>();
    assert_eq!(counted, 2, "{page}");
    let seen = admin.get("/v1/audit/verification").await.good()["seen"].clone();
    let mark = format!(
        "{}:{}",
        seen["number"],
        seen["hash"].as_str().expect("a hash")
    );
    core.anonymous()
        .get("/v1/projects")
        .await
        .problem(401, "unauthenticated");
    sealed(&admin, "/v1/audit").await;
    let path = format!("/v1/audit/verification?known={mark}");
    assert_eq!(admin.get(&path).await.good()["good"], true);
    let forged = format!("{}:{}", seen["number"], "0".repeat(64));
    let path = format!("/v1/audit/verification?known={forged}");
    let found = admin.get(&path).await.good();
    assert_eq!(found["good"], false, "{found}");
    for wrong in ["x", "1", "1:x"] {
        let path = format!("/v1/audit/verification?known={wrong}");
        assert_eq!(
            admin.get(&path).await.problem(422, "invalid")["field"],
            "known"
        );
        let path = format!("/v1/audit?after={wrong}.");
        assert_eq!(
            admin.get(&path).await.problem(422, "invalid")["field"],
            "after"
        );
    }
    core.stop().await;
}
