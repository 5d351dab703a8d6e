//! Texts of all kinds, each shown to the core where a text of that kind is read: it is taken or refused, in
//! the shape of all refusals, and the core goes on.
//!
//! The files are those of `crates/fuzz`, which looks at what reads them; this is about what the core answers.

use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;
use rhyzome_model::Name;
use rhyzome_testkit::{Actor, TestCore};
use serde_json::{Value, json};

use crate::DEFAULT;

/// All texts of a kind, with their names.
fn corpus(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let files = std::fs::read_dir(folder.join(kind)).expect("a folder");
    let texts = files.map(|file| {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = std::fs::read(&path).expect("a text");
        (format!("{kind}/{name}"), text)
    });
    let texts: Vec<_> = texts.collect();
    assert!(texts.len() > 10, "{kind}: {}", texts.len());
    texts
}

/// Taken, or refused as anything else is.
async fn answered(name: &str, call: rhyzome_testkit::Call) -> u16 {
    let answer = call.await;
    let status = answer.status.as_u16();
    if !answer.status.is_success() {
        let code = answer.json()["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!((400..500).contains(&status), "{name}: {answer}");
        answer.problem(status, &code);
    }
    status
}

fn encoded(text: &[u8]) -> String {
    text.iter().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn whatever_is_shown_is_taken_or_refused_and_the_core_goes_on() {
    let core = TestCore::start().await;
    let admin = core.admin();
    for (name, text) in corpus("secret") {
        let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", text.as_slice()].concat()) else {
            continue;
        };
        let call = core.anonymous().request(reqwest::Method::GET, DEFAULT);
        let answer = call.header("authorization", value).send().await;
        let status = answer.expect("an answer").status().as_u16();
        assert_eq!(status, 401, "{name}");
    }
    for (name, text) in corpus("join_token") {
        // Where an API token is read.
        if let Ok(text) = String::from_utf8(text)
            && HeaderValue::from_str(&text).is_ok()
        {
            let shown = admin.with_token(&text).get(DEFAULT);
            let status = answered(&name, shown).await;
            assert!([401, 431].contains(&status), "{name}: {status}");
        }
    }
    for (name, text) in corpus("name") {
        names(&admin, &name, &text).await;
    }
    for (name, text) in corpus("cursor") {
        for list in [
            "networks",
            "instances",
            "jobs",
            "image-tags",
            "tokens",
            "events",
        ] {
            let path = format!("{DEFAULT}/{list}?follow=false&after={}", encoded(&text));
            let path = match list {
                "events" => path,
                _ => path.replace("follow=false&", ""),
            };
            answered(&format!("{list} {name}"), admin.get(&path)).await;
        }
    }
    for (name, text) in corpus("if_match") {
        with_header(&admin, &name, "if-match", &text).await;
    }
    for (name, text) in corpus("idempotency_key") {
        with_header(&admin, &name, "idempotency-key", &text).await;
    }
    for (name, text) in corpus("user_data") {
        let Ok(text) = String::from_utf8(text) else {
            continue;
        };
        let body = json!({"name": "web", "spec": {"image": "none", "user_data": text}});
        let call = admin.post(&format!("{DEFAULT}/instances")).json(&body);
        answered(&name, call).await;
    }
    admin.get(DEFAULT).await.good();
    let all = admin.get("/v1/projects").await.good();
    let names = all["items"].as_array().expect("items").iter();
    let names: Vec<&Value> = names.map(|project| &project["name"]).collect();
    // Those that are names, and no other.
    assert!(names.iter().all(|name| {
        let name = name.as_str().expect("a name");
        name.parse::<Name>().is_ok()
    }));
}

/// In a path and in a body.
async fn names(admin: &Actor, name: &str, text: &[u8]) {
    // What is longer is no URL for any client.
    if text.len() < 20_000 {
        let path = format!("{DEFAULT}/networks/{}", encoded(text));
        let status = answered(name, admin.get(&path)).await;
        // Nothing in a name leads elsewhere: without one, the path is no path.
        assert!([404, 414].contains(&status), "{name}: {status}");
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let call = admin.post("/v1/projects").json(&json!({"name": text}));
    let status = answered(name, call).await;
    let expect = if text.parse::<Name>().is_ok() {
        201
    } else {
        422
    };
    assert_eq!(status, expect, "{name}");
}

async fn with_header(admin: &Actor, name: &str, header: &str, text: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(text) else {
        return;
    };
    let body = json!({"name": "default"});
    let call = match header {
        "if-match" => admin.request(reqwest::Method::DELETE, &format!("{DEFAULT}/networks/none")),
        _ => admin
            .request(reqwest::Method::POST, "/v1/projects")
            .json(&body),
    };
    let answer = call.header(header, value).send().await.expect("an answer");
    let status = answer.status().as_u16();
    assert!((400..500).contains(&status), "{name}: {status}");
    let problem: Value = answer.json().await.expect("a problem");
    assert!(problem["code"].is_string(), "{name}: {problem}");
}
