//! Inventories without end.

use rhyzome_model::job::Outcome;
use rhyzome_model::placement::{Found, Observed, PlacementKind, PlacementRef};
use rhyzome_model::{ComponentId, PlacementId};
use rhyzome_proto::session::{FromComponent, FromCore, GoodbyeReason, JobOutcome};
use rhyzome_testkit::BOUND;
use uuid::Uuid;

use super::{crashed, says};
use crate::Site;
use crate::raw::{Raw, joined};

fn stray(number: usize) -> Found {
    let id = Uuid::from_u128(number as u128);
    Found {
        placement: PlacementRef {
            id: PlacementId(id),
            kind: PlacementKind::Segment,
            resource: id,
            network: None,
        },
        generation: 1,
        observed: None,
        differs: String::new(),
    }
}

/// Says what is on its host, and removes what it is told to, until the core ends the session or has nothing
/// more to be done.
async fn session(liar: &mut Raw, there: &mut Vec<Found>) -> Option<FromCore> {
    let (found, last) = (there.clone(), true);
    liar.say(FromComponent::Inventory { found, last }).await;
    while !there.is_empty() {
        match liar.hear().await.expect("it is told why the session ends") {
            FromCore::Job(job) => {
                let target = job.task.target().id;
                there.retain(|found| found.placement.id != target);
                let (job, fence, outcome) = (job.id, job.fence, Outcome::Removed);
                let outcome = JobOutcome {
                    job,
                    fence,
                    outcome,
                };
                liar.say(FromComponent::Outcome(outcome)).await;
            }
            end @ FromCore::Goodbye { .. } => return Some(end),
            _ => {}
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_very_much_that_nobody_knows_is_cleared_session_by_session() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (admin, core) = (site.core.admin(), site.core.grpc_url());
    let me = joined(&admin, &core, "full", folder.path()).await;
    let mut there: Vec<Found> = (0..1100).map(stray).collect();

    let mut full = Raw::open(&core, &me).await;
    let end = tokio::time::timeout(BOUND, session(&mut full, &mut there)).await;
    let end = end.expect("in time").expect("a goodbye");
    let FromCore::Goodbye { reason, message } = &end else {
        panic!("{end:?}")
    };
    assert_eq!(*reason, GoodbyeReason::Failed);
    assert!(
        message.contains("the rest is to be told again"),
        "{message}"
    );
    assert_eq!(there.len(), 100);
    let told = admin.get("/v1/events?follow=false&limit=1000").await.good();
    let told = told["items"].as_array().expect("items").iter();
    let told: Vec<_> = told.filter(|it| it["what"] == "crowded").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["resource_name"], "full");
    let message = told[0]["message"].as_str().expect("a sentence");
    assert!(message.starts_with("its host has 100 things more that nobody knows"));

    let mut full = Raw::open(&core, &me).await;
    let end = tokio::time::timeout(BOUND, session(&mut full, &mut there)).await;
    assert_eq!(end.expect("in time"), None, "it is done");
    let mut conn = site.core.core().store.read().await.expect("a connection");
    let id: ComponentId = me.component_id().parse().expect("an id");
    // The last outcomes are on their way yet.
    let known = async {
        while rhyzome_store::placement::count_unknown(&mut conn, id)
            .await
            .expect("a count")
            > 0
        {
            full.hear().await.expect("the session goes on");
        }
    };
    tokio::time::timeout(BOUND, known).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_does_not_end_ends_its_session_before_it_fills_the_memory() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (admin, core) = (site.core.admin(), site.core.grpc_url());
    let me = joined(&admin, &core, "liar", folder.path()).await;
    let Observed::Instance(mut wordy) = crashed() else {
        panic!("an instance")
    };
    wordy.reason = "x".repeat(8 << 20);
    let wordy = Found {
        observed: Some(Observed::Instance(wordy)),
        ..stray(1)
    };
    let many: Vec<Found> = (0..50_000).map(stray).collect();
    for (found, parts) in [(vec![wordy], 17), (many, 5)] {
        let mut liar = Raw::open(&core, &me).await;
        for _ in 0..parts {
            let part = FromComponent::Inventory {
                found: found.clone(),
                last: false,
            };
            if !liar.say(part).await {
                break;
            }
        }
        let end = tokio::time::timeout(BOUND, liar.end()).await;
        let end = end.expect("in time").expect("a goodbye");
        assert!(says(&end, "the inventory does not end"), "{end:?}");
    }
}
