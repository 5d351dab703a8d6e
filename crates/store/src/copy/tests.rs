use super::*;
use crate::testing::{Database, VARIABLE};

async fn opened(database: &Database) -> Store {
    Store::open(database.url()).await.unwrap()
}

/// A row in most tables, with texts that are not easy.
async fn fill(store: &Store) {
    let mut tx = store.write().await.unwrap();
    let now = rhyzome_model::Timestamp::from_millis(1);
    for (n, value) in ["", "a'b\"c\\d", "zwei\nZeilen — ü", "🦀"]
        .iter()
        .enumerate()
    {
        crate::site::insert(&mut tx, &format!("key-{n}"), value)
            .await
            .unwrap();
    }
    let project = rhyzome_model::ProjectId(uuid::Uuid::from_u128(1));
    crate::project::insert(&mut tx, project, &"shop".parse().unwrap(), now)
        .await
        .unwrap();
    let request = crate::idempotency::Request {
        caller: "admin".to_owned(),
        key: "k".to_owned(),
        hash: "h".to_owned(),
    };
    let subject = crate::idempotency::Subject {
        project: None,
        kind: "project".to_owned(),
        name: "shop".to_owned(),
    };
    crate::idempotency::changed(&mut tx, &request, &subject, now)
        .await
        .unwrap();
    let id = rhyzome_model::ComponentId(uuid::Uuid::from_u128(2));
    let kind = rhyzome_model::component::ComponentKind::Linux;
    crate::component::insert(&mut tx, id, &"gate".parse().unwrap(), kind, now)
        .await
        .unwrap();
    crate::component::insert_certificate(&mut tx, id, "01", now, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// A database of each kind that this run has, and an empty one for each.
async fn pairs(folder: &std::path::Path) -> Vec<(Database, Database)> {
    let sqlite = || Database::sqlite(folder);
    let mut pairs = vec![(sqlite(), sqlite())];
    if let Ok(server) = std::env::var(VARIABLE) {
        pairs.push((sqlite(), Database::postgres(&server).await));
        pairs.push((Database::postgres(&server).await, sqlite()));
    }
    pairs
}

#[tokio::test]
async fn everything_arrives_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (from, into) in pairs(folder.path()).await {
        let (source, target) = (opened(&from).await, opened(&into).await);
        fill(&source).await;
        let before = export(&source).await.unwrap();
        let copied = all(&source, &target, "a test").await.unwrap();
        assert!(
            copied
                .iter()
                .any(|c| c.table == "certificates" && c.sum.rows == 1)
        );
        assert_eq!(export(&target).await.unwrap(), before);
        assert_eq!(export(&source).await.unwrap(), before);
    }
}

#[tokio::test]
async fn what_holds_something_is_no_target() {
    let folder = tempfile::tempdir().unwrap();
    for (from, into) in pairs(folder.path()).await {
        let (source, target) = (opened(&from).await, opened(&into).await);
        fill(&source).await;
        fill(&target).await;
        // The same already is as good as copied.
        let copied = all(&source, &target, "a test").await.unwrap();
        assert!(copied.iter().any(|c| c.sum.rows > 0));
        let mut tx = target.write().await.unwrap();
        crate::site::insert(&mut tx, "other", "").await.unwrap();
        tx.commit().await.unwrap();
        let before = export(&target).await.unwrap();
        let copied = all(&source, &target, "a test").await;
        assert!(matches!(copied, Err(Error::NotEmpty { .. })), "{copied:?}");
        assert_eq!(export(&target).await.unwrap(), before);
    }
}

#[tokio::test]
async fn every_table_comes_behind_those_that_it_refers_to() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(folder.path()).await;
    let store = opened(&database).await;
    let mut conn = store.read().await.unwrap();
    let tables = tables(&mut conn, &store).await.unwrap();
    let place = |name: &str| tables.iter().position(|table| table.name == name).unwrap();
    assert!(place("projects") < place("networks"));
    assert!(place("networks") < place("leases"));
    assert!(place("placements") < place("placement_needs"));
    assert!(tables.iter().all(|table| table.name != "migrations"));
    let refers: Vec<(String, String)> = gathered(store.dialect().references())
        .rows(&mut conn, "read", |c| {
            Ok((c.string("of_table")?, c.string("to_table")?))
        })
        .await
        .unwrap();
    assert!(refers.len() > 10);
    assert!(
        refers.iter().all(|(of, to)| place(to) < place(of)),
        "{tables:?}"
    );
}
