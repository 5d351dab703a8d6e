//! Bytes of images from the core.

use std::sync::Arc;

use rhyzome_component::blobs::CoreBlobs;
use rhyzome_component::driver::{Blobs as _, Progress};
use rhyzome_component::{Component, DriverError};
use rhyzome_model::component::ComponentKind;
use rhyzome_model::instance::BlobPin;
use rhyzome_model::job::FailureKind;
use rhyzome_model::{Digest, Size};
use tempfile::TempDir;

use super::site::{Site, setup};

struct Fetching {
    site: Site,
    folder: TempDir,
    blobs: CoreBlobs,
}

impl Fetching {
    async fn start() -> Self {
        let site = Site::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        site.join(folder.path(), ComponentKind::Libvirt).await;
        let component = Component::open(setup(folder.path())).expect("opened");
        let blobs = CoreBlobs::new(Arc::clone(&component.link()), "image");
        Self {
            site,
            folder,
            blobs,
        }
    }

    /// Lets the core have some bytes.
    fn put(&self, bytes: &[u8]) -> BlobPin {
        let digest = Digest::of(bytes);
        self.site
            .gateway
            .state()
            .blobs
            .insert(digest, bytes.to_vec());
        BlobPin {
            digest,
            size: Size::bytes(bytes.len() as u64),
        }
    }

    async fn fetch(&self, blob: BlobPin) -> Result<Vec<u8>, DriverError> {
        let (progress, _) = Progress::new();
        let to = self.folder.path().join("image");
        let _ = std::fs::remove_file(&to);
        let fetched = self.blobs.fetch(blob, to.clone(), &progress).await;
        assert_eq!(
            to.exists(),
            fetched.is_ok(),
            "a file is there exactly where it was fetched"
        );
        fetched.map(|()| std::fs::read(to).expect("the file"))
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count)
        .map(|index| (index * index % 251) as u8)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_goes_on_where_it_ended() {
    let fetching = Fetching::start().await;
    let bytes = bytes(1_000_000);
    let blob = fetching.put(&bytes);
    fetching.site.gateway.state().breaks = vec![262_144, 300_000];
    assert_eq!(fetching.fetch(blob).await.expect("fetched"), bytes);
    let offsets = fetching.site.gateway.state().offsets.clone();
    // A chunk that was not whole when the stream broke is fetched again.
    assert_eq!(offsets, [0, 262_144, 524_288]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_was_given_up_goes_on_at_the_next_try() {
    let fetching = Fetching::start().await;
    let bytes = bytes(600_000);
    let blob = fetching.put(&bytes);
    fetching.site.gateway.state().breaks = vec![262_144, 0, 0, 0, 0];
    let error = fetching.fetch(blob).await.expect_err("it broke too often");
    assert_eq!(error.kind, FailureKind::Transient);
    fetching.site.gateway.state().offsets.clear();
    assert_eq!(fetching.fetch(blob).await.expect("fetched"), bytes);
    assert_eq!(fetching.site.gateway.state().offsets, [262_144]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_were_asked_for_are_not_kept() {
    let fetching = Fetching::start().await;
    let blob = fetching.put(&bytes(1000));
    fetching
        .site
        .gateway
        .state()
        .blobs
        .insert(blob.digest, vec![7; 1000]);
    let error = fetching.fetch(blob).await.expect_err("another digest");
    assert_eq!(error.kind, FailureKind::Transient);
    let said = [blob.digest, Digest::of(&[7; 1000])].map(|digest| digest.to_string());
    assert!(
        said.iter().all(|part| error.message.contains(part)),
        "{error}"
    );
    let left = std::fs::read(fetching.folder.path().join("image.partial"));
    assert_eq!(left.expect("a file"), b"", "nothing is kept of them");
    fetching
        .site
        .gateway
        .state()
        .blobs
        .insert(blob.digest, vec![7; 2000]);
    fetching.fetch(blob).await.expect_err("another size");
    let right = bytes(1000);
    fetching
        .site
        .gateway
        .state()
        .blobs
        .insert(blob.digest, right.clone());
    assert_eq!(fetching.fetch(blob).await.expect("fetched"), right);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_has_another_size_is_not_asked_again() {
    let fetching = Fetching::start().await;
    let blob = fetching.put(&bytes(1000));
    fetching.site.gateway.state().announced = Some(1001);
    let error = fetching.fetch(blob).await.expect_err("another size");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(
        error
            .message
            .contains("has 1001 bytes as the image sha256:"),
        "{error}"
    );
    assert_eq!(fetching.site.gateway.state().offsets, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_there_and_empty_ones_have_their_answers() {
    let fetching = Fetching::start().await;
    let absent = BlobPin {
        digest: Digest::of(b"absent"),
        size: Size::bytes(6),
    };
    let error = fetching.fetch(absent).await.expect_err("not there");
    assert_eq!(error.kind, FailureKind::Permanent);
    let empty = fetching.put(b"");
    assert_eq!(fetching.fetch(empty).await.expect("fetched"), b"");
}

#[test]
fn bytes_that_do_not_fit_are_taken_away_again_and_fetched_when_there_is_room() {
    rhyzome_testkit::Disk::with(12, |disk| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let fetching = Fetching::start().await;
            let image = bytes(8 << 20);
            let blob = fetching.put(&image);
            let to = disk.path().join("image");
            let progress = Progress::new().0;
            disk.fill(3000);
            let fetched = fetching.blobs.fetch(blob, to.clone(), &progress).await;
            let error = fetched.expect_err("it does not fit");
            assert_eq!(error.kind, FailureKind::Transient);
            let said = error.chain();
            let on = format!("the disk of {} has 0B of 12MiB free", disk.path().display());
            for part in [
                "image.partial could not be written",
                &on,
                "No space left on device",
            ] {
                assert!(said.contains(part), "{part:?} is not in {said}");
            }
            let left = std::fs::read_dir(disk.path()).expect("the disk");
            let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
            assert_eq!(left, ["ballast"]);

            disk.free();
            let fetched = fetching.blobs.fetch(blob, to.clone(), &progress).await;
            fetched.expect("it fits");
            assert!(
                std::fs::read(to).expect("it is there") == image,
                "other bytes"
            );
        });
    });
}
