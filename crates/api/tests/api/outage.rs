//! A database that goes away under a running core and comes back; with PostgreSQL only, reached through
//! a door in this test that can be shut.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhyzome_api::configuration::Switch;
use rhyzome_store::testing::{Database, VARIABLE};
use rhyzome_testkit::{TestCore, wait_for};
use serde_json::json;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

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
    let core = TestCore::start_with(|configuration| {
        configuration.tls.mode = Switch::Off;
        configuration.db = Some(url);
    })
    .await;
    let router = core.router("router").await;
    let hypervisor = core.hypervisor("host").await;
    let site = Site {
        core,
        hypervisor,
        router,
    };
    site.network("lab").await;
    site.image("hello").await;
    site.instance("first", "lab").await;
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
    site.instance("second", "lab").await;
}
