//! What holds for every request: problems, unknown fields, sizes, ids.

use reqwest::Method;
use rhyzome_testkit::TestCore;
use serde_json::json;

use crate::DEFAULT;

#[tokio::test]
async fn a_field_that_is_not_known_is_refused_with_its_name() {
    let core = TestCore::start().await;
    let networks = format!("{DEFAULT}/networks");
    let check = async |body: serde_json::Value, code: &str, field: &str| {
        let problem = core
            .admin()
            .post(&networks)
            .json(&body)
            .await
            .problem(422, code);
        assert_eq!(problem["field"], field, "{problem}");
    };
    check(
        json!({"name": "lan", "spec": {}, "colour": 1}),
        "unknown_field",
        "colour",
    )
    .await;
    check(
        json!({"name": "lan", "spec": {"egres": true}}),
        "unknown_field",
        "spec.egres",
    )
    .await;
    check(
        json!({"name": "lan", "spec": {"egress": "yes"}}),
        "invalid",
        "spec.egress",
    )
    .await;
    check(json!({"name": "Lan", "spec": {}}), "invalid", "name").await;
    check(json!({"spec": {}}), "invalid", "name").await;
    check(
        json!({"name": "lan", "spec": {"ipv4": "8.8.8.0/24"}}),
        "invalid",
        "spec.ipv4",
    )
    .await;
    assert_eq!(core.admin().get(&networks).await.good()["items"], json!([]));
}

#[tokio::test]
async fn a_body_that_is_none_is_refused_for_what_it_is() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let projects = || admin.post("/v1/projects");
    let typed = || projects().header("content-type", "application/json");
    typed().body("{\"name\":").await.problem(400, "malformed");
    typed().body("").await.problem(400, "malformed");
    projects()
        .body("{\"name\":\"x\"}")
        .await
        .problem(415, "unsupported_media_type");
    typed()
        .body(" ".repeat((1 << 20) + 1))
        .await
        .problem(413, "too_large");
    typed()
        .header("content-type", "application/json")
        .body("[]")
        .await
        .problem(422, "invalid");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let core = TestCore::start().await;
    let admin = core.admin();
    admin.get("/v1/nothing").await.problem(404, "not_found");
    admin.get("/").await.problem(404, "not_found");
    core.anonymous()
        .get("/v1/nothing")
        .await
        .problem(404, "not_found");
    admin
        .get("/v1/projects/nobody")
        .await
        .problem(404, "not_found");
    admin
        .get("/v1/projects/NOBODY")
        .await
        .problem(404, "not_found");
    admin
        .get("/v1/projects/default/networks/%2e%2e")
        .await
        .problem(404, "not_found");
    admin.get("/v1/jobs/x").await.problem(404, "not_found");
    let answer = admin.call(Method::PATCH, "/v1/projects").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow").map(str::is_empty), Some(false));
}

#[tokio::test]
async fn every_answer_has_the_requests_id() {
    let core = TestCore::start().await;
    let made = core.admin().get("/v1/projects").await;
    assert_eq!(made.header("x-request-id").map(str::len), Some(36));
    let given = core
        .admin()
        .get("/healthz")
        .header("x-request-id", "proxy-12345")
        .await;
    assert_eq!(given.header("x-request-id"), Some("proxy-12345"));
    for harmful in [
        "short",
        "with spaces in it",
        &"x".repeat(65),
        "a\"b\"c\"d\"e",
    ] {
        let answer = core
            .admin()
            .get("/healthz")
            .header("x-request-id", harmful)
            .await;
        assert_eq!(
            answer.header("x-request-id").map(str::len),
            Some(36),
            "{harmful}"
        );
    }
}

#[tokio::test]
async fn figures_are_for_known_callers_and_count_by_operation() {
    let core = TestCore::start().await;
    core.admin().get("/v1/projects").await.good();
    core.admin()
        .get("/v1/projects/default/networks/secret-name")
        .await
        .status(404);
    core.admin()
        .get("/v1/no/such/secret-path")
        .await
        .status(404);
    let figures = core.admin().get("/metrics").await;
    let text = figures.status(200).text();
    for line in [
        "rhyzome_http_requests_total{operation=\"project_list\",status=\"200\"} 1",
        "rhyzome_http_requests_total{operation=\"network_get\",status=\"404\"} 1",
        "rhyzome_http_requests_total{operation=\"none\",status=\"404\"} 1",
        "rhyzome_http_request_duration_seconds_count{operation=\"project_list\"} 1",
        "rhyzome_jobs{state=\"queued\"} 0",
        "rhyzome_components_connected 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
}
