//! `Idempotency-Key`: repetitions, reuse, secrets.

use rhyzome_testkit::{Actor, Call, TestCore};
use serde_json::json;

use crate::DEFAULT;

fn create(actor: &Actor, key: &str, name: &str) -> Call {
    let body = json!({ "name": name });
    actor
        .post("/v1/projects")
        .header("idempotency-key", key)
        .json(&body)
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_does_nothing() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let first = create(&admin, "k1", "shop").await;
    let again = create(&admin, "k1", "shop").await;
    assert_eq!(
        (again.status, again.json(), again.etag()),
        (first.status, first.good(), first.etag())
    );
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // Without the key it is another request.
    admin
        .post("/v1/projects")
        .json(&json!({"name": "shop"}))
        .await
        .problem(409, "name_taken");
    // Also when it is gone again, and after a restart.
    admin.delete("/v1/projects/shop").await.status(204);
    let core = core.restart().await;
    assert_eq!(
        create(&core.admin(), "k1", "shop").await.json(),
        first.json()
    );
    core.admin()
        .get("/v1/projects/shop")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_key_belongs_to_one_body_and_one_path() {
    let core = TestCore::start().await;
    let admin = core.admin();
    create(&admin, "k1", "shop").await.good();
    create(&admin, "k1", "other")
        .await
        .problem(422, "idempotency_key_reused");
    let elsewhere = admin
        .post(&format!("{DEFAULT}/networks"))
        .header("idempotency-key", "k1");
    let answer = elsewhere.json(&json!({"name": "shop"})).await;
    answer.problem(422, "idempotency_key_reused");
    admin
        .get("/v1/projects/other")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn many_at_once_are_done_once() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let all = (0..8).map(|_| tokio::spawn(create(&admin, "k1", "shop").into_future()));
    let mut answers = Vec::new();
    for task in all.collect::<Vec<_>>() {
        answers.push(task.await.expect("an answer"));
    }
    let ids: Vec<_> = answers
        .iter()
        .map(|answer| answer.good()["id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let first = answers
        .iter()
        .filter(|answer| answer.header("idempotency-replayed").is_none());
    assert_eq!(first.count(), 1);
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let core = TestCore::start().await;
    let admin = core.admin();
    admin
        .post("/v1/projects")
        .json(&json!({"name": "shop"}))
        .await
        .good();
    create(&admin, "k1", "shop")
        .await
        .problem(409, "name_taken");
    admin.delete("/v1/projects/shop").await.status(204);
    create(&admin, "k1", "shop").await.status(201);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let core = TestCore::start().await;
    let create = || {
        let call = core
            .admin()
            .post("/v1/component-tokens")
            .header("idempotency-key", "k1");
        call.json(&json!({"kind": "libvirt"}))
    };
    let shown = create().await.status(201).good();
    let token = shown["token"].as_str().expect("a token");
    create().await.problem(409, "secret_already_shown");
    let kept = rhyzome_store::copy::export(&core.core().store).await;
    let kept = kept.expect("all that is kept");
    assert!(kept.iter().any(|(_, rows)| !rows.is_empty()));
    let found = kept
        .iter()
        .flat_map(|(_, rows)| rows)
        .any(|row| rhyzome_store::copy::line(row).contains(token));
    assert!(!found, "the token is in the database");
}

#[tokio::test]
async fn a_key_is_visible_ascii() {
    let core = TestCore::start().await;
    for wrong in ["", "with space", &"x".repeat(129)] {
        let answer = create(&core.admin(), wrong, "shop").await;
        assert_eq!(
            answer.problem(422, "invalid")["field"],
            "Idempotency-Key",
            "{wrong:?}"
        );
    }
    core.anonymous()
        .post("/v1/projects")
        .header("idempotency-key", "k")
        .await
        .status(401);
}
