//! Uploads that go on, downloads of parts, and bytes that were damaged.

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use reqwest::Method;
use rhyzome_model::Digest;
use rhyzome_testkit::{Actor, Answer, TestCore, wait_for};
use serde_json::json;

use crate::DEFAULT;
use crate::images::{kernel, upload};

fn bytes() -> Vec<u8> {
    (0..5_000_000u32).map(|index| (index % 251) as u8).collect()
}

async fn patch(
    actor: &Actor,
    digest: Digest,
    offset: usize,
    size: usize,
    body: impl Into<reqwest::Body>,
) -> Answer {
    patch_in("default", actor, digest, (offset, size), body).await
}

async fn patch_in(
    project: &str,
    actor: &Actor,
    digest: Digest,
    (offset, size): (usize, usize),
    body: impl Into<reqwest::Body>,
) -> Answer {
    let path = format!("/v1/projects/{project}/uploads/{digest}");
    let call = actor.call(Method::PATCH, &path).body(body);
    let call = call.header("upload-offset", &offset.to_string());
    call.header("upload-length", &size.to_string()).await
}

async fn head(actor: &Actor, digest: Digest) -> u16 {
    let path = format!("{DEFAULT}/blobs/{digest}");
    actor.call(Method::HEAD, &path).await.status.as_u16()
}

/// All files of the image host.
fn files(core: &TestCore) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                below(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&core.state_dir().join("blobs"), &mut found);
    found
}

#[tokio::test]
async fn an_upload_goes_on_where_it_ended_also_after_the_core_was_started_again() {
    let core = TestCore::start().await;
    let bytes = bytes();
    let (digest, size) = (Digest::of(&bytes), bytes.len());
    let answer = patch(&core.admin(), digest, 0, size, bytes[..3_000_000].to_vec()).await;
    assert_eq!(answer.status(202).json()["offset"], 3_000_000);

    let core = core.restart().await;
    let admin = core.admin();
    let found = admin
        .get(&format!("{DEFAULT}/uploads/{digest}"))
        .await
        .good();
    assert_eq!(
        (found["offset"].as_u64(), &found["receiving"]),
        (Some(3_000_000), &json!(false))
    );
    let listed = admin.get(&format!("{DEFAULT}/uploads")).await.good();
    assert_eq!(listed["items"][0]["digest"], digest.to_string());
    let wrong = patch(&admin, digest, 100, size, bytes[100..].to_vec()).await;
    let problem = wrong.problem(409, "wrong_state");
    assert!(
        problem["detail"].to_string().contains("3000000"),
        "{problem}"
    );
    assert_eq!(head(&admin, digest).await, 404, "it is not whole");

    patch(&admin, digest, 3_000_000, size, bytes[3_000_000..].to_vec())
        .await
        .status(201);
    assert_eq!(head(&admin, digest).await, 200);
    admin
        .get(&format!("{DEFAULT}/uploads/{digest}"))
        .await
        .problem(404, "not_found");
    let got = admin.get(&format!("{DEFAULT}/blobs/{digest}")).await;
    assert!(got.status(200).bytes == bytes);
    assert_eq!(files(&core).len(), 1);
}

#[tokio::test]
async fn what_came_before_a_connection_broke_is_kept() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let bytes = bytes();
    let (digest, size) = (Digest::of(&bytes), bytes.len());
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    let path = format!("{DEFAULT}/uploads/{digest}");
    let raw = admin.request(Method::PATCH, &path);
    let raw = raw
        .header("upload-offset", "0")
        .header("upload-length", size);
    let sent = raw.body(reqwest::Body::wrap_stream(body)).send();
    let breaking = async {
        sender.send(Ok(bytes[..4_300_000].to_vec())).await.unwrap();
        wait_for("a piece to arrive", async || {
            let found = admin.get(&path).await;
            (found.status == 200 && found.json()["offset"] != 0).then_some(())
        })
        .await;
        let gone = Err(std::io::Error::other("the client is gone"));
        sender.send(gone).await.unwrap();
    };
    let (sent, ()) = tokio::join!(sent, breaking);
    sent.expect_err("the client broke it off");
    let offset = wait_for("the upload to be free", async || {
        let found = admin.get(&path).await;
        let found = (found.status == 200).then(|| found.json())?;
        let offset = found["offset"]
            .as_u64()
            .filter(|_| found["receiving"] == false)?;
        usize::try_from(offset).ok()
    })
    .await;
    assert!((4_000_000..=4_300_000).contains(&offset), "{offset}");
    patch(&admin, digest, offset, size, bytes[offset..].to_vec())
        .await
        .status(201);
}

