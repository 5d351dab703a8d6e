//! Quotas: what is left is given, more is refused, and what goes is free again.

use std::collections::BTreeMap;

use futures::future::join_all;
use reqwest::Method;
use rhyzome_model::Digest;
use rhyzome_testkit::{Actor, Answer, TestCore, wait_for};
use serde_json::{Value, json};

use crate::images::kernel;
use crate::{DEFAULT, Site};

/// Public keys of devices: 32 bytes, in base64.
const KEYS: [&str; 3] = [
    "mEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=",
    "nEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=",
    "oEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=",
];

async fn set(admin: &Actor, project: &str, spec: Value) -> Value {
    let path = format!("/v1/projects/{project}/quota");
    admin.put(&path).json(&json!({"spec": spec})).await.good()
}

/// What a project has of a kind.
async fn used(admin: &Actor, project: &str, kind: &str) -> Value {
    let quota = admin.get(&format!("/v1/projects/{project}/quota")).await;
    quota.good()["status"]["used"][kind].clone()
}

async fn make(admin: &Actor, project: &str, (kind, name): (&str, &str), spec: &Value) -> Answer {
    let path = format!("/v1/projects/{project}/{kind}");
    let body = json!({"name": name, "spec": spec});
    admin.post(&path).json(&body).await
}

async fn gone(admin: &Actor, project: &str, (kind, name): (&str, &str)) {
    let path = format!("/v1/projects/{project}/{kind}/{name}");
    // What is on no component is gone at once.
    let wait = if ["tokens", "images"].contains(&kind) {
        ""
    } else {
        "?wait=30s"
    };
    let deleted = admin.delete(&format!("{path}{wait}")).await;
    assert!(deleted.status.is_success(), "{deleted}");
    admin.get(&path).await.problem(404, "not_found");
}

/// An answer that has to be a refusal that says how much was asked, may be, is there and is left.
fn refused(answer: &Answer, [asked, limit, used, left]: [&str; 4]) -> Value {
    let problem = answer.problem(409, "quota_exceeded");
    let detail = problem["detail"].as_str().expect("a text");
    for part in [
        format!("{asked} more were asked for"),
        format!("the quota's {limit} "),
        format!("{used} are used"),
        format!("{left} are left"),
        "ask an admin of the site".to_owned(),
    ] {
        assert!(detail.contains(&part), "{part}: {detail}");
    }
    problem
}

async fn project(admin: &Actor, name: &str) {
    let made = admin.post("/v1/projects").json(&json!({"name": name}));
    made.await.good();
}

async fn upload(admin: &Actor, project: &str, bytes: &[u8]) -> Answer {
    let path = format!("/v1/projects/{project}/blobs/{}", Digest::of(bytes));
    let call = admin.put(&path).body(bytes.to_vec());
    call.header("content-type", "application/octet-stream")
        .await
}

