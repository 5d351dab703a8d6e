//! `?wait=`.

use std::time::{Duration, Instant};

use rhyzome_component::fake::Fault;
use rhyzome_model::job::FailureKind;
use serde_json::json;

use crate::{DEFAULT, Site};

#[tokio::test]
async fn where_the_time_runs_out_the_present_state_is_the_answer() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.router.driver.faults().hold();
    let networks = format!("{DEFAULT}/networks");
    let body = json!({"name": "lan", "spec": {}});
    let begun = Instant::now();
    let made = admin
        .post(&format!("{networks}?wait=1s"))
        .json(&body)
        .await
        .status(201)
        .json();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(made["status"]["phase"], "pending", "{made}");
    // A reader who waits is answered as soon as it is ready.
    let path = format!("{networks}/lan?wait=30s");
    let reader = tokio::spawn(admin.get(&path).into_future());
    site.router.driver.faults().let_through(1);
    let seen = reader.await.expect("an answer").good();
    assert_eq!(seen["status"]["phase"], "ready", "{seen}");
    let path = format!("{networks}/lan?wait=1s");
    let left = admin.delete(&path).await.status(202).json();
    assert_eq!(left["status"]["phase"], "deleting", "{left}");
    site.router.driver.faults().let_through(1);
    let gone = admin.delete(&format!("{networks}/lan?wait=30s")).await;
    // It may be gone before this is asked.
    assert!(matches!(gone.status.as_u16(), 204 | 404), "{gone:?}");
}

#[tokio::test]
async fn a_failure_ends_the_waiting_and_is_told() {
    let site = Site::start().await;
    let failure = Fault::Fail(FailureKind::Permanent, "no such bridge".to_owned());
    site.router.driver.faults().next(failure);
    let body = json!({"name": "lan", "spec": {}});
    let path = format!("{DEFAULT}/networks?wait=30s");
    let made = site
        .core
        .admin()
        .post(&path)
        .json(&body)
        .await
        .status(201)
        .json();
    assert_eq!(made["status"]["phase"], "failed", "{made}");
    assert!(
        made["status"]["conditions"]
            .to_string()
            .contains("no such bridge"),
        "{made}"
    );
}

#[tokio::test]
async fn without_waiting_the_answer_comes_at_once() {
    let site = Site::start().await;
    site.router.driver.faults().hold();
    let body = json!({"name": "lan", "spec": {}});
    let call = site
        .core
        .admin()
        .post(&format!("{DEFAULT}/networks"))
        .json(&body);
    assert_eq!(call.await.status(201).json()["status"]["phase"], "pending");
}

#[tokio::test]
async fn a_repetition_gets_the_answer_of_one_that_is_still_waiting() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.router.driver.faults().hold();
    let create = || {
        let body = json!({"name": "lan", "spec": {}});
        let call = admin.post(&format!("{DEFAULT}/networks?wait=30s"));
        call.header("idempotency-key", "k1")
            .json(&body)
            .into_future()
    };
    let first = tokio::spawn(create());
    let path = format!("{DEFAULT}/networks/lan");
    rhyzome_testkit::wait_for("the network", async || {
        admin.get(&path).await.status.is_success().then_some(())
    })
    .await;
    // The first one's caller gives up; its work goes on.
    first.abort();
    let second = tokio::spawn(create());
    site.router.driver.faults().let_through(1);
    let answer = second.await.expect("an answer");
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(answer.good()["status"]["phase"], "ready");
}

#[tokio::test]
async fn those_who_wait_are_answered_when_the_core_stops() {
    let Site {
        core,
        router,
        hypervisor,
    } = Site::start().await;
    let admin = core.admin();
    router.driver.faults().hold();
    let body = json!({"name": "lan", "spec": {}});
    let call = admin
        .post(&format!("{DEFAULT}/networks?wait=5m"))
        .json(&body);
    let waiting = tokio::spawn(call.into_future());
    rhyzome_testkit::wait_for("the network", async || {
        admin
            .get(&format!("{DEFAULT}/networks/lan"))
            .await
            .status
            .is_success()
            .then_some(())
    })
    .await;
    core.stop().await;
    let answer = waiting.await.expect("an answer");
    assert_eq!(answer.status(201).json()["status"]["phase"], "pending");
    drop(hypervisor);
}

#[tokio::test]
async fn a_time_to_wait_is_seconds_or_minutes() {
    let site = Site::start().await;
    for wrong in ["30", "6m", "1h", "-1s", ""] {
        let answer = site
            .core
            .admin()
            .get(&format!("{DEFAULT}/networks/lan?wait={wrong}"))
            .await;
        assert_eq!(answer.problem(422, "invalid")["field"], "wait", "{wrong}");
    }
}
