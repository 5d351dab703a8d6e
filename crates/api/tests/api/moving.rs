//! A site that moves: into another database, into a file and out of it onto another machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rhyzome_api::backup::{self, BackupError, Wanted};
use rhyzome_api::configuration::Configuration;
use rhyzome_api::db_move::{self, MoveError};
use rhyzome_store::testing::{Database, VARIABLE};
use rhyzome_store::{Store, copy};
use rhyzome_testkit::{Actor, TestCore, wait_for};
use serde_json::{Value, json};

use crate::{DEFAULT, Site, audit};

pub async fn contents(url: &str) -> Vec<(copy::Table, Vec<copy::Row>)> {
    let store = Store::open(url).await.expect("the database");
    let all = copy::export(&store).await.expect("all of it");
    store.close().await;
    all
}

/// Changes something in a database.
async fn note(url: &str) {
    let store = Store::open(url).await.expect("the database");
    let mut tx = store.write().await.expect("a transaction");
    let noted = rhyzome_store::site::insert(&mut tx, "noted", "something").await;
    noted.expect("it is noted");
    tx.commit().await.expect("it is written");
    store.close().await;
}

async fn shown(admin: &Actor, name: &str) -> Value {
    admin
        .get(&format!("{DEFAULT}/instances/{name}"))
        .await
        .good()
}

async fn ready(admin: &Actor, name: &str) -> Value {
    wait_for(&format!("{name} is ready"), async || {
        let seen = shown(admin, name).await;
        (seen["status"]["phase"] == "ready").then_some(seen)
    })
    .await
}

fn make(admin: &Actor, name: &str) -> rhyzome_testkit::Call {
    let body = json!({"name": name, "spec": {"image": "hello", "networks": ["lab"]}});
    admin.post(&format!("{DEFAULT}/instances")).json(&body)
}

