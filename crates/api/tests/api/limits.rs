//! How much one caller may take, seen by that one and by the others.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use rhyzome_api::clock::Clock;
use rhyzome_api::configuration::{Configuration, ProxyHeader, TlsMode};
use rhyzome_component::join::{self, JoinError};
use rhyzome_model::component::ComponentKind;
use rhyzome_pki::token::JoinToken;
use rhyzome_testkit::{Actor, Answer, TestCore, wait_for};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::DEFAULT;

/// A core whose time stands still, with limits that are changed in something.
async fn core(change: impl FnOnce(&mut Configuration)) -> (TestCore, Clock) {
    let clock = Clock::standing();
    let core = TestCore::start_by(clock.clone(), |configuration| {
        configuration.tls.mode = TlsMode::Off;
        change(configuration);
    })
    .await;
    (core, clock)
}

/// Somebody else with a good token, who has shown it.
async fn member(core: &TestCore, name: &str) -> Actor {
    let wanted = json!({"name": name, "spec": {"role": "member"}});
    let path = format!("{DEFAULT}/tokens");
    let made = core.admin().post(&path).json(&wanted).await.good();
    let actor = core
        .admin()
        .with_token(made["secret"].as_str().expect("one"));
    actor.get(DEFAULT).await.good();
    actor
}

/// A refusal that says what to do; how long to pause.
fn pause(answer: &Answer, code: &str) -> u64 {
    let problem = answer.problem(429, code);
    let text = answer.header("retry-after").expect("Retry-After");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.ends_with(&format!("try again in {text} s")),
        "{detail}"
    );
    text.parse().expect("seconds")
}

async fn figure(core: &TestCore, line: &str) -> Option<u64> {
    let text = core.admin().get("/metrics").await.text();
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    found.map(|value| value.trim().parse().expect("a number"))
}

#[tokio::test]
async fn a_flood_with_one_credential_is_refused_and_stops_no_other() {
    let (core, clock) = core(|configuration| {
        configuration.limits.requests_per_credential = 2;
    })
    .await;
    let (flood, other) = (member(&core, "flood").await, member(&core, "other").await);
    for _ in 0..10 {
        flood.get(DEFAULT).await.good();
    }
    assert_eq!(pause(&flood.get(DEFAULT).await, "too_many_requests"), 1);
    other.get(DEFAULT).await.good();
    core.anonymous().get("/healthz").await.status(200);
    // From the same address, all of it.
    clock.advance(Duration::from_secs(1));
    flood.get(DEFAULT).await.good();
    flood.get(DEFAULT).await.good();
    flood.get(DEFAULT).await.problem(429, "too_many_requests");
    let counted = figure(
        &core,
        "rhyzome_http_requests_refused_total{limit=\"credential\"}",
    );
    assert_eq!(counted.await, Some(2));
}

#[tokio::test]
async fn a_flood_of_nobody_is_refused_and_stops_nobody_who_is_known() {
    let (core, clock) = core(|configuration| {
        configuration.limits.requests_per_address = 1;
    })
    .await;
    core.admin().get(DEFAULT).await.good();
    // Each with another token: the core has not seen any of them.
    let strangers = (0..9).map(|number| format!("rz_{number:043}"));
    let mut refused = 0;
    for token in strangers {
        let answer = core.admin().with_token(&token).get(DEFAULT).await;
        refused += u32::from(answer.status.as_u16() == 429);
    }
    assert!(
        refused > 0,
        "tokens as one likes are tried as fast as one likes"
    );
    assert_eq!(
        pause(&core.anonymous().get("/healthz").await, "too_many_requests"),
        1
    );
    core.admin().get(DEFAULT).await.good();
    clock.advance(Duration::from_secs(1));
    core.anonymous().get("/healthz").await.status(200);
}

