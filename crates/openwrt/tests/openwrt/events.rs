//! What somebody changes on the router is told by the core, with a component and a core in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::{Component, Setup, join};
use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;
use rhyzome_testkit::{Actor, TestCore, wait_for};
use rhyzome_wireguard::key::PrivateKey;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::site::Site;

/// The most that an event says of what differed: as much as is told, and a sign that there was more.
const MOST: usize = 1003;

/// The component, joined and running.
async fn component(core: &TestCore, site: &Site, state: &Path) -> AbortOnDropHandle<()> {
    let (kind, name): (_, Name) = (ComponentKind::Openwrt, "gw".parse().unwrap());
    let wanted = json!({"kind": kind, "name": name});
    let token = core.admin().post("/v1/component-tokens").json(&wanted);
    let token = token.await.good()["token"].as_str().unwrap().to_owned();
    let request = join::Request {
        core: &core.grpc_url(),
        token: &token,
        state_dir: state,
        kind,
        name: Some(&name),
    };
    join::join(request).await.unwrap();
    let setup = Setup {
        state_dir: state.to_owned(),
        core: None,
        software_version: "1".to_owned(),
        jobs: JobsConfig {
            round: Duration::from_secs(5),
            ..JobsConfig::default()
        },
    };
    let component = Component::open(setup).unwrap();
    let running = component.run(Arc::new(site.driver()), CancellationToken::new());
    AbortOnDropHandle::new(tokio::spawn(running))
}

/// How long something that was changed by hand may go untold before it is changed again.
const AGAIN: Duration = Duration::from_secs(8);

/// Waits until an event of a resource says something.
async fn wait_told(admin: &Actor, resource: &str, what: &str, said: &str) {
    let name = format!("{resource} {what}: {said}");
    wait_for(&name, async || told(admin, resource, what, said).await).await;
}

async fn told(admin: &Actor, resource: &str, what: &str, said: &str) -> Option<()> {
    let events = admin.get("/v1/events?follow=false&limit=1000").await.good();
    let events = events["items"].as_array().unwrap();
    let is_it = |event: &&serde_json::Value| {
        let message = event["message"].as_str().unwrap();
        assert!(message.len() <= MOST, "{message}");
        event["resource_name"] == resource && event["what"] == what && message.contains(said)
    };
    events.iter().find(is_it).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cores_events_say_what_somebody_changed_and_no_secrets() {
    let (core, site) = (TestCore::start().await, Site::new());
    let state = tempfile::tempdir().unwrap();
    let _component = component(&core, &site, state.path()).await;
    let admin = core.admin();
    let project = "/v1/projects/default";
    let network = json!({"name": "lab", "spec": {"router": "gw"}});
    let made = admin
        .post(&format!("{project}/networks?wait=60s"))
        .json(&network);
    let made = made.await.good();
    assert_eq!(made["status"]["phase"], "ready", "{made}");
    let key = PrivateKey::generate(&mut rand::rng())
        .public_key()
        .to_string();
    let peer = json!({"name": "laptop", "spec": {"public_key": key, "networks": ["lab"]}});
    let made = admin.post(&format!("{project}/peers?wait=60s")).json(&peer);
    assert_eq!(made.await.good()["status"]["phase"], "ready");

    let device = site.uci("show network");
    let device = device
        .lines()
        .find_map(|line| line.strip_suffix("_wg=interface"));
    let device = device.unwrap().trim_start_matches("network.").to_owned();
    let run = |command: &str| site.machine.output(["sh", "-c", command]);
    run(&format!("wg set {device}_wg peer {key} remove"));
    wait_told(
        &admin,
        "laptop",
        "mended",
        &format!("has no such peer: {key}"),
    )
    .await;

    let (ours, theirs) = (
        site.uci(&format!("get network.{device}_wg.private_key")),
        PrivateKey::generate(&mut rand::rng()).to_base64(),
    );
    run(&format!(
        "uci set network.{device}_wg.private_key={}",
        *theirs
    ));
    run(&format!("uci set network.{device}_wg.listen_port=4"));
    site.uci("commit");
    let said = format!("/etc/config/network: to mend it, set {device}_wg.private_key=…");
    wait_told(&admin, "lab", "mended", &said).await;

    // More than an event may have. What comes while the network is being mended goes with it, untold: so once more.
    let strangers = (0..30).map(|_| PrivateKey::generate(&mut rand::rng()).public_key());
    let strangers: String = strangers.map(|key| format!(" peer {key}")).collect();
    let mut added = None;
    wait_for("strangers are told", async || {
        if added.is_none_or(|at: Instant| at.elapsed() > AGAIN) {
            run(&format!("wg set {device}_wg{strangers}"));
            added = Some(Instant::now());
        }
        told(&admin, "lab", "mended", " more").await
    })
    .await;
    let all = admin
        .get("/v1/events?follow=false&limit=1000")
        .await
        .good()
        .to_string();
    for secret in [ours.trim(), &theirs] {
        assert!(!all.contains(secret), "a secret is told");
    }
    core.stop().await;
}
