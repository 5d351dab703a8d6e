//! A database that goes away under a running core and comes back; with PostgreSQL only: reached through
//! a door in this test that can be shut, or ended itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhyzome_store::Store;
use rhyzome_store::testing::{Database, VARIABLE};
use rhyzome_store::wake::Wake;
use rhyzome_testkit::{Actor, BOUND, wait_for};
use serde_json::json;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::postgres::Postgres;
use crate::{DEFAULT, Site};

/// Where a core finds its database.
struct Door {
    open: watch::Sender<bool>,
    port: u16,
    _task: AbortOnDropHandle<()>,
}

impl Door {
    async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (open, is_open) = watch::channel(true);
        let socket = Arc::new(socket);
        let task = tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                let socket = Arc::clone(&socket);
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let mut server = UnixStream::connect(&*socket).await.expect("PostgreSQL");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inside, &mut server) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self {
            open,
            port,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn set(&self, open: bool) {
        self.open.send_replace(open);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_back_finds_everything_going_on() {
    let Ok(server) = std::env::var(VARIABLE) else {
        // An SQLite file does not go away.
        return;
    };
    let database = Database::postgres(&server).await;
    let folder = server.split("host=").nth(1).expect("a socket's folder");
    let folder = folder.split('&').next().expect("a folder");
    let door = Door::to(PathBuf::from(folder).join(".s.PGSQL.5432")).await;
    let name = database.url().rsplit('/').next().expect("a name");
    let name = database
        .url()
        .trim_start_matches("postgres:///")
        .split('?')
        .next()
        .unwrap_or(name)
        .to_owned();
    let url = format!("postgres://rhyzome@127.0.0.1:{}/{name}", door.port);
    let (site, _) = Site::inhabited(&url).await;
    let admin = site.core.admin();

    door.set(false);
    wait_for("it is told as not ready", async || {
        let answer = admin.get("/readyz").await;
        (answer.status == 503 && answer.text().contains("database")).then_some(())
    })
    .await;
    for _ in 0..3 {
        let began = Instant::now();
        let path = format!("{DEFAULT}/networks");
        let answer = admin
            .post(&path)
            .json(&json!({"name": "other", "spec": {}}))
            .await;
        let problem = answer.problem(503, "unavailable");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("database does not answer"), "{detail}");
        assert!(answer.header("retry-after").is_some(), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    // What runs does not notice.
    let count = site.hypervisor.driver.count();

    door.set(true);
    wait_for("it is ready again", async || {
        (admin.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    site.router.wait_connected(&admin, true).await;
    site.hypervisor.wait_connected(&admin, true).await;
    assert_eq!(site.hypervisor.driver.count(), count);
    create_when_heard(&admin, "second").await;
}

/// What somebody was answered who asked for one project after the other, whatever happened.
#[derive(Default)]
struct Asked {
    made: Vec<String>,
    refused: usize,
}

async fn ask(
    admin: Actor,
    who: usize,
    until: CancellationToken,
    seen: watch::Sender<usize>,
) -> Asked {
    let mut asked = Asked::default();
    for number in 0.. {
        if until.is_cancelled() {
            break;
        }
        let name = format!("p-{who}-{number}");
        let answer = admin
            .post("/v1/projects")
            .json(&json!({"name": name}))
            .await;
        if answer.status == 503 {
            answer.problem(503, "unavailable");
            assert!(answer.header("retry-after").is_some(), "{answer}");
            asked.refused += 1;
            seen.send_modify(|refused| *refused += 1);
        } else {
            answer.good();
            asked.made.push(name);
        }
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_stopped_and_started_and_nothing_that_was_answered_is_lost() {
    if std::env::var(VARIABLE).is_err() {
        // An SQLite file is not stopped.
        return;
    }
    let mut server = Postgres::start(&[], &[]).await;
    let (site, _) = Site::inhabited(&server.url("127.0.0.1", "")).await;
    let admin = site.core.admin();
    // A job that is being done all the while.
    site.hypervisor.driver.faults().hold();
    let body = json!({"name": "second", "spec": {"image": "hello", "networks": ["lab"]}});
    let asked = admin.post(&format!("{DEFAULT}/instances")).json(&body);
    asked.await.good();
    site.at_work().await;
    let until = CancellationToken::new();
    let (seen, refused) = watch::channel(0);
    let asking: Vec<_> = (0..4)
        .map(|who| tokio::spawn(ask(admin.clone(), who, until.clone(), seen.clone())))
        .collect();
    wait_for("some were made", async || {
        let made = admin.get("/v1/projects?limit=100").await.good();
        (made["items"].as_array().expect("items").len() > 20).then_some(())
    })
    .await;

    server.stop_at_once();
    wait_for("it is told as not ready", async || {
        (admin.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    wait_for("those who ask are told", async || {
        (*refused.borrow() > 3).then_some(())
    })
    .await;
    // The job ends while nobody can write that down.
    site.hypervisor.driver.faults().let_through(1000);
    server.start_again().await;
    wait_for("it is ready again", async || {
        (admin.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    until.cancel();
    for one in asking {
        let asked = one.await.expect("all answers were such as they should be");
        assert!(asked.refused > 0 || !asked.made.is_empty());
        for name in asked.made {
            admin.get(&format!("/v1/projects/{name}")).await.good();
        }
    }
    site.router.wait_connected(&admin, true).await;
    site.hypervisor.wait_connected(&admin, true).await;
    wait_for("what was under way is done", async || {
        let path = format!("{DEFAULT}/instances/second");
        let shown = admin.get(&path).await.good();
        (shown["status"]["phase"] == "ready").then_some(())
    })
    .await;
    create_when_heard(&admin, "third").await;

    // What another process commits wakes this one again.
    let other = Store::open(&server.socket_url()).await.expect("a store");
    let mut changed = site.core.core().events_changed();
    for _ in 0..5 {
        changed.borrow_and_update();
        let mut tx = other.write().await.expect("a transaction");
        tx.notify(Wake::Events).await.expect("it is said");
        tx.commit().await.expect("it is committed");
        let heard = tokio::time::timeout(BOUND, changed.changed()).await;
        heard.expect("it is heard").expect("the core runs");
    }
    other.close().await;
    site.core.stop().await;
}

/// Creates an instance once its host has a session that the core knows of: the rows say of one that broke
/// with the database, for a moment, that it goes on.
async fn create_when_heard(admin: &Actor, name: &str) {
    let body = json!({"name": name, "spec": {"image": "hello", "networks": ["lab"]}});
    let path = format!("{DEFAULT}/instances?wait=30s");
    let made = wait_for("its host is connected", async || {
        let answer = admin.post(&path).json(&body).await;
        (answer.status != 409).then(|| answer.good())
    })
    .await;
    assert_eq!(made["status"]["phase"], "ready", "{made}");
}
