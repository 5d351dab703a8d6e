//! Uploading bytes and naming them.

use reqwest::Method;
use rhyzome_model::Digest;
use rhyzome_testkit::{Actor, Answer, TestCore};
use serde_json::json;

use crate::DEFAULT;

/// The head of a bzImage (Documentation/arch/x86/boot.rst of Linux) with nothing behind it.
pub fn kernel() -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x211] = 1;
    bytes
}

/// Uploads bytes and returns their digest.
pub async fn upload(actor: &Actor, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    put(actor, digest, bytes).await.good();
    digest
}

async fn put(actor: &Actor, digest: Digest, bytes: &[u8]) -> Answer {
    let path = format!("{DEFAULT}/blobs/{digest}");
    actor
        .put(&path)
        .header("content-type", "application/octet-stream")
        .body(bytes.to_vec())
        .await
}

#[tokio::test]
async fn bytes_are_uploaded_once_and_named_by_their_digest() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let bytes = kernel();
    let digest = Digest::of(&bytes);
    let head = || admin.call(Method::HEAD, &format!("{DEFAULT}/blobs/{digest}"));
    head().await.status(404);
    assert_eq!(
        put(&admin, digest, &bytes).await.status(201).json()["size"],
        "4KiB"
    );
    put(&admin, digest, &bytes).await.status(200);
    head().await.status(200);
    let images = format!("{DEFAULT}/images");
    let body = json!({"name": "hello", "spec": {"digest": digest, "command_line": "ip={{ip}}"}});
    let image = admin.post(&images).json(&body).await.status(201).json();
    assert_eq!(image["format"]["family"], "linux", "{image}");
    admin
        .post(&images)
        .json(&body)
        .await
        .problem(409, "name_taken");
    let listed = admin.get(&images).await.good();
    assert_eq!(listed["items"][0]["digest"], digest.to_string());
    admin.delete(&format!("{images}/hello")).await.status(204);
    admin
        .get(&format!("{images}/hello"))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn bytes_of_another_digest_are_not_kept() {
    let core = TestCore::start().await;
    let admin = core.admin();
    let (bytes, other) = (kernel(), Digest::of(b"other"));
    let answer = put(&admin, other, &bytes).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "digest");
    admin
        .call(Method::HEAD, &format!("{DEFAULT}/blobs/{other}"))
        .await
        .status(404);
    admin
        .put(&format!("{DEFAULT}/blobs/xyz"))
        .body("x")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn an_upload_says_how_long_it_is() {
    let core = TestCore::start().await;
    let path = format!("{DEFAULT}/blobs/{}", Digest::of(b"x"));
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>("x")]);
    let call = core
        .admin()
        .put(&path)
        .body(reqwest::Body::wrap_stream(pieces));
    call.await.problem(411, "length_required");
}

#[tokio::test]
async fn more_than_a_json_body_may_have_can_be_uploaded() {
    let core = TestCore::start().await;
    upload(&core.admin(), &vec![7; 3 << 20]).await;
}

#[tokio::test]
async fn what_cannot_boot_is_refused_with_the_reason() {
    let core = TestCore::start().await;
    let digest = upload(&core.admin(), b"#!/bin/sh\necho hello\n").await;
    let body = json!({"name": "script", "spec": {"digest": digest}});
    let problem = core
        .admin()
        .post(&format!("{DEFAULT}/images"))
        .json(&body)
        .await;
    assert_eq!(problem.problem(422, "invalid")["field"], "spec.digest");
    let body = json!({"name": "none", "spec": {"digest": Digest::of(b"never")}});
    let problem = core
        .admin()
        .post(&format!("{DEFAULT}/images"))
        .json(&body)
        .await;
    assert_eq!(problem.problem(422, "invalid")["field"], "spec.digest");
}