/// A kernel that is no other one, of 4 KiB.
fn another(number: u8) -> Vec<u8> {
    let mut bytes = kernel();
    bytes[4095] = number;
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_make_as_many_as_the_quota_has() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.image("hello").await;
    set(&admin, "default", json!({"instances": 10, "tokens": 10})).await;
    for (kind, spec) in [
        ("instances", json!({"image": "hello"})),
        ("tokens", json!({"role": "viewer"})),
    ] {
        let names: Vec<String> = (0..50).map(|number| format!("one{number}")).collect();
        let all = names
            .iter()
            .map(|name| make(&admin, "default", (kind, name), &spec));
        let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
        for answer in join_all(all).await {
            if answer.status != 201 {
                refused(&answer, ["1", "10", "10", "0"]);
            }
            *answers.entry(answer.status.as_u16()).or_default() += 1;
        }
        assert_eq!(answers, BTreeMap::from([(201, 10), (409, 40)]), "{kind}");
        let listed = admin.get(&format!("{DEFAULT}/{kind}")).await.good();
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(10));
        assert_eq!(used(&admin, "default", kind).await, 10);
    }
    site.core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_refuses_at_its_edge_and_frees_what_is_deleted() {
    let site = Site::start().await;
    let admin = site.core.admin();
    let limits = json!({"networks": 2, "peers": 2, "tokens": 2});
    let shown = set(&admin, "default", limits.clone()).await;
    assert_eq!(
        (&shown["spec"], &shown["generation"]),
        (&limits, &json!(1)),
        "{shown}"
    );
    let peer = |number: usize| json!({"public_key": KEYS[number], "networks": []});
    for (kind, specs) in [
        ("networks", [json!({}), json!({}), json!({})]),
        ("peers", [peer(0), peer(1), peer(2)]),
        ("tokens", [(); 3].map(|()| json!({"role": "viewer"}))),
    ] {
        let [first, second, third] = &specs;
        assert_eq!(used(&admin, "default", kind).await, 0);
        make(&admin, "default", (kind, "a"), first).await.good();
        make(&admin, "default", (kind, "b"), second).await.good();
        let over = make(&admin, "default", (kind, "c"), third).await;
        refused(&over, ["1", "2", "2", "0"]);
        gone(&admin, "default", (kind, "a")).await;
        assert_eq!(used(&admin, "default", kind).await, 1);
        make(&admin, "default", (kind, "c"), third).await.good();
    }
    site.core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processors_memory_and_disks_are_summed_over_all_instances() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.image("hello").await;
    let limits = json!({"cpus": 4, "memory": "512MiB", "disk": "64MiB", "instances": 3});
    set(&admin, "default", limits).await;
    let spec = |cpus: u32, memory: &str, disk: Option<&str>| json!({"image": "hello", "cpus": cpus, "memory": memory, "disk": disk});
    let at = ("instances", "b");
    make(
        &admin,
        "default",
        ("instances", "a"),
        &spec(2, "128MiB", Some("32MiB")),
    )
    .await
    .good();
    for (wanted, figures, field) in [
        (spec(3, "128MiB", None), ["3", "4", "2", "2"], "spec.cpus"),
        (
            spec(2, "385MiB", None),
            ["385MiB", "512MiB", "128MiB", "384MiB"],
            "spec.memory",
        ),
        (
            spec(2, "384MiB", Some("33MiB")),
            ["33MiB", "64MiB", "32MiB", "32MiB"],
            "spec.disk",
        ),
    ] {
        let problem = refused(&make(&admin, "default", at, &wanted).await, figures);
        assert_eq!(problem["field"], field, "{problem}");
    }
    make(&admin, "default", at, &spec(2, "384MiB", Some("32MiB")))
        .await
        .good();
    // All of it is used: what gets no more of it may change, and less may be asked for.
    let change = async |spec: Value| {
        let path = format!("{DEFAULT}/instances/b");
        admin.put(&path).json(&json!({"spec": spec})).await
    };
    let larger = change(spec(3, "384MiB", Some("32MiB"))).await;
    refused(&larger, ["1", "4", "4", "0"]);
    let larger = change(spec(2, "384MiB", Some("33MiB"))).await;
    refused(&larger, ["1MiB", "64MiB", "64MiB", "0B"]);
    change(spec(1, "256MiB", Some("32MiB"))).await.good();
    change(spec(2, "384MiB", Some("32MiB"))).await.good();
    let over = make(
        &admin,
        "default",
        ("instances", "c"),
        &spec(1, "64MiB", None),
    )
    .await;
    refused(&over, ["1", "4", "4", "0"]);
    gone(&admin, "default", ("instances", "a")).await;
    assert_eq!(used(&admin, "default", "memory").await, "384MiB");
    assert_eq!(used(&admin, "default", "disk").await, "32MiB");
    make(
        &admin,
        "default",
        ("instances", "c"),
        &spec(1, "64MiB", None),
    )
    .await
    .good();
    site.core.stop().await;
}

