//! Tags: pointed at images, moved, chosen by, and seen by nobody else.

use rhyzome_testkit::{Actor, Answer};
use serde_json::{Value, json};

use crate::images::{kernel, upload};
use crate::{DEFAULT, Site};

/// Names a kernel of its own in the default project.
async fn image(site: &Site, name: &str, command_line: &str) -> String {
    let admin = site.core.admin();
    let mut bytes = kernel();
    bytes.extend(name.as_bytes());
    let digest = upload(&admin, &bytes).await;
    let spec = json!({"digest": digest, "command_line": command_line});
    let body = json!({"name": name, "spec": spec});
    let path = format!("{DEFAULT}/images");
    admin.post(&path).json(&body).await.status(201);
    digest.to_string()
}

async fn point(actor: &Actor, tag: &str, image: &str) -> Answer {
    let path = format!("{DEFAULT}/image-tags/{tag}");
    actor
        .put(&path)
        .json(&json!({"spec": {"image": image}}))
        .await
}

fn names(listed: &Value, field: &str) -> Vec<String> {
    let items = listed["items"].as_array().expect("items");
    let name = |item: &Value| item[field].as_str().expect("a name").to_owned();
    items.iter().map(name).collect()
}

#[tokio::test]
async fn a_tag_is_made_moved_and_deleted() {
    let site = Site::start().await;
    let admin = site.core.admin();
    let old = image(&site, "debian-old", "").await;
    let new = image(&site, "debian-new", "").await;
    let path = format!("{DEFAULT}/image-tags/debian:12");
    admin.get(&path).await.problem(404, "not_found");
    let made = point(&admin, "debian:12", "debian-old").await;
    let first = made.etag();
    assert_eq!(made.status(201).json()["digest"], old);
    assert_eq!(
        point(&admin, "debian:12", "debian-old").await.etag(),
        first,
        "nothing has changed"
    );
    let moved = point(&admin, "debian:12", "debian-new").await;
    let second = moved.etag();
    let moved = moved.status(200).json();
    assert_eq!(
        (&moved["digest"], &moved["generation"]),
        (&json!(new), &json!(2))
    );
    let stale = admin.put(&path).header("if-match", &first);
    let stale = stale.json(&json!({"spec": {"image": "debian-old"}})).await;
    stale.problem(412, "changed");
    let stale = admin.delete(&path).header("if-match", &first).await;
    stale.problem(412, "changed");

    point(&admin, "debian:stable", "debian-new")
        .await
        .status(201);
    let listed = admin.get(&format!("{DEFAULT}/image-tags")).await.good();
    assert_eq!(names(&listed, "tag"), ["debian:12", "debian:stable"]);
    let page = format!("{DEFAULT}/image-tags?limit=1");
    let page = admin.get(&page).await.good();
    assert_eq!(
        (names(&page, "tag"), &page["next"]),
        (vec!["debian:12".to_owned()], &json!("debian:12"))
    );
    let shown = admin.get(&format!("{DEFAULT}/images/debian-new")).await;
    assert_eq!(shown.good()["tags"], json!(["debian:12", "debian:stable"]));

    admin
        .delete(&path)
        .header("if-match", &second)
        .await
        .status(204);
    admin.delete(&path).await.problem(404, "not_found");
    admin
        .delete(&format!("{DEFAULT}/images/debian-new"))
        .await
        .status(204);
    let listed = admin.get(&format!("{DEFAULT}/image-tags")).await.good();
    assert_eq!(listed["items"], json!([]), "they go with their image");
}

#[tokio::test]
async fn images_are_chosen_by_tag_and_by_family() {
    let site = Site::start().await;
    let admin = site.core.admin();
    for name in ["debian-11", "debian-12", "web"] {
        image(&site, name, "").await;
    }
    point(&admin, "debian:11", "debian-11").await.status(201);
    point(&admin, "debian:12", "debian-12").await.status(201);
    point(&admin, "debian:stable", "debian-12")
        .await
        .status(201);
    point(&admin, "debian2:1", "web").await.status(201);
    let check = async |tag: &str, expect: &[&str]| {
        let path = format!("{DEFAULT}/images?tag={tag}");
        let listed = admin.get(&path).await.good();
        assert_eq!(names(&listed, "name"), expect, "{tag}");
    };
    check("debian:12", &["debian-12"]).await;
    check("debian", &["debian-11", "debian-12"]).await;
    check("debian:10", &[]).await;
    let all = admin.get(&format!("{DEFAULT}/images")).await.good();
    assert_eq!(names(&all, "name"), ["debian-11", "debian-12", "web"]);
    let tags: Vec<&Value> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["tags"])
        .collect();
    assert_eq!(
        tags,
        [
            &json!(["debian:11"]),
            &json!(["debian:12", "debian:stable"]),
            &json!(["debian2:1"])
        ]
    );
    let wrong = admin.get(&format!("{DEFAULT}/images?tag=Debian")).await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "tag");
}

#[tokio::test]
async fn what_is_no_tag_or_points_nowhere_is_refused() {
    let site = Site::start().await;
    let admin = site.core.admin();
    image(&site, "web", "").await;
    let nowhere = point(&admin, "web:1", "absent").await;
    assert_eq!(nowhere.problem(422, "invalid")["field"], "spec.image");
    for wrong in ["web", "web:", "sha256:12", "Web:1"] {
        point(&admin, wrong, "web").await.problem(404, "not_found");
    }
    for (image, part) in [
        ("web:1", "no image has the tag web:1"),
        ("web:", "behind its colon"),
    ] {
        let body = json!({"name": "one", "spec": {"image": image}});
        let refused = admin
            .post(&format!("{DEFAULT}/instances"))
            .json(&body)
            .await;
        let refused = refused.problem(422, "invalid");
        assert_eq!(refused["field"], "spec.image");
        assert!(refused["detail"].to_string().contains(part), "{refused}");
    }
}