#[tokio::test]
async fn nothing_is_kept_of_bytes_that_were_not_announced() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let (bytes, other) = (bytes(), Digest::of(b"other"));
    patch(&admin, other, 0, bytes.len(), bytes[..10].to_vec())
        .await
        .status(202);
    let answer = patch(&admin, other, 10, bytes.len(), bytes[10..].to_vec()).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "digest");
    assert_eq!(files(&core), Vec::<PathBuf>::new());
    let answer = patch(&admin, other, 0, 10, bytes[..20].to_vec()).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "size");
    assert_eq!(files(&core), Vec::<PathBuf>::new());
    let answer = patch(&admin, other, 0, 0, Vec::new()).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "size");
    patch(&admin, other, 0, 10, bytes[..5].to_vec())
        .await
        .status(202);
    let path = format!("{DEFAULT}/uploads/{other}");
    admin.delete(&path).await.status(204);
    admin.delete(&path).await.problem(404, "not_found");
    assert_eq!(files(&core), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_project_does_not_learn_what_another_one_has_or_sends() {
    let core = TestCore::start().await;
    let admin = core.admin();
    admin
        .post("/v1/projects")
        .json(&json!({"name": "other"}))
        .await
        .status(201);
    let bytes = kernel();
    let (digest, size) = (Digest::of(&bytes), bytes.len());
    patch(&admin, digest, 0, size, bytes[..100].to_vec())
        .await
        .status(202);
    let strange = |what: &str| format!("/v1/projects/other/{what}");
    let look = async || {
        admin
            .get(&strange(&format!("uploads/{digest}")))
            .await
            .problem(404, "not_found");
        admin
            .get(&strange(&format!("blobs/{digest}")))
            .await
            .problem(404, "not_found");
        let listed = admin.get(&strange("uploads")).await.good();
        assert_eq!(listed["items"], json!([]));
        let on = patch_in("other", &admin, digest, (100, size), bytes[100..].to_vec()).await;
        on.problem(409, "wrong_state");
    };
    look().await;
    patch(&admin, digest, 100, size, bytes[100..].to_vec())
        .await
        .status(201);
    look().await;
    // Who has the bytes may have them: they are kept once.
    patch_in("other", &admin, digest, (0, size), bytes)
        .await
        .status(201);
    admin
        .get(&strange(&format!("blobs/{digest}")))
        .await
        .status(200);
    assert_eq!(files(&core).len(), 1);
}

#[tokio::test]
async fn of_two_that_send_the_same_one_waits_and_neither_is_harmed() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let bytes = kernel();
    let (digest, size) = (Digest::of(&bytes), bytes.len());
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    let first = patch(&admin, digest, 0, size, reqwest::Body::wrap_stream(body));
    let second = async {
        sender.send(Ok(bytes[..2000].to_vec())).await.unwrap();
        let path = format!("{DEFAULT}/uploads/{digest}");
        wait_for("the first to be received", async || {
            let found = admin.get(&path).await;
            (found.status == 200 && found.json()["receiving"] == true).then_some(())
        })
        .await;
        let answer = patch(&admin, digest, 0, size, bytes.clone()).await;
        answer.problem(409, "in_use");
        sender.send(Ok(bytes[2000..].to_vec())).await.unwrap();
        drop(sender);
    };
    let (first, ()) = tokio::join!(first, second);
    first.status(201);
    assert_eq!(head(&admin, digest).await, 200);
}

