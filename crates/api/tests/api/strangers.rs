//! Every endpoint from the stranger's side, by the definition: what is forgotten here cannot be served.

use reqwest::Method;
use rhyzome_testkit::{Actor, TestCore};
use serde_json::Value;

/// What everybody may ask.
const OPEN: [&str; 7] = [
    "authority_get",
    "docs",
    "healthz",
    "join",
    "login_methods",
    "openapi",
    "readyz",
];
/// What takes a secret in its body, from people who are not known yet.
const ENTRANCE: [&str; 2] = ["invitation_redeem", "session_begin"];

struct Operation {
    id: String,
    method: Method,
    path: String,
    open: bool,
}

async fn operations(core: &TestCore) -> Vec<Operation> {
    let definition = core.anonymous().get("/openapi.json").await.good();
    let mut operations = Vec::new();
    for (path, item) in definition["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase().parse().expect("a method"),
                path: filled(path),
                open: operation["security"] == Value::from(vec![serde_json::json!({})]),
            });
        }
    }
    assert!(operations.len() > 40, "{} operations", operations.len());
    operations
}

/// Placeholders as something that could be there.
fn filled(path: &str) -> String {
    path.replace("{project}", "default")
        .replace("{name}", "web")
        .replace("{tag}", "debian:12")
        .replace("{digest}", &"0".repeat(64))
        .replace("{id}", "01a2031f-00ff-7281-b29f-513ab7a0dc4a")
}

async fn check_refused(actor: &Actor, operation: &Operation) {
    let answer = actor.call(operation.method.clone(), &operation.path).await;
    assert_eq!(answer.status.as_u16(), 401, "{}: {answer}", operation.id);
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer"),
        "{}",
        operation.id
    );
    // An answer to HEAD has no body.
    if operation.method != Method::HEAD {
        answer.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn no_operation_lets_anybody_in_without_a_token_of_this_site() {
    let core = TestCore::start().await;
    let (anonymous, stranger) = (core.anonymous(), core.stranger());
    let basic = core.admin().with_token("not-a-token");
    for operation in operations(&core).await {
        if ENTRANCE.contains(&operation.id.as_str()) {
            let asked = anonymous.call(operation.method.clone(), &operation.path);
            let answer = asked.json(&serde_json::json!({})).await;
            answer.problem(422, "invalid");
            continue;
        }
        if operation.open {
            assert!(
                OPEN.contains(&operation.id.as_str()),
                "{} is open",
                operation.id
            );
            anonymous
                .call(operation.method.clone(), &operation.path)
                .await
                .status(200);
            continue;
        }
        for actor in [&anonymous, &stranger, &basic] {
            check_refused(actor, &operation).await;
        }
    }
}

#[tokio::test]
async fn every_operation_refuses_a_parameter_that_it_does_not_know() {
    let core = TestCore::start().await;
    for operation in operations(&core)
        .await
        .iter()
        .filter(|operation| !operation.open)
    {
        let path = format!("{}?colour=blue", operation.path);
        let answer = core.admin().call(operation.method.clone(), &path).await;
        assert_eq!(answer.status.as_u16(), 422, "{}: {answer}", operation.id);
        if operation.method != Method::HEAD {
            assert_eq!(
                answer.problem(422, "unknown_field")["field"],
                "colour",
                "{}",
                operation.id
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_by_every_operation() {
    let core = TestCore::start().await;
    let missing = ["/v1/projects/nobody", "/web", "/debian:12", "/01a2031f"];
    for operation in operations(&core).await {
        let path = operation
            .path
            .replace("projects/default", "projects/nobody");
        let reads = matches!(operation.method, Method::GET | Method::HEAD);
        if !reads || !missing.iter().any(|part| path.contains(part)) {
            continue;
        }
        let answer = core.admin().call(operation.method.clone(), &path).await;
        assert_eq!(answer.status.as_u16(), 404, "{}: {answer}", operation.id);
    }
}
