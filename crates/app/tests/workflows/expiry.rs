//! What nobody goes on with or names any more goes with its bytes, and nothing that somebody needs. The
//! clock is the test's.

use std::path::{Path, PathBuf};

use rhyzome_app::upload::{self, Appended, Part};
use rhyzome_app::{Kind, housekeeping, image};
use rhyzome_model::image::{Blob, ImageSpec};
use rhyzome_model::{Digest, Size};

use super::site::{Site, name, tiny_kernel};

const HOUR: i64 = 3600 * 1000;

/// All files of the image host.
fn files(site: &Site) -> Vec<PathBuf> {
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
    below(&site.blobs(), &mut found);
    found
}

fn bytes(last: u8) -> Vec<u8> {
    let mut bytes = tiny_kernel();
    bytes.push(last);
    bytes
}

async fn send(site: &Site, bytes: &[u8], range: std::ops::Range<usize>) -> Appended {
    let part = Part {
        digest: Digest::of(bytes),
        size: Size::bytes(bytes.len() as u64),
        offset: range.start as u64,
        anew: false,
    };
    let sent = upload::append(&site.core, &site.admin, &site.default, part, &bytes[range]).await;
    sent.expect("sent")
}

async fn send_all(site: &Site, bytes: &[u8]) -> Digest {
    let size = Size::bytes(bytes.len() as u64);
    let digest = Digest::of(bytes);
    let sent = send(site, bytes, 0..bytes.len()).await;
    assert_eq!(sent, Appended::Wholly(Blob { digest, size }));
    digest
}

async fn name_it(site: &Site, text: &str, digest: Digest) -> Result<(), rhyzome_app::Error> {
    let spec = ImageSpec {
        digest,
        initrd: None,
        command_line: String::new(),
    };
    let made = image::create(&site.core, &site.admin, &site.default, name(text), spec).await;
    made.map(drop)
}

async fn tidy(site: &Site) {
    housekeeping::once(&site.core).await.expect("tidied");
}

#[tokio::test]
async fn an_upload_that_nobody_goes_on_with_for_a_day_goes_with_its_bytes() {
    let site = Site::new().await;
    let (left, gone_on) = (bytes(1), bytes(2));
    send(&site, &left, 0..1000).await;
    send(&site, &gone_on, 0..1000).await;
    site.clock.advance(20 * HOUR);
    tidy(&site).await;
    assert_eq!(files(&site).len(), 2, "a day has not passed");
    send(&site, &gone_on, 1000..2000).await;
    site.clock.advance(5 * HOUR);
    tidy(&site).await;
    let get = async |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        upload::get(&site.core, &site.admin, &site.default, digest).await
    };
    let gone = get(&left).await.expect_err("it is forgotten");
    assert_eq!(gone.kind(), Kind::NotFound);
    let kept = get(&gone_on).await.expect("somebody went on with it");
    assert_eq!(kept.offset, 2000);
    assert_eq!(files(&site).len(), 1);
    send(&site, &gone_on, 2000..gone_on.len()).await;
    // What was forgotten begins anew.
    send_all(&site, &left).await;
}

#[tokio::test]
async fn bytes_that_nothing_names_are_collected_after_a_day() {
    let site = Site::new().await;
    let unnamed = send_all(&site, &bytes(1)).await;
    let named = send_all(&site, &bytes(2)).await;
    name_it(&site, "named", named).await.expect("named");
    for hours in [0, 20] {
        site.clock.advance(hours * HOUR);
        tidy(&site).await;
        assert_eq!(files(&site).len(), 2, "after {hours} hours");
    }
    site.clock.advance(5 * HOUR);
    tidy(&site).await;
    assert_eq!(files(&site).len(), 1);
    let gone = image::blob(&site.core, &site.admin, &site.default, unnamed).await;
    assert_eq!(gone.expect_err("collected").kind(), Kind::NotFound);
    let refused = name_it(&site, "late", unnamed)
        .await
        .expect_err("it is gone");
    assert_eq!(refused.field(), Some("spec.digest"));

    // A name that goes takes its bytes along, a day later; what an instance pins stays.
    image::delete(&site.core, &site.admin, &site.default, &name("named"), None)
        .await
        .expect("deleted");
    tidy(&site).await;
    site.clock.advance(25 * HOUR);
    tidy(&site).await;
    assert_eq!(files(&site), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn bytes_of_an_instance_stay_when_their_image_has_others() {
    let site = Site::new().await;
    let first = site.image().await;
    site.instance("one", &[]).await.expect("made");
    let second = send_all(&site, &bytes(2)).await;
    let spec = ImageSpec {
        digest: second,
        initrd: None,
        command_line: String::new(),
    };
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    image::update(core, admin, default, &name("tiny"), spec, None)
        .await
        .expect("updated");
    for _ in 0..3 {
        site.clock.advance(25 * HOUR);
        tidy(&site).await;
    }
    assert_eq!(files(&site).len(), 2);
    image::blob(core, admin, default, first)
        .await
        .expect("the instance needs it");
}

#[tokio::test]
async fn bytes_that_somebody_asks_for_again_in_their_last_moment_are_not_collected() {
    let site = Site::new().await;
    let all = [bytes(1), bytes(2), bytes(3)];
    let mut digests = Vec::new();
    for bytes in &all {
        digests.push(send_all(&site, bytes).await);
    }
    tidy(&site).await;
    site.clock.advance(25 * HOUR);
    // Due, all of them. One is named, one is asked for before it is named, one is sent again.
    name_it(&site, "named", digests[0]).await.expect("named");
    image::blob_asked_for(&site.core, digests[1])
        .await
        .expect("asked for");
    send_all(&site, &all[2]).await;
    tidy(&site).await;
    assert_eq!(files(&site).len(), 3);
    for (text, digest) in [("asked", digests[1]), ("sent", digests[2])] {
        name_it(&site, text, digest).await.expect("it is there");
    }
}

#[tokio::test]
async fn whoever_names_bytes_while_they_are_collected_has_them_or_is_told_that_they_are_gone() {
    let site = Site::new().await;
    let (mut kept, mut refused) = (0, 0);
    for round in 0..12 {
        let bytes = bytes(round);
        let digest = send_all(&site, &bytes).await;
        tidy(&site).await;
        site.clock.advance(25 * HOUR);
        let text = format!("image-{round}");
        // At the same moment, one first and then the other.
        let (named, ()) = if round % 2 == 0 {
            tokio::join!(name_it(&site, &text, digest), tidy(&site))
        } else {
            let (tidied, named) = tokio::join!(tidy(&site), name_it(&site, &text, digest));
            (named, tidied)
        };
        tidy(&site).await;
        let there = image::blob(&site.core, &site.admin, &site.default, digest).await;
        match named {
            Ok(()) => {
                there.expect("what has a name is there");
                let read = rhyzome_app::blob::read(&site.core, digest, (0, bytes.len() as u64));
                let mut read = read.await.expect("its bytes, too");
                let mut found = Vec::new();
                tokio::io::AsyncReadExt::read_to_end(&mut read, &mut found)
                    .await
                    .expect("read");
                assert_eq!(found, bytes);
                kept += 1;
            }
            Err(error) => {
                assert_eq!(error.field(), Some("spec.digest"));
                there.expect_err("gone");
                refused += 1;
            }
        }
    }
    assert_eq!(kept + refused, 12);
    assert!(kept > 0, "the name was never first");
    assert_eq!(files(&site).len(), kept);
}