#[tokio::test]
async fn a_part_is_downloaded() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let bytes = kernel();
    let digest = upload(&admin, &bytes).await;
    let path = format!("{DEFAULT}/blobs/{digest}");
    let part = admin.get(&path).header("range", "bytes=510-520").await;
    assert_eq!(part.status(206).bytes, bytes[510..=520]);
    assert_eq!(part.header("content-range"), Some("bytes 510-520/4096"));
    let etag = part.etag();
    let part = admin
        .get(&path)
        .header("range", "bytes=4000-")
        .header("if-range", &etag)
        .await;
    assert_eq!(part.status(206).bytes, bytes[4000..]);
    let whole = admin
        .get(&path)
        .header("range", "bytes=1-")
        .header("if-range", "\"x\"")
        .await;
    assert_eq!(whole.status(200).bytes, bytes);
    let none = admin.get(&path).header("range", "bytes=4096-").await;
    assert_eq!(
        none.status(416).header("content-range"),
        Some("bytes */4096")
    );
}

#[tokio::test]
async fn damaged_bytes_are_not_served_until_they_are_uploaded_again() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let bytes = kernel();
    let digest = upload(&admin, &bytes).await;
    let body = json!({"name": "hello", "spec": {"digest": digest}});
    admin
        .post(&format!("{DEFAULT}/images"))
        .json(&body)
        .await
        .status(201);
    let path = format!("{DEFAULT}/blobs/{digest}");
    let file = files(&core).pop().expect("its file");
    let mut damaged = bytes.clone();
    damaged[7] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let verify = format!("{DEFAULT}/images/hello/verify");
    let found = admin.get(&verify).await.good();
    assert_eq!(found["good"], true, "nobody has looked: {found}");
    let found = admin
        .post(&format!("{verify}?wait=30s"))
        .await
        .status(200)
        .json();
    assert_eq!(
        (&found["good"], &found["running"]),
        (&json!(false), &json!(false))
    );
    let damage = found["blobs"][0]["damage"].to_string();
    assert!(damage.contains("digest"), "{found}");
    admin.get(&path).await.problem(404, "not_found");
    assert_eq!(
        head(&admin, digest).await,
        404,
        "so that it is uploaded again"
    );
    upload(&admin, &bytes).await;
    assert_eq!(admin.get(&path).await.status(200).bytes, bytes);
    assert_eq!(files(&core).len(), 1, "the damaged ones are gone");
    let found = admin
        .post(&format!("{verify}?wait=30s"))
        .await
        .status(200)
        .json();
    assert_eq!(found["good"], true, "{found}");
}

#[tokio::test]
async fn a_download_that_finds_damage_does_not_end_and_the_next_is_refused() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let bytes = bytes();
    let digest = upload(&admin, &bytes).await;
    let path = format!("{DEFAULT}/blobs/{digest}");
    let file = files(&core).pop().expect("its file");
    let mut damaged = bytes.clone();
    damaged[4_000_000] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let begun = admin.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(begun.status(), 200);
    begun.bytes().await.expect_err("its end is held back");
    wait_for("the damage to be noted", async || {
        (head(&admin, digest).await == 404).then_some(())
    })
    .await;
    admin.get(&path).await.problem(404, "not_found");

    upload(&admin, &bytes).await;
    let file = files(&core).pop().expect("its file");
    std::fs::write(&file, &bytes[1..]).unwrap();
    let begun = admin.request(Method::GET, &path).send().await.unwrap();
    begun.bytes().await.expect_err("it is too short");
    wait_for("the damage to be noted", async || {
        (head(&admin, digest).await == 404).then_some(())
    })
    .await;
}