#[tokio::test]
async fn who_guesses_tokens_has_to_pause_longer_each_time() {
    let (core, clock) = core(|configuration| {
        configuration.limits.failures_per_address = 3;
        configuration.limits.requests_per_address = 0;
    })
    .await;
    core.admin().get(DEFAULT).await.good();
    let guess = async || core.stranger().get(DEFAULT).await;
    for _ in 0..3 {
        guess().await.problem(401, "unauthenticated");
    }
    for expect in [1, 2, 4, 8] {
        assert_eq!(pause(&guess().await, "too_many_requests"), expect);
        clock.advance(Duration::from_secs(expect));
        guess().await.problem(401, "unauthenticated");
    }
    // Even a good one is not tried, if it was never seen before.
    let wanted = json!({"name": "late", "spec": {"role": "member"}});
    let path = format!("{DEFAULT}/tokens");
    let made = core.admin().post(&path).json(&wanted).await.good();
    let late = core
        .admin()
        .with_token(made["secret"].as_str().expect("one"));
    late.get(DEFAULT).await.problem(429, "too_many_requests");
    core.anonymous().get("/healthz").await.status(200);
    clock.advance(Duration::from_secs(16));
    late.get(DEFAULT).await.good();
}

#[tokio::test]
async fn who_guesses_invitations_and_logins_has_to_pause() {
    let (core, clock) = core(|configuration| {
        configuration.limits.failures_per_address = 3;
        configuration.limits.requests_per_address = 0;
    })
    .await;
    let wanted = json!({"spec": {"role": "viewer"}});
    let path = format!("{DEFAULT}/invitations");
    let minted = core.admin().post(&path).json(&wanted).await.good();
    let redeem = async |code: &str| {
        let wanted = json!({"code": code, "name": "ada"});
        let call = core.anonymous().post("/v1/invitations/redeem");
        call.json(&wanted).await
    };
    let made_up = format!("rzi_{}", "A".repeat(43));
    for _ in 0..3 {
        redeem(&made_up).await.problem(404, "not_found");
    }
    let good = minted["code"].as_str().expect("a code").to_owned();
    // Even a good one is not tried, and is not used up by that.
    assert_eq!(pause(&redeem(&good).await, "too_many_requests"), 1);
    let login = core.anonymous().post("/v1/sessions");
    let login = login.json(&json!({"id_token": "a.b.c"})).await;
    login.problem(429, "too_many_requests");
    clock.advance(Duration::from_secs(1));
    redeem(&good).await.good();
    core.stop().await;
}

#[tokio::test]
async fn a_token_that_was_deleted_is_refused_as_any_other() {
    let (core, _) = core(|configuration| {
        configuration.limits.failures_per_address = 2;
    })
    .await;
    let gone = member(&core, "gone").await;
    let path = format!("{DEFAULT}/tokens/gone");
    core.admin().delete(&path).await.status(204);
    for _ in 0..2 {
        gone.get(DEFAULT).await.problem(401, "unauthenticated");
    }
    gone.get(DEFAULT).await.problem(429, "too_many_requests");
}

#[tokio::test]
async fn who_guesses_join_tokens_has_to_pause() {
    let (core, clock) = core(|configuration| {
        configuration.limits.failures_per_address = 2;
    })
    .await;
    let good = core.admin().post("/v1/component-tokens");
    let good = good.json(&json!({"kind": "linux"})).await.good();
    let good = good["token"].as_str().expect("a token").to_owned();
    let authority = good.parse::<JoinToken>().expect("one").authority();
    let join = async |token: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let request = join::Request {
            core: &core.grpc_url(),
            token,
            state_dir: folder.path(),
            kind: ComponentKind::Linux,
            name: None,
        };
        join::join(request).await
    };
    let guess = || JoinToken::mint(authority, &mut rand::rng()).reveal();
    for _ in 0..2 {
        let refused = join(&guess()).await;
        assert!(matches!(refused, Err(JoinError::Refused(_))), "{refused:?}");
    }
    for token in [&guess(), &good] {
        let refused = join(token).await.expect_err("it has to pause");
        let JoinError::TooMany(text) = refused else {
            panic!("{refused}");
        };
        assert!(text.ends_with("try again in 1 s"), "{text}");
    }
    assert_eq!(figure(&core, "rhyzome_joins_refused_total").await, Some(2));
    clock.advance(Duration::from_secs(1));
    join(&good).await.expect("it joins");
}

