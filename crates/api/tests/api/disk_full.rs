//! Disks that are full: of the core's images, of its database, of a component. Each is a real one of a few
//! MiB in a mount namespace of the test's own. Needs root.

use std::path::Path;

use reqwest::Method;
use rhyzome_api::configuration::TlsMode;
use rhyzome_model::Digest;
use rhyzome_model::component::ComponentKind;
use rhyzome_testkit::{Actor, Disk, Simulated, TestCore, wait_for};
use serde_json::{Value, json};

use crate::DEFAULT;

/// Runs a test on a disk that nobody else sees.
fn on_a_disk<F: Future<Output = ()>>(mib: usize, test: impl FnOnce(Disk) -> F + Send + 'static) {
    Disk::with(mib, |disk| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(test(disk));
    });
}

async fn send(admin: &Actor, bytes: &[u8], offset: usize) -> rhyzome_testkit::Answer {
    let digest = Digest::of(bytes);
    let path = format!("{DEFAULT}/uploads/{digest}");
    let call = admin.call(Method::PATCH, &path);
    let call = call.body(bytes[offset..].to_vec());
    let call = call.header("upload-offset", &offset.to_string());
    call.header("upload-length", &bytes.len().to_string()).await
}

#[test]
fn an_upload_that_finds_the_disk_full_goes_on_when_there_is_room() {
    on_a_disk(24, |disk| async move {
        let state = disk.path().join("core");
        let core = TestCore::start_with(|configuration| {
            configuration.tls.mode = TlsMode::Off;
            configuration.state_dir = state;
        });
        let core = core.await;
        let admin = core.admin();
        let bytes: Vec<u8> = (0..8_000_000_u32).map(|it| (it % 251) as u8).collect();
        disk.fill(3000);
        let answer = send(&admin, &bytes, 0).await;
        let problem = answer.problem(409, "no_capacity");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(
            detail.contains("the core's disk is full") && detail.contains("go on with the upload"),
            "{detail}"
        );
        assert!(
            disk.left() > 1000,
            "the piece that does not fit keeps the room"
        );
        // It is no image, and others are answered.
        let digest = Digest::of(&bytes);
        let blob = format!("{DEFAULT}/blobs/{digest}");
        let head = admin.call(Method::HEAD, &blob).await;
        head.status(404);
        let kept = admin
            .get(&format!("{DEFAULT}/uploads/{digest}"))
            .await
            .good();
        let offset = kept["offset"].as_u64().expect("an offset");
        let offset = usize::try_from(offset).expect("an offset");
        assert!(offset < bytes.len());

        disk.free();
        send(&admin, &bytes, offset).await.status(201);
        let got = admin.get(&blob).await;
        assert!(got.status(200).bytes == bytes, "other bytes arrived");
        core.stop().await;
    });
}

async fn make(admin: &Actor, name: &str) -> rhyzome_testkit::Answer {
    let body = json!({"name": name, "spec": {}});
    admin
        .post(&format!("{DEFAULT}/networks?wait=30s"))
        .json(&body)
        .await
}

async fn names(admin: &Actor) -> Vec<Value> {
    let listed = admin
        .get(&format!("{DEFAULT}/networks?limit=1000"))
        .await
        .good();
    let items = listed["items"].as_array().expect("items");
    items.iter().map(|item| item["name"].clone()).collect()
}

