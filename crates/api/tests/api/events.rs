//! Events as streams and as pages: complete, in order, resumable.

use std::collections::BTreeSet;

use rhyzome_testkit::{Actor, TestCore};
use serde_json::json;

async fn create(admin: &Actor, name: &str) {
    admin
        .post("/v1/projects")
        .json(&json!({ "name": name }))
        .await
        .good();
}

#[tokio::test]
async fn a_stream_tells_what_was_and_what_comes() {
    let core = TestCore::start().await;
    let admin = core.admin();
    create(&admin, "first").await;
    let mut stream = admin.follow("/v1/events", None).await;
    let told = stream
        .until(|told| told.data["resource_name"] == "first")
        .await;
    let told = told.last().expect("the last one");
    assert_eq!(
        (told.event.as_str(), &told.data["resource_kind"]),
        ("created", &json!("project"))
    );
    assert_eq!(told.data["id"], told.id);
    create(&admin, "second").await;
    let told = stream.next().await.expect("another event");
    assert_eq!(told.data["resource_name"], "second");
}

#[tokio::test]
async fn a_reader_that_comes_back_again_and_again_misses_nothing_and_sees_nothing_twice() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let writers = (0..4).map(|writer| {
        let admin = admin.clone();
        tokio::spawn(async move {
            for number in 0..25 {
                create(&admin, &format!("p{writer}-{number}")).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (mut ids, mut names, mut last) = (Vec::new(), BTreeSet::new(), None);
    while names.len() < 100 {
        let mut stream = admin.follow("/v1/events", last).await;
        // Seven at a time, then the connection is dropped.
        for _ in 0..7 {
            let told = stream.next().await.expect("an event");
            ids.push(told.id);
            last = Some(told.id);
            let name = told.data["resource_name"]
                .as_str()
                .expect("a name")
                .to_owned();
            assert!(names.insert(name), "{told:?} was told twice");
            if names.len() == 100 {
                break;
            }
        }
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert!(ids.windows(2).all(|two| two[0] < two[1]), "{ids:?}");
    let pages = admin.get("/v1/events?follow=false&limit=1000").await.good();
    let stored: Vec<_> = pages["items"].as_array().expect("items").iter().collect();
    assert_eq!(stored.len(), ids.len());
    assert!(
        stored
            .iter()
            .zip(&ids)
            .all(|(event, id)| event["id"] == *id)
    );
}

#[tokio::test]
async fn a_project_is_told_of_its_own_events_alone() {
    let core = TestCore::start().await;
    let admin = core.admin();
    create(&admin, "mine").await;
    create(&admin, "other").await;
    let page = admin
        .get("/v1/projects/mine/events?follow=false")
        .await
        .good();
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{page}");
    assert_eq!(items[0]["resource_name"], "mine");
    admin
        .get("/v1/projects/nobody/events")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn pages_of_events_go_on_behind_an_id() {
    let core = TestCore::start().await;
    let admin = core.admin();
    for name in ["a", "b", "c"] {
        create(&admin, name).await;
    }
    let first = admin.get("/v1/events?follow=false&limit=2").await.good();
    let next = first["next"].as_str().expect("another page");
    let second = admin
        .get(&format!("/v1/events?follow=false&limit=2&after={next}"))
        .await
        .good();
    assert_eq!(
        second["items"].as_array().map(Vec::len),
        Some(1),
        "{second}"
    );
    assert_eq!(second["next"], serde_json::Value::Null);
    let behind = admin
        .get("/v1/events?follow=false")
        .header("last-event-id", next)
        .await
        .good();
    assert_eq!(behind["items"], second["items"]);
    let wrong = admin.get("/v1/events").header("last-event-id", "x").await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "Last-Event-ID");
}

#[tokio::test]
async fn streams_end_when_the_core_stops() {
    let core = TestCore::start().await;
    let mut stream = core.admin().follow("/v1/events", None).await;
    let begun = std::time::Instant::now();
    core.stop().await;
    assert_eq!(stream.next().await, None);
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