/// From each kind of database that this run has into each.
pub async fn pairs(folder: &Path) -> Vec<(Database, Database)> {
    let Ok(server) = std::env::var(VARIABLE) else {
        return vec![(Database::sqlite(folder), Database::sqlite(folder))];
    };
    vec![
        (Database::sqlite(folder), Database::postgres(&server).await),
        (Database::postgres(&server).await, Database::sqlite(folder)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_moves_into_another_database_with_its_jobs_in_flight() {
    let folder = tempfile::tempdir().expect("a folder");
    for (from, into) in pairs(folder.path()).await {
        let (site, before) = Site::inhabited(from.url()).await;
        // One whose jobs are being done.
        site.hypervisor.driver.faults().hold();
        let asked = make(&site.core.admin(), "second").await.good();
        site.at_work().await;
        let Site {
            core,
            hypervisor,
            router,
        } = site;
        let settings = core.configuration().clone();
        let running = db_move::run(&settings, into.url(), None).await;
        assert!(matches!(running, Err(MoveError::Folder(_))), "{running:?}");
        let mut stopped = core.stop_for_now().await;
        let held = contents(from.url()).await;
        let moved = db_move::run(&settings, into.url(), None).await;
        let moved = moved.expect("it is moved");
        assert!(
            moved
                .tables
                .iter()
                .any(|t| t.table == "jobs" && t.sum.rows > 0)
        );
        assert_eq!(contents(into.url()).await, held);
        assert_eq!(contents(from.url()).await, held, "the source was touched");
        let again = db_move::run(&settings, into.url(), None).await;
        assert_eq!(again.expect("it is there").tables, moved.tables);
        note(into.url()).await;
        let again = db_move::run(&settings, into.url(), None).await;
        let text = format!("{again:?}");
        assert!(text.contains("NotEmpty"), "{text}");

        stopped.configuration.db = Some(into.url().to_owned());
        let core = stopped.start().await;
        let admin = core.admin();
        hypervisor.driver.faults().let_through(1000);
        hypervisor.wait_connected(&admin, true).await;
        router.wait_connected(&admin, true).await;
        let after = ready(&admin, "second").await;
        assert_eq!(after["interfaces"], asked["interfaces"]);
        let first = ready(&admin, "first").await;
        assert_eq!(first["interfaces"], before["interfaces"]);
        assert_eq!(first["id"], before["id"]);
        make(&admin, "third").await.good();
        ready(&admin, "third").await;
        drop((hypervisor, router));
        core.stop().await;
    }
}

async fn keep(settings: &Configuration, file: &Path) {
    let wanted = Wanted {
        file,
        with_images: true,
        overwrite: false,
    };
    let kept = backup::backup(settings, wanted).await.expect("a backup");
    let told = kept.lines().join("\n");
    assert!(told.contains("rows of instances"), "{told}");
    assert!(told.contains("the bytes of 1 images"), "{told}");
}

/// Another machine's configuration, where components find the core as before.
pub fn elsewhere(settings: &Configuration, folder: &Path, database: &Database) -> Configuration {
    Configuration {
        state_dir: folder.join("elsewhere"),
        db: Some(database.url().to_owned()),
        ..settings.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_comes_back_from_an_old_backup_and_loses_nothing_that_was_made_since() {
    let site = Site::start().await;
    site.network("lab").await;
    site.image("hello").await;
    let first = site.instance("first", "lab").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.tar");
    keep(site.core.configuration(), &file).await;
    let mode = std::fs::metadata(&file).expect("the file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let again = Wanted {
        file: &file,
        with_images: false,
        overwrite: false,
    };
    let again = backup::backup(site.core.configuration(), again).await;
    assert!(
        matches!(again, Err(BackupError::Exists { .. })),
        "{again:?}"
    );

    // What the backup does not know of: one more, and one changed several times.
    site.instance("later", "lab").await;
    let admin = site.core.admin();
    for verb in ["stop", "start", "stop"] {
        let path = format!("{DEFAULT}/instances/first/{verb}?wait=30s");
        admin.post(&path).await.good();
    }
    let (on_host, on_router) = (site.hypervisor.driver.count(), site.router.driver.count());
    let Site {
        core,
        hypervisor,
        router,
    } = site;
    let mut stopped = core.stop_for_now().await;
    let database = Database::new(folder.path()).await;
    let settings = elsewhere(&stopped.configuration, folder.path(), &database);
    let restored = backup::restore(&settings, &file, false).await;
    restored.expect("the site is back");
    let twice = backup::restore(&settings, &file, false).await;
    assert!(
        matches!(twice, Err(BackupError::Already { .. })),
        "{twice:?}"
    );

    stopped.configuration = settings;
    let core = stopped.start().await;
    let admin = core.admin();
    hypervisor.wait_connected(&admin, true).await;
    router.wait_connected(&admin, true).await;
    // Of the later one: the instance and its lease; the segment is known.
    let held = wait_for("what is not known is held", async || {
        let held = admin.get("/v1/site/held").await.good();
        (held["items"].as_array().expect("items").len() == 2).then_some(held)
    })
    .await;
    assert!(held["items"][0]["why"].is_string(), "{held}");
    let told = admin.get("/v1/site").await.good();
    assert_eq!(told["restored"]["held"], 2, "{told}");
    assert_eq!(told["restored"]["confirmed_at"], Value::Null, "{told}");
    let entries = audit::sealed(&admin, "/v1/audit").await;
    let restoring = entries.iter().find(|e| e["operation"] == "site_restore");
    let restoring = restoring.expect("it is told of");
    assert_eq!(restoring["actor"]["kind"], "local", "{restoring}");
    // It is as it was in the backup, and its host takes that although it had gone on.
    let back = ready(&admin, "first").await;
    assert_eq!(back["interfaces"], first["interfaces"]);
    assert_eq!(back["spec"]["power"], "running", "{back}");
    assert_eq!(hypervisor.driver.count(), on_host, "something was removed");
    assert_eq!(router.driver.count(), on_router, "something was removed");
    make(&admin, "new").await.problem(409, "wrong_state");

    // Also after one more look at the hosts.
    let core = core.restart().await;
    let admin = core.admin();
    hypervisor.wait_connected(&admin, true).await;
    assert_eq!(admin.get("/v1/site").await.good()["restored"]["held"], 2);
    core.stranger()
        .post("/v1/site/confirm")
        .await
        .problem(401, "unauthenticated");
    let confirmed = admin.post("/v1/site/confirm").await.good();
    assert!(
        confirmed["restored"]["confirmed_at"].is_i64()
            || confirmed["restored"]["confirmed_at"].is_string(),
        "{confirmed}"
    );
    wait_for("what is not known is gone", async || {
        (hypervisor.driver.count() < on_host && router.driver.count() < on_router).then_some(())
    })
    .await;
    make(&admin, "later").await.good();
    ready(&admin, "later").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_backup_of_this_site_changes_nothing() {
    let core = TestCore::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.tar");
    let wanted = Wanted {
        file: &file,
        with_images: true,
        overwrite: false,
    };
    let settings = core.configuration().clone();
    backup::backup(&settings, wanted).await.expect("a backup");
    let running = backup::restore(&settings, &file, true).await;
    assert!(format!("{running:?}").contains("Locked"), "{running:?}");

    let database = Database::new(folder.path()).await;
    let target = elsewhere(&settings, folder.path(), &database);
    let bytes = std::fs::read(&file).expect("the file");
    let mut wrong = bytes.clone();
    let place = bytes.windows(9).position(|part| part == b"\"default\"");
    wrong[place.expect("the project") + 1] = b'D';
    for (what, bytes) in [
        ("cut", bytes[..bytes.len() - 4096].to_vec()),
        ("changed", wrong),
        ("empty", Vec::new()),
        ("text", b"no backup\n".repeat(200)),
    ] {
        let path = folder.path().join(what);
        std::fs::write(&path, bytes).expect("a file");
        let refused = backup::restore(&target, &path, true).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{what} was restored"));
        assert!(
            matches!(
                refused,
                BackupError::Broken { .. } | BackupError::Unfit { .. }
            ),
            "{what}: {refused:?}"
        );
        assert!(!target.state_dir.exists(), "{what}: something was begun");
    }
    let mut other = target.clone();
    other.site.domain = "elsewhere.internal".to_owned();
    let refused = backup::restore(&other, &file, true)
        .await
        .expect_err("another domain");
    assert!(
        refused
            .to_string()
            .contains("site.domain = rhyzome.internal"),
        "{refused}"
    );

    // Another site's authority is not lost without a word.
    let second = TestCore::start().await.stop_for_now().await;
    let refused = backup::restore(&second.configuration, &file, false).await;
    assert!(
        matches!(refused, Err(BackupError::Other { .. })),
        "{refused:?}"
    );
    backup::restore(&second.configuration, &file, true)
        .await
        .expect("it is replaced");
    let second = second.start().await;
    // Its administrator is the other site's now.
    let token = std::fs::read_to_string(settings.state_dir.join("admin.token")).expect("a token");
    let admin = second.anonymous().with_token(token.trim());
    assert!(!admin.get("/v1/site").await.good()["restored"].is_null());
}
