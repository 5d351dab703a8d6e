//! Pages of lists, while the list changes.

use rhyzome_testkit::{Actor, TestCore};
use serde_json::{Value, json};

async fn create(admin: &Actor, name: &str) {
    admin
        .post("/v1/projects")
        .json(&json!({ "name": name }))
        .await
        .good();
}

fn names(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["name"].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn pages_are_stable_while_others_insert_and_delete() {
    let core = TestCore::start().await;
    let admin = core.admin();
    for name in ["b", "d", "f", "h", "j"] {
        create(&admin, name).await;
    }
    let first = admin.get("/v1/projects?limit=2").await.good();
    assert_eq!(names(&first), ["b", "d"]);
    // Before, at and behind the place where the next page begins.
    create(&admin, "a").await;
    create(&admin, "e").await;
    admin.delete("/v1/projects/d").await.status(204);
    let next = first["next"].as_str().expect("another page");
    let second = admin
        .get(&format!("/v1/projects?limit=3&after={next}"))
        .await
        .good();
    assert_eq!(names(&second), ["default", "e", "f"]);
    let next = second["next"].as_str().expect("another page");
    let third = admin
        .get(&format!("/v1/projects?limit=3&after={next}"))
        .await
        .good();
    assert_eq!(names(&third), ["h", "j"]);
    assert_eq!(third["next"], Value::Null);
}

#[tokio::test]
async fn a_page_that_holds_all_says_that_there_is_no_other() {
    let core = TestCore::start().await;
    create(&core.admin(), "b").await;
    let whole = core.admin().get("/v1/projects?limit=2").await.good();
    assert_eq!((names(&whole).len(), &whole["next"]), (2, &Value::Null));
}

#[tokio::test]
async fn a_limit_is_1_to_1000() {
    let core = TestCore::start().await;
    for limit in ["0", "1001", "-1", "ten", ""] {
        let answer = core
            .admin()
            .get(&format!("/v1/projects?limit={limit}"))
            .await;
        assert_eq!(answer.problem(422, "invalid")["field"], "limit", "{limit}");
    }
    core.admin().get("/v1/projects?limit=1000").await.good();
}
