//! `ETag` and `If-Match`.

use rhyzome_testkit::TestCore;
use serde_json::json;

use crate::{DEFAULT, Site};

#[tokio::test]
async fn a_change_that_was_not_seen_is_not_overwritten() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lan").await;
    let path = format!("{DEFAULT}/networks/lan");
    let seen = admin.get(&path).await.etag();
    let update = |egress: bool, tag: &str| {
        let body = json!({"spec": {"egress": egress}});
        admin.put(&path).header("if-match", tag).json(&body)
    };
    let mine = update(true, &seen).await;
    assert_eq!(mine.good()["generation"], 2);
    assert_ne!(mine.etag(), seen);
    update(false, &seen).await.problem(412, "changed");
    admin
        .delete(&path)
        .header("if-match", &seen)
        .await
        .problem(412, "changed");
    assert_eq!(admin.get(&path).await.good()["spec"]["egress"], true);
    update(false, &mine.etag()).await.good();
    update(true, "*").await.good();
    let last = admin.get(&path).await.etag();
    admin
        .delete(&format!("{path}?wait=30s"))
        .header("if-match", &last)
        .await
        .status(204);
}

#[tokio::test]
async fn a_tag_of_one_that_was_deleted_does_not_fit_another_of_its_name() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let create = || admin.post("/v1/projects").json(&json!({"name": "shop"}));
    let first = create().await.etag();
    admin
        .delete("/v1/projects/shop")
        .header("if-match", &first)
        .await
        .status(204);
    let second = create().await.etag();
    assert_ne!(first, second);
    let answer = admin
        .delete("/v1/projects/shop")
        .header("if-match", &first)
        .await;
    answer.problem(412, "changed");
    admin
        .delete("/v1/projects/shop")
        .header("if-match", &second)
        .await
        .status(204);
    admin
        .delete("/v1/projects/shop")
        .header("if-match", &second)
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_tag_is_of_the_state_that_was_asked_for_and_not_of_what_is_observed() {
    let site = Site::start().await;
    let made = site.network("lan").await;
    let path = format!("{DEFAULT}/networks/lan");
    let answer = site.core.admin().get(&path).await;
    assert_eq!(answer.good()["generation"], made["generation"]);
    let again = site.core.admin().get(&path).await;
    assert_eq!(answer.etag(), again.etag());
}

#[tokio::test]
async fn what_is_no_tag_is_refused() {
    let core = TestCore::start().await;
    for wrong in ["1", "W/\"1-ab\"", "\"x\"", "\"1-a\", \"2-b\"x"] {
        let answer = core
            .admin()
            .delete("/v1/projects/default")
            .header("if-match", wrong)
            .await;
        assert_eq!(
            answer.problem(422, "invalid")["field"],
            "If-Match",
            "{wrong}"
        );
    }
}
