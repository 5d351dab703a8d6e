//! The API's definition: the committed file against the code, and what is served of it.

use rhyzome_testkit::TestCore;

#[test]
fn the_committed_definition_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let current = rhyzome_api::openapi::text();
    let first = committed
        .lines()
        .zip(current.lines())
        .enumerate()
        .find(|(_, (a, b))| a != b);
    assert!(
        committed == current,
        "openapi.json is not what the code says (first at {first:?}); run \
         `cargo run -p rhyzome-api -- openapi > openapi.json`"
    );
}

#[tokio::test]
async fn definition_and_documentation_are_for_everybody() {
    let core = TestCore::start().await;
    let definition = core.anonymous().get("/openapi.json").await;
    assert_eq!(
        definition.status(200).header("content-type"),
        Some("application/json")
    );
    let info = &definition.json()["info"];
    assert_eq!(info["license"]["identifier"], "CC-BY-SA-4.0");
    let page = core.anonymous().get("/docs").await;
    assert_eq!(
        page.status(200).header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .is_some_and(|p| p.starts_with("default-src 'none'"))
    );
    let license = info["license"]["name"].as_str().expect("a licence");
    let contact = info["contact"]["name"].as_str().expect("somebody to ask");
    for part in ["instance_create", "/openapi.json", license, contact] {
        assert!(page.text().contains(part), "{part} is not in the page");
    }
}