#[test]
fn a_database_whose_disk_is_full_changes_nothing_and_goes_on_when_there_is_room() {
    on_a_disk(16, |disk| async move {
        let url = format!("sqlite://{}", disk.path().join("rhyzome.db").display());
        let core = TestCore::start_with(|configuration| {
            configuration.tls.mode = TlsMode::Off;
            configuration.db = Some(url);
        });
        let core = core.await;
        let admin = core.admin();
        let router = core.router("router").await;
        make(&admin, "first").await.good();
        let wanted = json!({"name": "unused", "spec": {"role": "viewer"}});
        let call = admin.post(&format!("{DEFAULT}/tokens")).json(&wanted);
        let minted = call.await.good();
        let unused = admin.with_token(minted["secret"].as_str().expect("a secret"));
        disk.fill(0);
        let mut made = vec![json!("first")];
        let mut refused = None;
        // What the database had to spare is used up first.
        for number in 0..200 {
            let name = format!("n{number}");
            let body = json!({"name": name, "spec": {}});
            let answer = admin.post(&format!("{DEFAULT}/networks")).json(&body).await;
            if answer.status == 503 {
                refused = Some((name, answer.problem(503, "unavailable")));
                break;
            }
            answer.good();
            made.push(json!(name));
        }
        let (name, problem) = refused.expect("the disk is not full");
        let detail = problem["detail"].as_str().expect("a detail");
        for part in [
            "disk of the core's database is full",
            "nothing was changed",
            "free some space",
        ] {
            assert!(detail.contains(part), "{part:?} is not in {detail}");
        }
        let mut seen = names(&admin).await;
        seen.sort_by_key(ToString::to_string);
        made.sort_by_key(ToString::to_string);
        assert_eq!(seen, made);
        // Nor does the audit log say that what was refused was made.
        let audit = admin
            .get(&format!("{DEFAULT}/audit?limit=1000"))
            .await
            .good();
        let told = |name: &Value| {
            let entries = audit["items"].as_array().expect("items").iter();
            let of =
                |e: &&Value| e["operation"] == "network_create" && e["resource"]["name"] == *name;
            entries.filter(of).count()
        };
        assert!(made.iter().all(|name| told(name) == 1), "{audit}");
        assert_eq!(told(&json!(name)), 0, "{audit}");
        // That a token is used for the first time cannot be noted, and is no reason to refuse it.
        assert_eq!(names(&unused).await.len(), made.len());

        disk.free();
        let again = wait_for("there is room", async || {
            let answer = make(&admin, &name).await;
            (answer.status != 503).then_some(answer)
        })
        .await;
        assert_eq!(again.good()["status"]["phase"], "ready");
        router.wait_connected(&admin, true).await;
        for name in made {
            let path = format!("{DEFAULT}/networks/{}", name.as_str().expect("a name"));
            wait_for("all that was answered is made", async || {
                let shown = admin.get(&path).await.good();
                (shown["status"]["phase"] == "ready").then_some(())
            })
            .await;
        }
        core.stop().await;
    });
}

async fn join(core: &TestCore, folder: &Path) -> Simulated {
    let (admin, url) = (core.admin(), core.grpc_url());
    Simulated::join(
        &admin,
        &url,
        ComponentKind::Linux,
        "router",
        folder.join("router"),
    )
    .await
}

#[test]
fn a_component_whose_disk_is_full_does_nothing_and_says_so_until_there_is_room() {
    on_a_disk(4, |disk| async move {
        let core = TestCore::start().await;
        let admin = core.admin();
        let router = join(&core, disk.path()).await;
        make(&admin, "first").await.good();
        let count = router.driver.count();
        disk.fill(0);
        let body = json!({"name": "second", "spec": {}});
        admin
            .post(&format!("{DEFAULT}/networks"))
            .json(&body)
            .await
            .good();
        let path = format!("{DEFAULT}/networks/second");
        let why = wait_for("it is told", async || {
            let shown = admin.get(&path).await.good();
            let text = shown["status"].to_string();
            text.contains("ledger").then_some(text)
        })
        .await;
        for part in [
            "ledger could not be written",
            "No space left on device",
            "placements",
            "tried again",
        ] {
            assert!(why.contains(part), "{part:?} is not in {why}");
        }
        assert_eq!(
            router.driver.count(),
            count,
            "it acted on what it cannot keep"
        );
        // What it had is whole, also when it is started again on the full disk.
        let router = router.stop().await.start(&admin).await;
        let first = admin.get(&format!("{DEFAULT}/networks/first")).await.good();
        assert_eq!(first["status"]["phase"], "ready");

        disk.free();
        wait_for("it is made", async || {
            let shown = admin.get(&path).await.good();
            (shown["status"]["phase"] == "ready").then_some(())
        })
        .await;
        assert_eq!(router.driver.count(), count + 1);
        core.stop().await;
    });
}
