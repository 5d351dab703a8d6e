use std::time::{Duration, Instant};

use super::*;
use crate::statement::{generated, query};
use crate::testing::{Database, VARIABLE};
use futures::future::join_all;

async fn opened() -> (tempfile::TempDir, Database, Store) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(folder.path()).await;
    let store = Store::open(database.url()).await.unwrap();
    (folder, database, store)
}

#[tokio::test]
async fn the_database_is_the_one_that_is_asked_for() {
    let (_folder, _database, store) = opened().await;
    let asked = match std::env::var(VARIABLE) {
        Ok(_) => Dialect::Postgres,
        Err(_) => Dialect::Sqlite,
    };
    assert_eq!(store.dialect(), asked);
}

#[tokio::test]
async fn several_that_open_it_at_once_migrate_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(folder.path()).await;
    let opening = (0..6).map(|_| Store::open(database.url()));
    let stores = join_all(opening).await;
    for store in stores {
        let mut conn = store.unwrap().read().await.unwrap();
        let counted = "SELECT COUNT(*) AS n, MAX(version) AS version FROM migrations";
        let (n, version): (i64, i64) = generated(counted.to_owned())
            .row(&mut conn, "count migrations", |c| {
                Ok((c.integer("n")?, c.integer("version")?))
            })
            .await
            .unwrap()
            .unwrap();
        assert!(n >= 1 && n <= version, "{n} {version}");
    }
}

#[tokio::test]
async fn who_decides_sees_what_was_decided_before() {
    let (_folder, _database, store) = opened().await;
    let mut tx = store.write().await.unwrap();
    tx.script("CREATE TABLE counted (n BIGINT)").await.unwrap();
    tx.commit().await.unwrap();
    let count = async |store: Store| {
        let mut tx = store.write().await.unwrap();
        tx.script("INSERT INTO counted SELECT COUNT(*) FROM counted")
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    // Other processes have other pools.
    let other = Store::open(&store.url).await.unwrap();
    let all = (0..20).map(|n| {
        count(if n % 2 == 0 {
            store.clone()
        } else {
            other.clone()
        })
    });
    join_all(all).await;
    let mut conn = store.read().await.unwrap();
    let counted = generated("SELECT COUNT(DISTINCT n) AS n FROM counted".to_owned());
    assert_eq!(counted.number(&mut conn, "count").await.unwrap(), 20);
}

#[tokio::test]
async fn texts_are_ordered_by_their_bytes() {
    let (_folder, _database, store) = opened().await;
    let mut tx = store.write().await.unwrap();
    for name in ["b", "a-b", "B", "a", "ab", "a0"] {
        query!("INSERT INTO site (name, value) VALUES ($1, '')")
            .bind(name)
            .run(&mut tx, "insert a name")
            .await
            .unwrap();
    }
    let sorted = "SELECT name FROM site WHERE name > 'A' ORDER BY name";
    let names: Vec<String> = generated(sorted.to_owned())
        .rows(&mut tx, "read names", |c| c.string("name"))
        .await
        .unwrap();
    assert_eq!(names, ["B", "a", "a-b", "a0", "ab", "b"]);
}

#[tokio::test]
async fn the_place_of_a_core_is_taken_once() {
    let (_folder, _database, store) = opened().await;
    if store.dialect() == Dialect::Sqlite {
        // There it is the lock of the state folder.
        store.take_place(Duration::ZERO).await.unwrap();
        return;
    }
    let first = store.take_place(Duration::ZERO).await.unwrap();
    let second = store.take_place(Duration::ZERO).await;
    assert!(matches!(second, Err(Error::Taken { .. })));
    let waiting = store.take_place(Duration::from_secs(20));
    let (got, ()) = tokio::join!(waiting, async { drop(first) });
    got.unwrap();
}

#[tokio::test]
async fn what_one_core_commits_wakes_the_others() {
    let (_folder, _database, store) = opened().await;
    if store.dialect() == Dialect::Sqlite {
        return;
    }
    let mut place = store.take_place(Duration::ZERO).await.unwrap();
    let id = rhyzome_model::ComponentId(uuid::Uuid::from_u128(7));
    let mut tx = store.write().await.unwrap();
    tx.notify(crate::wake::Wake::Component(id)).await.unwrap();
    tx.notify(crate::wake::Wake::Events).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        place.next().await.unwrap(),
        crate::wake::Wake::Component(id)
    );
    assert_eq!(place.next().await.unwrap(), crate::wake::Wake::Events);
}

#[tokio::test]
async fn what_can_only_be_read_is_told_as_that() {
    let (_folder, database, store) = opened().await;
    if store.dialect() == Dialect::Sqlite {
        return;
    }
    let mut conn = store.read().await.unwrap();
    // As a replica answers, without being one.
    let name = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', \
                current_database()); END $$";
    conn.script(name).await.unwrap();
    let opened = Store::open(database.url()).await;
    assert!(
        matches!(opened, Err(Error::OpenReadOnly { .. })),
        "{opened:?}"
    );
    conn.script("SET default_transaction_read_only = on")
        .await
        .unwrap();
    let wrote = conn.script("DELETE FROM site").await.doing("forget");
    assert!(matches!(wrote, Err(Error::ReadOnly { .. })), "{wrote:?}");
}

#[tokio::test]
async fn a_database_that_is_down_is_told_at_once_without_the_password() {
    let began = Instant::now();
    let url = "postgres://r:s3cret@127.0.0.1:1/site";
    let error = Store::open(url).await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("postgres://r@127.0.0.1:1/site"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_at_once_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rhyzome.db");
    std::fs::write(&path, "garbage\n".repeat(100)).unwrap();
    let began = Instant::now();
    let Err(Error::Open { source, .. }) =
        Store::open(&format!("sqlite://{}", path.display())).await
    else {
        panic!("it was opened");
    };
    assert!(source.to_string().contains("not a database"), "{source}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn one_who_found_the_disk_full_is_in_nobodys_way() {
    let (_folder, _database, store) = opened().await;
    for _ in 0..20 {
        let mut tx = store.write().await.unwrap();
        // What SQLite does by itself.
        tx.script("ROLLBACK").await.unwrap();
    }
    let mut tx = store.write().await.unwrap();
    tx.script("CREATE TABLE small (i BIGINT)").await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let store = Store::open(database.url()).await.unwrap();
    let mut tx = store.write().await.unwrap();
    // No page more than there are.
    tx.script("PRAGMA max_page_count = 1").await.unwrap();
    let large = "CREATE TABLE large AS SELECT randomblob(1000000) AS bytes";
    let result = tx.script(large).await.doing("fill the disk");
    assert!(matches!(result, Err(Error::Full { .. })), "{result:?}");
    drop(tx);
    let Ok(server) = std::env::var(VARIABLE) else {
        return;
    };
    // What PostgreSQL says where its disk is full.
    let database = Database::postgres(&server).await;
    let store = Store::open(database.url()).await.unwrap();
    let mut tx = store.write().await.unwrap();
    let full = "DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$";
    let result = tx.script(full).await.doing("fill the disk");
    assert!(matches!(result, Err(Error::Full { .. })), "{result:?}");
}
