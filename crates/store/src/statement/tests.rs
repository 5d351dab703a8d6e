use super::*;
use crate::Store;
use crate::testing::Database;

/// What a database says to a text that it does not take.
async fn refusal(conn: &mut Conn, text: String) -> Option<String> {
    let prepared = conn.prepare(text).await;
    prepared.err().map(|error| error.to_string())
}

async fn opened() -> (tempfile::TempDir, Database, Store) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(folder.path()).await;
    let store = Store::open(database.url()).await.unwrap();
    (folder, database, store)
}

#[tokio::test]
async fn the_database_takes_every_statement() {
    let (_folder, _database, store) = opened().await;
    let dialect = store.dialect();
    let mut conn = store.read().await.unwrap();
    let mut refused = Vec::new();
    for one in GATHERED {
        let text = match one.on {
            On::Both => one.text.to_owned(),
            On::Only(only) if only == dialect => one.text.to_owned(),
            On::Only(_) => continue,
            On::Locking(alias) => dialect.locking(one.text, alias),
        };
        if let Some(why) = refusal(&mut conn, text).await {
            refused.push(format!("{}: {why}\n    {}", one.place, one.text));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    // The linker could leave the list empty, and nothing would be refused.
    assert!(GATHERED.len() > 150, "only {} statements", GATHERED.len());
}

#[tokio::test]
async fn a_statement_for_the_other_database_is_noticed() {
    let (_folder, _database, store) = opened().await;
    let mut conn = store.read().await.unwrap();
    let others = match store.dialect() {
        Dialect::Sqlite => "SELECT id FROM jobs WHERE id = $1 FOR UPDATE",
        Dialect::Postgres => "INSERT OR IGNORE INTO site (name, value) VALUES ($1, $2)",
    };
    for text in [others, "SELECT nothing FROM jobs", "SELECT id FROM nowhere"] {
        assert!(
            refusal(&mut conn, text.to_owned()).await.is_some(),
            "{text}"
        );
    }
}

/// How SQLite would run the statements that have a text in them.
async fn plans(store: &Store, within: &str) -> Vec<String> {
    let mut conn = store.read().await.unwrap();
    let mut plans = Vec::new();
    for one in GATHERED.iter().filter(|one| one.text.contains(within)) {
        let mut asked = generated(format!("EXPLAIN QUERY PLAN {}", one.text));
        for _ in 0..one.text.matches('$').count() {
            asked = asked.bind(Option::<i64>::None);
        }
        let rows = asked.rows(&mut conn, "explain", |c| c.string("detail"));
        plans.push(rows.await.unwrap().join("\n"));
    }
    assert!(!plans.is_empty(), "nothing is asked like {within}");
    plans
}

#[tokio::test]
async fn what_is_asked_for_each_instance_is_led_past_what_it_is_not_about() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let store = Store::open(database.url()).await.unwrap();
    for (within, index) in [
        (
            "FROM jobs j WHERE j.component_id",
            "jobs_queue (component_id=? AND state=?)",
        ),
        ("c.memory - c.promised_memory", "components_room (kind=?)"),
        (
            "network_id = $1 AND kind = 'vtep'",
            "placements_network (network_id=? AND kind=?)",
        ),
        (
            "COALESCE(SUM(cpus), 0) AS BIGINT) AS n",
            "COVERING INDEX instances_project (project_id=?)",
        ),
        (
            "COALESCE(SUM(memory), 0) AS BIGINT) AS n",
            "COVERING INDEX instances_project (project_id=?)",
        ),
        (
            "COALESCE(SUM(disk), 0) AS BIGINT) AS n",
            "COVERING INDEX instances_project (project_id=?)",
        ),
        ("disk IS NULL", "instances_project (project_id=?)"),
    ] {
        for plan in plans(&store, within).await {
            assert!(plan.contains(index), "{within}: {plan}");
        }
    }
    for plan in plans(&store, "c.memory - c.promised_memory").await {
        assert!(!plan.contains("TEMP B-TREE"), "all are sorted: {plan}");
    }
}
