//! What is asked for and cannot be: named, with what would do, and nothing of it is there afterwards.

use rhyzome_testkit::Answer;
use serde_json::{Value, json};

use crate::{DEFAULT, Site};

/// A public key that nobody has the private one of.
const PEER_KEY: &str = "mEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=";
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@x";

impl Site {
    async fn ask(&self, what: &str, name: &str, spec: Value) -> Answer {
        let path = match what {
            "projects" => "/v1/projects".to_owned(),
            _ => format!("{DEFAULT}/{what}"),
        };
        let body = match what {
            "projects" => json!({"name": name}),
            _ => json!({"name": name, "spec": spec}),
        };
        self.core.admin().post(&path).json(&body).await
    }

    /// All of a kind, but for how far they are.
    async fn there(&self, what: &str) -> Value {
        let shown = self.core.admin().get(&format!("{DEFAULT}/{what}")).await;
        let mut items = shown.good()["items"].clone();
        for item in items.as_array_mut().expect("items") {
            let item = item.as_object_mut().expect("an item");
            item.retain(|key, _| !["phase", "state", "updated_at"].contains(&key.as_str()));
        }
        items
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_named_and_what_has_it_stays_as_it_is() {
    let site = Site::start().await;
    site.network("lab").await;
    site.image("hello").await;
    site.image("other").await;
    let images = site.there("images").await;
    let digest = &images[0]["digest"];
    let instance = |memory: &str| json!({"image": "hello", "networks": ["lab"], "memory": memory});
    let peer = json!({"public_key": PEER_KEY, "networks": ["lab"]});
    let cases = [
        ("projects", "project", Value::Null, Value::Null),
        ("networks", "network", json!({}), json!({"egress": true})),
        (
            "images",
            "image",
            json!({"digest": digest}),
            json!({"digest": digest, "command_line": "x"}),
        ),
        (
            "instances",
            "instance",
            instance("64MiB"),
            instance("65MiB"),
        ),
        ("peers", "peer", peer.clone(), peer),
        (
            "ssh-keys",
            "SSH key",
            json!({"public_key": SSH_KEY}),
            json!({"public_key": SSH_KEY}),
        ),
    ];
    for (what, kind, first, second) in cases {
        site.ask(what, "mine", first).await.good();
        let before = match what {
            "projects" => Value::Null,
            _ => site.there(what).await,
        };
        let refused = site.ask(what, "mine", second).await;
        let problem = refused.problem(409, "name_taken");
        let detail = problem["detail"].as_str().expect("a detail");
        let says = format!("the {kind} mine exists already");
        assert!(detail.contains(&says), "{detail}");
        let after = match what {
            "projects" => Value::Null,
            _ => site.there(what).await,
        };
        assert_eq!(after, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_is_none_or_overlaps_is_refused_with_what_is_wrong() {
    let site = Site::start().await;
    let spec = |family: &str, prefix: &str| json!({family: prefix});
    site.ask("networks", "lab", spec("ipv4", "10.1.0.0/24"))
        .await
        .good();
    for (family, prefix, says) in [
        (
            "ipv4",
            "10.1/24",
            "\"10.1/24\" is no prefix of this family: as 10.96.12.0/24",
        ),
        ("ipv4", "fd00:1:2:3::/64", "is no prefix of this family"),
        ("ipv6", "", "is no prefix of this family"),
        ("ipv4", "10.1.2.3/24", "10.1.2.0/24 was probably meant"),
        ("ipv4", "10.0.0.0/8", "/16 to /29 is possible"),
        (
            "ipv4",
            "8.8.8.0/24",
            "10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
        ),
        (
            "ipv4",
            "10.1.0.0/16",
            "overlaps the network lab of this project",
        ),
        ("ipv6", "fd00::/48", "has to be a /64"),
        ("ipv6", "2001:db8::/64", "unique local range fc00::/7"),
    ] {
        let refused = site.ask("networks", "other", spec(family, prefix)).await;
        assert!(matches!(refused.status.as_u16(), 400 | 422), "{refused}");
        let told = refused.json();
        let detail = told["detail"].as_str().expect("a detail");
        assert!(detail.contains(says), "{says:?} is not in {detail}");
        let field = told["field"].as_str().expect("a field");
        assert!(field.ends_with(family), "{told}");
    }
    let there = site.there("networks").await;
    assert_eq!(there.as_array().map(Vec::len), Some(1), "{there}");
    // What was refused is not taken: the same name and a right prefix are fine.
    site.ask("networks", "other", spec("ipv4", "10.1.1.0/24"))
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_has_room_for_says_how_much_there_is_and_fits_when_there_is_more() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.image("hello").await;
    let host = admin.get("/v1/components/host").await.good();
    let memory = &host["facts"]["memory"];
    let all = json!({"image": "hello", "memory": memory});
    site.ask("instances", "first", all.clone()).await.good();
    let refused = site.ask("instances", "second", all.clone()).await;
    let problem = refused.problem(409, "no_capacity");
    let detail = problem["detail"].as_str().expect("a detail");
    for part in ["host", "memory"] {
        assert!(detail.contains(part), "{part:?} is not in {detail}");
    }
    let path = format!("{DEFAULT}/instances");
    let none = admin.get(&format!("{path}/second")).await;
    none.problem(404, "not_found");
    let gone = admin.delete(&format!("{path}/first?wait=30s")).await;
    assert!(gone.status.is_success(), "{gone}");
    site.ask("instances", "second", all).await.good();
}