#[tokio::test]
async fn images_bytes_count_once_also_on_their_way_and_not_after_the_last_name_for_them() {
    let core = TestCore::start().await;
    let admin = core.admin();
    set(&admin, "default", json!({"images": "12KiB"})).await;
    // The same bytes once, under however many names.
    for number in [1, 1, 2] {
        upload(&admin, "default", &another(number)).await.good();
    }
    let digest = |number| json!({"digest": Digest::of(&another(number)).to_string()});
    for (name, number) in [("a", 1), ("b", 1), ("c", 2)] {
        make(&admin, "default", ("images", name), &digest(number))
            .await
            .good();
    }
    assert_eq!(used(&admin, "default", "images").await, "8KiB");
    // One that has begun is counted whole, so that two cannot both fill what is left.
    let wanted = another(3);
    let path = format!("{DEFAULT}/uploads/{}", Digest::of(&wanted));
    let begun = admin.call(Method::PATCH, &path).body(wanted[..9].to_vec());
    let begun = begun.header("upload-offset", "0");
    begun.header("upload-length", "4096").await.status(202);
    assert_eq!(used(&admin, "default", "images").await, "12KiB");
    let over = upload(&admin, "default", &another(4)).await;
    refused(&over, ["4KiB", "12KiB", "12KiB", "0B"]);
    admin.delete(&path).await.status(204);
    assert_eq!(used(&admin, "default", "images").await, "8KiB");
    upload(&admin, "default", &another(4)).await.good();
    // Deleted names free nothing as long as another one names the same.
    gone(&admin, "default", ("images", "a")).await;
    assert_eq!(used(&admin, "default", "images").await, "12KiB");
    gone(&admin, "default", ("images", "b")).await;
    assert_eq!(used(&admin, "default", "images").await, "8KiB");
    let other = json!({"spec": digest(4)});
    admin
        .put(&format!("{DEFAULT}/images/c"))
        .json(&other)
        .await
        .good();
    assert_eq!(used(&admin, "default", "images").await, "4KiB");
    let again = make(&admin, "default", ("images", "a"), &digest(1)).await;
    again.problem(422, "invalid");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_count_as_long_as_an_instance_is_made_of_them() {
    let site = Site::start().await;
    let admin = site.core.admin();
    upload(&admin, "default", &another(1)).await.good();
    let digest = Digest::of(&another(1));
    let spec = json!({"image": format!("sha256:{digest}")});
    make(&admin, "default", ("instances", "one"), &spec)
        .await
        .good();
    make(
        &admin,
        "default",
        ("images", "a"),
        &json!({"digest": digest}),
    )
    .await
    .good();
    gone(&admin, "default", ("images", "a")).await;
    assert_eq!(used(&admin, "default", "images").await, "4KiB");
    gone(&admin, "default", ("instances", "one")).await;
    wait_for("the bytes are counted no more", async || {
        (used(&admin, "default", "images").await == "0B").then_some(())
    })
    .await;
    site.core.stop().await;
}

#[tokio::test]
async fn a_quota_is_of_one_project_alone_and_without_one_there_is_no_limit() {
    let core = TestCore::start().await;
    let admin = core.admin();
    project(&admin, "garden").await;
    project(&admin, "shed").await;
    let limits = json!({"tokens": 1, "images": "4KiB"});
    set(&admin, "garden", limits).await;
    let spec = json!({"role": "viewer"});
    for number in 0..5 {
        make(&admin, "shed", ("tokens", &format!("t{number}")), &spec)
            .await
            .good();
        upload(&admin, "shed", &another(number)).await.good();
    }
    assert_eq!(used(&admin, "garden", "tokens").await, 0);
    make(&admin, "garden", ("tokens", "a"), &spec).await.good();
    let over = make(&admin, "garden", ("tokens", "b"), &spec).await;
    refused(&over, ["1", "1", "1", "0"]);
    // That another project has the same bytes neither counts nor frees, and nobody learns of it.
    upload(&admin, "garden", &another(1)).await.good();
    let over = upload(&admin, "garden", &another(2)).await;
    refused(&over, ["4KiB", "4KiB", "4KiB", "0B"]);
    // The site's own tokens are no project's.
    make(&admin, "garden", ("tokens", "b"), &spec)
        .await
        .problem(409, "quota_exceeded");
    let site = json!({"name": "watcher", "spec": {"role": "auditor"}});
    admin.post("/v1/tokens").json(&site).await.good();
    // It goes with its project.
    admin.delete("/v1/projects/garden").await.status(204);
    project(&admin, "garden").await;
    let fresh = admin.get("/v1/projects/garden/quota").await.good();
    assert_eq!(
        (&fresh["spec"], &fresh["generation"]),
        (&json!({}), &json!(0)),
        "{fresh}"
    );
    core.stop().await;
}

#[tokio::test]
async fn a_quota_below_what_is_used_takes_nothing_and_gives_no_more() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let spec = json!({"role": "viewer"});
    for name in ["a", "b", "c"] {
        make(&admin, "default", ("tokens", name), &spec)
            .await
            .good();
    }
    set(&admin, "default", json!({"tokens": 1})).await;
    assert_eq!(used(&admin, "default", "tokens").await, 3);
    let over = make(&admin, "default", ("tokens", "d"), &spec).await;
    refused(&over, ["1", "1", "3", "0"]);
    gone(&admin, "default", ("tokens", "a")).await;
    gone(&admin, "default", ("tokens", "b")).await;
    let over = make(&admin, "default", ("tokens", "d"), &spec).await;
    refused(&over, ["1", "1", "1", "0"]);
    set(&admin, "default", json!({})).await;
    make(&admin, "default", ("tokens", "d"), &spec).await.good();
    core.stop().await;
}

#[tokio::test]
async fn who_is_in_a_project_sees_its_quota_and_only_admins_set_it() {
    let core = TestCore::start().await;
    let admin = core.admin();
    project(&admin, "garden").await;
    let path = "/v1/projects/garden/quota";
    let owner = make(
        &admin,
        "garden",
        ("tokens", "ada"),
        &json!({"role": "owner"}),
    )
    .await;
    let secret = owner.good()["secret"]
        .as_str()
        .expect("a secret")
        .to_owned();
    let owner = admin.with_token(&secret);
    let limits = json!({"spec": {"cpus": 8}});
    owner.get(path).await.good();
    let refused = owner.put(path).json(&limits).await;
    refused.problem(403, "forbidden");
    // Somebody else's change is not overwritten.
    let before = admin.get(path).await.etag();
    let first = admin.put(path).header("if-match", &before).json(&limits);
    first.await.good();
    let late = admin.put(path).header("if-match", &before).json(&limits);
    late.await.problem(412, "changed");
    for wrong in [
        json!({"cpu": 8}),
        json!({"cpus": -1}),
        json!({"memory": "8GB"}),
    ] {
        let body = json!({"spec": wrong});
        let answer = admin.put(path).json(&body).await;
        assert_eq!(answer.status.as_u16(), 422, "{answer}");
    }
    let events = admin.get("/v1/projects/garden/events?follow=false").await;
    let events = events.text();
    assert!(events.contains("cpus 8"), "{events}");
    core.stop().await;
}