#[tokio::test]
async fn a_tag_that_moves_changes_no_instance() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.network("lab").await;
    let old = image(&site, "debian-old", "quiet ip={{ip}}").await;
    let new = image(&site, "debian-new", "loud").await;
    point(&admin, "debian:12", "debian-old").await.status(201);
    let spec = json!({"image": "debian:12", "networks": ["lab"]});
    let body = json!({"name": "one", "spec": spec});
    let path = format!("{DEFAULT}/instances?wait=30s");
    let made = admin.post(&path).json(&body).await.good();
    assert_eq!(
        (&made["spec"]["image"], &made["status"]["image"]),
        (&json!("debian:12"), &json!(old))
    );
    let line = made["status"]["command_line"].clone();
    assert!(
        line.as_str()
            .is_some_and(|line| line.starts_with("quiet ip=")),
        "{line}"
    );

    point(&admin, "debian:12", "debian-new").await.status(200);
    let image = json!({"spec": {"digest": new, "command_line": "other"}});
    admin
        .put(&format!("{DEFAULT}/images/debian-old"))
        .json(&image)
        .await
        .good();
    let one = format!("{DEFAULT}/instances/one");
    let shown = admin.get(&one).await.good();
    assert_eq!(
        (&shown["generation"], &shown["status"]["image"]),
        (&made["generation"], &json!(old))
    );
    let spec = json!({"image": "debian:12", "networks": ["lab"], "cpus": 2});
    let changed = admin.put(&one).json(&json!({"spec": spec})).await.good();
    assert_eq!(
        (
            &changed["status"]["image"],
            &changed["status"]["command_line"]
        ),
        (&json!(old), &line)
    );

    let body = json!({"name": "two", "spec": {"image": "debian:12", "networks": ["lab"]}});
    let second = admin.post(&path).json(&body).await.good();
    assert_eq!(second["status"]["image"], new);
    let refused = admin.delete(&format!("{DEFAULT}/images/debian-old")).await;
    let refused = refused.problem(409, "in_use");
    assert!(
        refused["detail"]
            .to_string()
            .contains("the instance one was made"),
        "{refused}"
    );
}

#[tokio::test]
async fn all_users_of_an_image_are_named_as_far_as_a_sentence_bears_it() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.image("hello").await;
    let check = async |expect: &str| {
        let refused = admin.delete(&format!("{DEFAULT}/images/hello")).await;
        assert_eq!(refused.problem(409, "in_use")["detail"], expect);
    };
    let more = async |range: std::ops::Range<usize>| {
        for number in range {
            let body = json!({"name": format!("i{number:02}"), "spec": {"image": "hello", "power": "stopped"}});
            admin
                .post(&format!("{DEFAULT}/instances"))
                .json(&body)
                .await
                .status(201);
        }
    };
    more(0..1).await;
    check("the instance i00 was made from the image hello").await;
    more(1..3).await;
    check("the instances i00, i01, i02 were made from the image hello").await;
    more(3..12).await;
    check(
        "the instances i00, i01, i02, i03, i04, i05, i06, i07, i08, i09 and 2 more were made from the image hello",
    )
    .await;
}

#[tokio::test]
async fn tags_of_another_project_cannot_be_seen_used_or_moved() {
    let site = Site::start().await;
    let admin = site.core.admin();
    admin
        .post("/v1/projects")
        .json(&json!({"name": "other"}))
        .await
        .status(201);
    image(&site, "debian-12", "").await;
    point(&admin, "debian:12", "debian-12").await.status(201);

    let strange = |what: &str| format!("/v1/projects/other/{what}");
    admin
        .get(&strange("image-tags/debian:12"))
        .await
        .problem(404, "not_found");
    admin
        .delete(&strange("image-tags/debian:12"))
        .await
        .problem(404, "not_found");
    let listed = admin.get(&strange("image-tags")).await.good();
    assert_eq!(listed["items"], json!([]));
    let listed = admin.get(&strange("images?tag=debian")).await.good();
    assert_eq!(listed["items"], json!([]));
    let body = json!({"name": "one", "spec": {"image": "debian:12"}});
    let used = admin.post(&strange("instances")).json(&body).await;
    let used = used.problem(422, "invalid");
    assert_eq!(used["detail"], "no image has the tag debian:12");
    let body = json!({"spec": {"image": "debian-12"}});
    let moved = admin
        .put(&strange("image-tags/debian:12"))
        .json(&body)
        .await;
    assert_eq!(
        moved.problem(422, "invalid")["detail"],
        "there is no image debian-12"
    );
    // Its stream begins with what happened in it: nothing of the tag above.
    let mine = "own";
    let digest = {
        let bytes = kernel();
        let digest = rhyzome_model::Digest::of(&bytes);
        let put = admin.put(&strange(&format!("blobs/{digest}")));
        put.body(bytes).await.good();
        digest
    };
    let body = json!({"name": mine, "spec": {"digest": digest}});
    admin.post(&strange("images")).json(&body).await.status(201);
    let mut stream = admin.follow(&strange("events"), None).await;
    let told = stream
        .until(|told| told.data["resource_name"] == *mine)
        .await;
    let about = |told: &rhyzome_testkit::Told| told.data["resource_kind"].clone();
    assert!(
        !told.iter().map(about).any(|kind| kind == "image_tag"),
        "{told:?}"
    );
}