#[tokio::test]
async fn only_a_trusted_proxy_says_for_whom_it_asks() {
    let from = async |core: &TestCore, header: &str, address: &str| {
        let answer = core.anonymous().get("/healthz").header(header, address);
        answer.await.status.as_u16()
    };
    let x = "x-forwarded-for";
    let one = |configuration: &mut Configuration| configuration.limits.requests_per_address = 1;
    // Nobody is trusted: whatever is written, it is the same address.
    let (alone, _) = core(one).await;
    for number in 0..5 {
        assert_eq!(from(&alone, x, &format!("192.0.2.{number}")).await, 200);
    }
    assert_eq!(from(&alone, x, "192.0.2.9").await, 429);

    let (behind, _) = core(|configuration| {
        one(configuration);
        configuration.proxy.trusted = vec!["127.0.0.1/32".parse().expect("a net")];
    })
    .await;
    for number in 0..9 {
        assert_eq!(from(&behind, x, &format!("192.0.2.{number}")).await, 200);
    }
    // What stands before the last address, whoever asks wrote.
    for number in 0..4 {
        let chain = format!("198.51.100.{number}, 192.0.2.1");
        assert_eq!(from(&behind, x, &chain).await, 200);
    }
    assert_eq!(from(&behind, x, "198.51.100.9, 192.0.2.1").await, 429);
    // The other header is nobody's word.
    for number in 0..5 {
        let other = format!("for=192.0.2.{number}");
        assert_eq!(from(&behind, "forwarded", &other).await, 200);
    }
    assert_eq!(from(&behind, "forwarded", "for=192.0.2.9").await, 429);

    let (standard, _) = core(|configuration| {
        one(configuration);
        configuration.proxy.trusted = vec!["127.0.0.1/32".parse().expect("a net")];
        configuration.proxy.header = ProxyHeader::Forwarded;
    })
    .await;
    for number in 0..9 {
        let node = format!("for=\"[2001:db8:{number}::1]:99\"");
        assert_eq!(from(&standard, "forwarded", &node).await, 200);
    }
}

#[tokio::test]
async fn so_many_wait_at_the_same_time_and_the_next_changes_nothing() {
    let (core, _) = core(|configuration| {
        configuration.limits.waits_per_credential = 2;
        configuration.limits.waits = 3;
    })
    .await;
    // Nothing of it becomes ready: its router is away.
    drop(core.router("router").await);
    let networks = format!("{DEFAULT}/networks");
    let admin = core.admin();
    let (one, other) = (member(&core, "one").await, member(&core, "other").await);
    let wait = |actor: &Actor, name: &str| {
        let body = json!({"name": name, "spec": {}});
        let path = format!("{networks}?wait=5m");
        let request = actor.request(Method::POST, &path).json(&body);
        tokio::spawn(request.header("idempotency-key", name).send())
    };
    let there = async |name: &str| {
        let path = format!("{networks}/{name}");
        wait_for(name, async || {
            let seen = admin.get(&path).await;
            seen.status.is_success().then_some(())
        })
        .await;
    };
    let first = wait(&one, "a");
    let second = wait(&one, "b");
    there("a").await;
    there("b").await;
    let body = json!({"name": "c", "spec": {}});
    let refused = one.post(&format!("{networks}?wait=1s")).json(&body).await;
    pause(&refused, "too_many_open");
    admin
        .get(&format!("{networks}/c"))
        .await
        .problem(404, "not_found");
    // Without waiting it is done, and another has a wait left; after that all are full.
    one.post(&networks).json(&body).await.status(201);
    let third = wait(&other, "d");
    there("d").await;
    let refused = other.get(&format!("{networks}/d?wait=1s")).await;
    pause(&refused, "too_many_open");
    assert_eq!(
        figure(
            &core,
            "rhyzome_http_requests_refused_total{limit=\"waits\"}"
        )
        .await,
        Some(2)
    );
    // A caller who hangs up leaves behind what was asked with a key, and that counts on.
    first.abort();
    for _ in 0..3 {
        let refused = one.get(&format!("{networks}/a?wait=1s")).await;
        pause(&refused, "too_many_open");
    }
    second.abort();
    third.abort();
}

