//! A database that is being filled when the machine goes down: what is there is not served, and the same
//! command again makes it whole.

use std::path::Path;
use std::process::{Child, Stdio};

use rhyzome_api::backup::{self, Wanted};
use rhyzome_api::configuration::Configuration;
use rhyzome_api::problem::chain;
use rhyzome_api::start;
use rhyzome_app::{Environment, SystemEnvironment};
use rhyzome_store::event::{self, NewEvent};
use rhyzome_store::testing::Database;
use rhyzome_store::{Error, Store, copy};
use rhyzome_testkit::wait_for;

use crate::binary::program;
use crate::{Site, moving};

/// So many rows that filling takes its time.
const EVENTS: u32 = 6_000;

async fn add_events(url: &str) {
    let store = Store::open(url).await.expect("the database");
    let mut tx = store.write().await.expect("a transaction");
    // Old ones would be forgotten by the core.
    let now = SystemEnvironment.now();
    let new = NewEvent {
        project: None,
        resource_kind: "site",
        resource_id: uuid::Uuid::nil(),
        resource_name: "site",
        what: "noted",
        message: "one of very many",
    };
    for _ in 0..EVENTS {
        event::insert(&mut tx, &new, now).await.expect("an event");
    }
    tx.commit().await.expect("all events");
    store.close().await;
}

fn command(settings: &Configuration, arguments: &[&str]) -> std::process::Command {
    let mut command = program(&[]);
    for setting in [
        format!("state_dir={}", settings.state_dir.display()),
        format!("db={}", settings.db.as_deref().expect("a database")),
    ] {
        command.args(["--set", &setting]);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Lets a command run until something is to be seen, and kills it there. Whether it had not ended.
async fn cut(mut command: std::process::Command, seen: impl AsyncFn() -> bool) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child: Child = quiet.spawn().expect("the program runs");
    wait_for("it is at it", async || {
        let ended = child.try_wait().expect("its state").is_some();
        (ended || seen().await).then_some(())
    })
    .await;
    child.kill().expect("it is killed");
    !child.wait().expect("its end").success()
}

async fn is_marked(url: &str) -> bool {
    matches!(
        Store::open_as_it_is(url).await,
        Err(Error::Unfinished { .. })
    )
}

/// That no core runs there, and that nothing is in the database.
async fn is_not_served(settings: &Configuration, by: &str) {
    let refused = start::start(settings).await.err().expect("it is refused");
    let told = chain(&refused);
    assert!(told.contains(&format!("`{by}`")), "{told}");
    let url = settings.db.as_deref().expect("a database");
    let store = Store::open_to_fill(url).await.expect("the database");
    let all = copy::export(&store).await.expect("what it holds");
    assert!(all.iter().all(|(_, rows)| rows.is_empty()));
    store.close().await;
}

fn any_image(state_dir: &Path) -> bool {
    let shelves = std::fs::read_dir(state_dir.join("blobs")).into_iter();
    let shelves = shelves.flatten().flatten();
    shelves
        .filter(|shelf| shelf.file_name() != "incoming")
        .any(|shelf| std::fs::read_dir(shelf.path()).is_ok_and(|mut files| files.next().is_some()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_is_never_served_and_done_by_the_same_command() {
    let site = Site::start().await;
    site.network("lab").await;
    site.image("hello").await;
    site.instance("first", "lab").await;
    let Site { core, .. } = site;
    let stopped = core.stop_for_now().await;
    let source = &stopped.configuration;
    add_events(source.db.as_deref().expect("a database")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.tar");
    let wanted = Wanted {
        file: &file,
        with_images: true,
        overwrite: false,
    };
    backup::backup(source, wanted).await.expect("a backup");

    let database = Database::new(folder.path()).await;
    let settings = moving::elsewhere(source, folder.path(), &database);
    let path = file.display().to_string();
    let restore = || command(&settings, &["restore", &path]);
    let (url, state_dir) = (database.url(), settings.state_dir.as_path());
    assert!(
        cut(restore(), async || is_marked(url).await).await,
        "it was too quick"
    );
    is_not_served(&settings, "rhyzome-api restore").await;
    assert!(!state_dir.join("authority.cert").exists(), "one was made");
    assert!(
        cut(restore(), async || any_image(state_dir)).await,
        "it was too quick"
    );
    is_not_served(&settings, "rhyzome-api restore").await;
    // In its last moments it may be whole.
    let key = state_dir.join("authority.key");
    if cut(restore(), async || key.exists()).await && is_marked(url).await {
        is_not_served(&settings, "rhyzome-api restore").await;
        let done = restore().output().expect("the program runs");
        assert!(done.status.success(), "{done:?}");
    }
    let again = restore().output().expect("the program runs");
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(told.contains("restored here already"), "{told}");
    let started = start::start(&settings).await.expect("it starts");
    let mut conn = started.core().store.read().await.expect("a connection");
    let events = event::after(&mut conn, None, 0, i64::from(EVENTS) * 2).await;
    assert!(events.expect("events").len() > EVENTS as usize);
    drop(conn);
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_is_never_served_and_done_by_the_same_command() {
    let folder = tempfile::tempdir().expect("a folder");
    for (from, into) in moving::pairs(folder.path()).await {
        let core = rhyzome_testkit::TestCore::start_with(|configuration| {
            configuration.db = Some(from.url().to_owned());
        })
        .await;
        let stopped = core.stop_for_now().await;
        add_events(from.url()).await;
        let settings = &stopped.configuration;
        let to_move = || command(settings, &["db", "move", "--to", into.url()]);
        assert!(
            cut(to_move(), async || is_marked(into.url()).await).await,
            "it was too quick"
        );
        let on_target = Configuration {
            db: Some(into.url().to_owned()),
            ..settings.clone()
        };
        is_not_served(&on_target, "rhyzome-api db move").await;
        // Twice: who was killed in the last moment does not know that it was done.
        for _ in 0..2 {
            let done = to_move().output().expect("the program runs");
            assert!(done.status.success(), "{done:?}");
        }
        assert_eq!(
            moving::contents(into.url()).await,
            moving::contents(from.url()).await
        );
        let started = start::start(&on_target).await.expect("it starts");
        started.stop().await;
    }
}
