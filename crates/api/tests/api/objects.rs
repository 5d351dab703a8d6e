//! Backups of a site whose images are in object storage: a real S3 server in this process.

use std::path::{Path, PathBuf};

use rhyzome_api::backup::{self, BackupError, Wanted};
use rhyzome_api::configuration::{Blobs, Configuration};
use rhyzome_settings::Secret;
use rhyzome_store::testing::Database;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::{DEFAULT, images, moving};

/// An S3 server on loopback that lives as long as the test.
async fn serve(folder: &Path) -> String {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).expect("a folder"));
    service.set_auth(SimpleAuth::from_single("core", "right"));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let executor = hyper_util::rt::TokioExecutor::new();
                let http = hyper_util::server::conn::auto::Builder::new(executor);
                let socket = hyper_util::rt::TokioIo::new(socket);
                let _ = http.serve_connection(socket, service).await;
            });
        }
    });
    format!("http://{address}")
}

async fn keep(settings: &Configuration, file: &Path, with_images: bool) -> String {
    let wanted = Wanted {
        file,
        with_images,
        overwrite: false,
    };
    let kept = backup::backup(settings, wanted).await.expect("a backup");
    kept.lines().join("\n")
}

/// Where a site is restored to.
struct Elsewhere {
    settings: Configuration,
    _folder: tempfile::TempDir,
    _database: Database,
}

impl Elsewhere {
    async fn like(settings: &Configuration, blobs: Blobs) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new(folder.path()).await;
        let settings = moving::elsewhere(settings, folder.path(), &database);
        Self {
            settings: Configuration { blobs, ..settings },
            _folder: folder,
            _database: database,
        }
    }

    async fn restore(&self, file: &Path) -> Result<String, BackupError> {
        let restored = backup::restore(&self.settings, file, false).await;
        Ok(restored?.lines().join("\n"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_its_images_in_object_storage_comes_back_with_them_or_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = folder.path().join("s3/images");
    std::fs::create_dir_all(&bucket).expect("a bucket");
    let endpoint = serve(&folder.path().join("s3")).await;
    let objects = Blobs {
        url: Some("s3://images/site".to_owned()),
        endpoint: Some(endpoint),
        access_key_id: Some("core".to_owned()),
        secret_access_key: Some(Secret::from("right".to_owned())),
        ..Blobs::default()
    };
    let core = rhyzome_testkit::TestCore::start_with(|configuration| {
        configuration.blobs = objects.clone();
    })
    .await;
    let bytes = images::kernel();
    let digest = images::upload(&core.admin(), &bytes).await;
    let source = core.configuration().clone();
    let without = folder.path().join("without.tar");
    let told = keep(&source, &without, false).await;
    assert!(
        told.contains("not the bytes of 1 images, which stay in s3://images/site"),
        "{told}"
    );
    assert!(!told.contains("upload them again"), "{told}");
    let with = folder.path().join("with.tar");
    let told = keep(&source, &with, true).await;
    assert!(told.contains("the bytes of 1 images"), "{told}");
    let mut stopped = core.stop_for_now().await;

    let no_objects = Blobs::default();
    let lost = |told: &str| told.contains("not to be had") && told.contains(&digest.to_string());
    // In this order: the bucket is emptied before the fourth, and gone before the last.
    for (step, file, blobs, is_lost) in [
        ("where it was", &without, &objects, false),
        ("nowhere", &without, &no_objects, true),
        ("into the folder", &with, &no_objects, false),
        ("into an empty bucket", &with, &objects, false),
        ("out of an empty bucket", &without, &objects, true),
    ] {
        if step.contains("empty") {
            std::fs::remove_dir_all(&bucket).expect("it is emptied");
            std::fs::create_dir(&bucket).expect("a bucket");
        }
        let place = Elsewhere::like(&source, blobs.clone()).await;
        let told = place.restore(file).await.expect("the site is back");
        assert_eq!(lost(&told), is_lost, "{step}: {told}");
        stopped.configuration = place.settings.clone();
        let core = stopped.start().await;
        let path = format!("{DEFAULT}/blobs/{}", digest);
        let answer = core.admin().get(&path).await;
        if is_lost {
            let problem = answer.problem(409, "wrong_state");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(detail.contains("import the image again"), "{detail}");
        } else {
            answer.status(200);
            assert_eq!(answer.bytes, bytes, "{step}");
        }
        stopped = core.stop_for_now().await;
    }

    std::fs::remove_dir_all(&bucket).expect("it is gone");
    let place = Elsewhere::like(&source, objects.clone()).await;
    let told = place.restore(&without).await.expect("the site is back");
    assert!(
        told.contains("not to be had") || told.contains("not looked at"),
        "{told}"
    );
    let place = Elsewhere::like(&source, objects).await;
    let refused = place.restore(&with).await.expect_err("no bucket");
    assert!(
        matches!(refused, BackupError::Location { .. }),
        "{refused:?}"
    );
    // It is as if nothing had been begun: another configuration takes it.
    let place = Elsewhere {
        settings: Configuration {
            blobs: no_objects,
            ..place.settings.clone()
        },
        ..place
    };
    place.restore(&with).await.expect("the site is back");
    let kept: PathBuf = place.settings.state_dir.join("blobs");
    assert!(kept.exists());
}