#[tokio::test]
async fn so_many_streams_are_open_at_the_same_time() {
    let (core, _) = core(|configuration| {
        configuration.limits.streams_per_credential = 2;
        configuration.limits.streams = 3;
    })
    .await;
    let (one, other) = (member(&core, "one").await, member(&core, "other").await);
    let path = format!("{DEFAULT}/events");
    let first = one.follow(&path, None).await;
    let _second = one.follow(&path, None).await;
    pause(&one.get(&path).await, "too_many_open");
    one.get(&format!("{path}?follow=false")).await.good();
    let _third = other.follow(&path, None).await;
    pause(&other.get(&path).await, "too_many_open");
    // One that is closed makes room for the next.
    drop(first);
    wait_for("room", async || {
        let request = one.request(Method::GET, &path).send().await;
        (request.expect("an answer").status().as_u16() == 200).then_some(())
    })
    .await;
}

/// Says something over a bare connection, and hears all of the answer.
async fn say(core: SocketAddr, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(core).await.expect("a connection");
    let (mut reader, mut writer) = stream.split();
    // Whoever is answered before the end need not be read to the end.
    let said = async {
        let _ = writer.write_all(text).await;
    };
    let mut heard = Vec::new();
    let (read, ()) = tokio::join!(reader.read_to_end(&mut heard), said);
    read.expect("the answer is not cut off");
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_head_that_is_too_long_is_answered_and_not_cut_off() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let long = |length: usize| "x".repeat(length);
    let check = async |path: usize, header: usize, status: u16| {
        let request = admin.get(&format!("/healthz?{}", long(path)));
        let answer = request.header("x-filler", &long(header)).await;
        match status {
            200 => answer.status(200),
            status => {
                answer.problem(status, "too_large");
                &answer
            }
        };
    };
    check(8000, 0, 200).await;
    check(9000, 0, 414).await;
    check(0, 31 << 10, 200).await;
    check(0, 33 << 10, 431).await;
    check(0, 300 << 10, 431).await;
    // Beyond what is read at all.
    let get = |path: &str, more: &str| {
        format!("GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n").into_bytes()
    };
    for (text, status) in [
        (get("", &format!("a: {}\r\n", long(2 << 20))), "431"),
        (get("", &"a: b\r\n".repeat(5000)), "431"),
        (get(&long(70 << 10), ""), "414"),
    ] {
        let heard = say(core.http(), &text).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{heard}");
    }
}

#[tokio::test]
async fn over_http2_a_head_that_is_too_long_is_answered_too() {
    let core = TestCore::start().await;
    let stream = TcpStream::connect(core.http()).await.expect("connected");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    for (header, status) in [(31 << 10, 200), (33 << 10, 431), (200 << 10, 431)] {
        let url = format!("http://{}/healthz", core.http());
        let request = hyper::Request::get(url).header("x-filler", "x".repeat(header));
        let request = request.body(String::new()).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{header}");
    }
}

#[tokio::test]
async fn user_data_has_a_size() {
    let core = TestCore::start().await;
    let user_data = format!("#!/bin/sh\n{}", "#".repeat(64 << 10));
    let body = json!({"name": "big", "spec": {"image": "x", "user_data": user_data}});
    let path = format!("{DEFAULT}/instances");
    let problem = core.admin().post(&path).json(&body).await;
    let problem = problem.problem(422, "invalid");
    assert_eq!(problem["field"], "spec.user_data", "{problem}");
}

#[tokio::test]
async fn behind_a_proxy_plain_http_is_for_the_proxy_alone() {
    let start = async |trusted: &str| {
        TestCore::start_with(|configuration| {
            configuration.http_bind = ([0, 0, 0, 0], 0).into();
            configuration.tls.mode = TlsMode::BehindProxy;
            configuration.proxy.trusted = vec![trusted.parse().expect("a net")];
        })
        .await
    };
    // This machine may, as on loopback; so may the proxy.
    let core = start("192.0.2.1/32").await;
    let port = core.http().port();
    let local = SocketAddr::from(([127, 0, 0, 1], port));
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(say(local, ask).await.starts_with("HTTP/1.1 200"));
}
