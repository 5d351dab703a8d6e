//! A site whose database an older version has written: kept in `tests/records`, and read through the API
//! by this version, every part of it.

use std::path::{Path, PathBuf};

use rhyzome_api::configuration::TlsMode;
use rhyzome_model::placement::PlacementSpec;
use rhyzome_model::{ComponentId, Timestamp};
use rhyzome_store::copy::{Row, Sum, Table};
use rhyzome_store::testing::Database;
use rhyzome_store::{Conn, Store, event, job, network, placement};
use rhyzome_testkit::{Actor, TestCore};
use serde_json::Value;

/// The folders of `tests/records`, one a version.
fn versions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records");
    let all = std::fs::read_dir(folder).expect("the records");
    let all = all.map(|entry| entry.expect("an entry").path());
    all.filter(|path| path.is_dir()).collect()
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// Puts a version's database into a new one, which migrates it.
async fn fill(url: &str, version: &Path) {
    let head = json(&version.join("rhyzome-backup.json"));
    let schema: Vec<i64> = serde_json::from_value(head["schema"].clone()).expect("versions");
    let contents = json(&version.join("contents.json"));
    let store = Store::open_to_fill(url).await.expect("a database");
    let refill = store.refill(&schema, "a test", false).await;
    let mut refill = refill.expect("it is begun");
    let mut sums: Vec<(Table, Sum)> = Vec::new();
    for kept in contents["tables"].as_array().expect("tables") {
        let table: Table = serde_json::from_value(kept["table"].clone()).expect("a table");
        let sum: Sum = serde_json::from_value(kept["sum"].clone()).expect("a sum");
        let path = version.join(format!("database/{}/000001.jsonl", table.name));
        if sum.rows > 0 {
            let text = std::fs::read_to_string(&path).expect("the table's rows");
            let rows: Vec<Row> = text
                .lines()
                .map(|line| serde_json::from_str(line).expect("a row"))
                .collect();
            refill.insert(&table, &rows).await.expect("rows that fit");
        }
        sums.push((table, sum));
    }
    let copied_at = Timestamp::from_millis(0);
    let told = rhyzome_app::audit::of_restoring(copied_at);
    refill
        .finish(&sums, copied_at, &told)
        .await
        .expect("it is migrated");
    // Before the core comes, which forgets old ones.
    let mut conn = store.read().await.expect("a connection");
    let events = event::after(&mut conn, None, 0, 100).await;
    assert!(events.expect("events that can be read").len() > 5);
    let jobs = job::list(&mut conn, None, None, ("", 100)).await;
    assert!(jobs.expect("jobs that can be read").len() > 3);
    drop(conn);
    store.close().await;
}

/// Reads a list, and each of it by its name; how many there are.
async fn read(admin: &Actor, path: &str) -> usize {
    let listed = admin.get(path).await.good();
    let items = listed["items"].as_array().expect("items");
    for item in items {
        let name = item["name"].as_str().or(item["id"].as_str());
        let name = name.expect("a name or an id");
        admin.get(&format!("{path}/{name}")).await.good();
    }
    items.len()
}

/// A network is told to its hosts with the number that it has.
async fn check_segment(conn: &mut Conn, row: &placement::Row) {
    let told = match &row.spec {
        Some(PlacementSpec::Network(spec)) => (spec.network, spec.segment),
        Some(PlacementSpec::Segment(spec)) => (spec.network, spec.segment),
        _ => return,
    };
    let network = network::by_id(conn, told.0).await.expect("it can be read");
    assert_eq!(network.expect("the network").segment, told.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_wrote_is_read_to_the_last_row() {
    let versions = versions();
    assert!(!versions.is_empty());
    for version in versions {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new(folder.path()).await;
        fill(database.url(), &version).await;
        let core = TestCore::start_with(|configuration| {
            configuration.tls.mode = TlsMode::Off;
            configuration.db = Some(database.url().to_owned());
        })
        .await;
        let admin = core.admin();
        assert!(read(&admin, "/v1/projects").await >= 2);
        for kind in ["networks", "images", "instances", "peers", "ssh-keys"] {
            let count = read(&admin, &format!("/v1/projects/garden/{kind}")).await;
            assert!(count >= 1, "{}: no {kind}", version.display());
        }
        assert!(read(&admin, "/v1/components").await >= 2);
        // What components are told, and what they have said.
        let listed = admin.get("/v1/components").await.good();
        let mut placements = 0;
        let mut conn = core.core().store.read().await.expect("a connection");
        for component in listed["items"].as_array().expect("items") {
            let id: ComponentId = component["id"]
                .as_str()
                .expect("an id")
                .parse()
                .expect("it");
            let rows = placement::of_component(&mut conn, id).await;
            let rows = rows.expect("placements that can be read");
            placements += rows.iter().filter(|row| row.placement().is_some()).count();
            assert!(rows.iter().all(|row| row.observed.is_some()), "{rows:?}");
            for row in &rows {
                check_segment(&mut conn, row).await;
            }
        }
        assert!(placements >= 5, "{placements}");
        drop(conn);
        core.stop().await;
    }
}
