use rhyzome_model::audit::{
    Actor, ActorKind, AuditResult, DROPPED, Flaw, Verification, Verifier, seal as hash_of,
};

use super::*;
use crate::Store;
use crate::statement::generated;
use crate::testing::Database;

const CHAIN: &str = "site";

fn entry(number: u128) -> AuditEntry {
    AuditEntry {
        id: Uuid::from_u128(number),
        time: Timestamp::from_millis(i64::try_from(number).unwrap() * 1000),
        actor: Actor {
            kind: ActorKind::Local,
            id: None,
            name: "local".to_owned(),
            person: None,
        },
        from: None,
        request_id: None,
        operation: "project_create".to_owned(),
        project: None,
        resource: None,
        result: AuditResult::Done,
        reason: None,
        count: 1,
        since: None,
        jobs: Vec::new(),
        cause: None,
        seal: None,
    }
}

async fn append_one(store: &Store, entry: &AuditEntry) {
    let mut tx = store.write().await.unwrap();
    append(&mut tx, CHAIN, entry).await.unwrap();
    tx.commit().await.unwrap();
}

async fn seal_all(store: &Store) {
    let mut tx = store.aside().await.unwrap();
    let chain = take(&mut tx, CHAIN).await.unwrap().expect("the chain");
    let mut head = chain.head;
    for entry in unsealed(&mut tx, CHAIN, Uuid::nil(), 1000).await.unwrap() {
        let number = head.number + 1;
        head = Mark {
            number,
            hash: hash_of(&head.hash, number, &entry),
        };
        seal(&mut tx, entry.id, &head).await.unwrap();
    }
    advance(&mut tx, CHAIN, &head).await.unwrap();
    tx.commit().await.unwrap();
}

async fn verify(store: &Store, known: Option<Mark>) -> Verification {
    let mut conn = store.snapshot().await.unwrap();
    let chain = get(&mut conn, CHAIN, None).await.unwrap();
    let mut verifier = Verifier::new(chain, known, true);
    let mut entries = sealed(&mut conn, CHAIN, 0, 1000).await.unwrap();
    entries.extend(unsealed(&mut conn, CHAIN, Uuid::nil(), 1000).await.unwrap());
    entries.iter().for_each(|entry| verifier.see(entry));
    verifier.end()
}

/// A database with six sealed entries and one that is not.
async fn filled(folder: &std::path::Path) -> (Database, Store) {
    let database = Database::new(folder).await;
    let store = Store::open(database.url()).await.unwrap();
    for number in 1..=6 {
        append_one(&store, &entry(number)).await;
    }
    seal_all(&store).await;
    append_one(&store, &entry(7)).await;
    (database, store)
}

/// What somebody who can write the database does to it, and what is found then.
async fn check(statements: &[&str], expected: &[Flaw]) {
    let folder = tempfile::tempdir().unwrap();
    let (_database, store) = filled(folder.path()).await;
    let before = verify(&store, None).await;
    assert!(before.good, "{before:?}");
    assert_eq!(before.unsealed, [Uuid::from_u128(7)]);
    let mut tx = store.write().await.unwrap();
    for statement in statements {
        generated((*statement).to_owned())
            .run(&mut tx, "tamper")
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let after = verify(&store, Some(before.seen)).await;
    assert_eq!(after.flaws, expected, "{statements:?}");
    assert!(!after.good);
}

#[tokio::test]
async fn whatever_is_done_to_a_sealed_chain_is_found() {
    let altered = |number: u64| Flaw::Altered {
        number,
        id: Uuid::from_u128(number.into()),
    };
    check(
        &["DELETE FROM audit_entries WHERE number = 3"],
        &[Flaw::Removed { first: 3, last: 3 }],
    )
    .await;
    check(
        &["UPDATE audit_entries SET entry = replace(entry, 'local', 'nobody') WHERE number = 3"],
        &[Flaw::Altered {
            number: 3,
            id: Uuid::from_u128(3),
        }],
    )
    .await;
    // Two that change places, with their hashes: each is not behind what it was sealed behind.
    check(
        &[
            "UPDATE audit_entries SET number = 100 WHERE number = 3",
            "UPDATE audit_entries SET number = 3 WHERE number = 4",
            "UPDATE audit_entries SET number = 4 WHERE number = 100",
        ],
        &[
            Flaw::Altered {
                number: 3,
                id: Uuid::from_u128(4),
            },
            Flaw::Altered {
                number: 4,
                id: Uuid::from_u128(3),
            },
            altered(5),
        ],
    )
    .await;
    check(
        &["DELETE FROM audit_entries WHERE number > 4"],
        &[Flaw::CutOff { first: 5, last: 6 }],
    )
    .await;
    // The end, and what the chain says of its end: what was noted elsewhere shows it.
    check(
        &[
            "DELETE FROM audit_entries WHERE number > 4",
            "UPDATE audit_chains SET number = 4, hash = (SELECT hash FROM audit_entries WHERE number = 4)",
        ],
        &[Flaw::CutOff { first: 5, last: 6 }],
    )
    .await;
    // The beginning, as if it had been dropped for its age: no entry says so.
    check(
        &[
            "UPDATE audit_chains SET dropped = 2, \
             dropped_hash = (SELECT hash FROM audit_entries WHERE number = 2)",
            "DELETE FROM audit_entries WHERE number <= 2",
        ],
        &[Flaw::UnexplainedBeginning { number: 2 }],
    )
    .await;
}

#[tokio::test]
async fn what_is_dropped_for_its_age_leaves_a_chain_that_can_be_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, store) = filled(folder.path()).await;
    let noted = verify(&store, None).await.seen;
    let mut conn = store.read().await.unwrap();
    let chain = get(&mut conn, CHAIN, None).await.unwrap();
    let since = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    let first = first_since(&mut conn, &chain, since(4)).await.unwrap();
    assert_eq!(first, Some(4));
    assert_eq!(
        first_since(&mut conn, &chain, since(7)).await.unwrap(),
        None
    );
    drop(conn);
    let mut tx = store.write().await.unwrap();
    let mark = drop_to(&mut tx, &chain, 3).await.unwrap().expect("entries");
    let explanation = AuditEntry {
        operation: DROPPED.to_owned(),
        reason: Some(mark.to_string()),
        ..entry(8)
    };
    append(&mut tx, CHAIN, &explanation).await.unwrap();
    tx.commit().await.unwrap();
    for _ in 0..2 {
        let found = verify(&store, Some(noted)).await;
        assert!(found.good, "{found:?}");
        assert_eq!(
            (found.chain.checkpoint, found.chain.checkpoint.number),
            (mark, 3)
        );
        seal_all(&store).await;
    }
    assert_eq!(verify(&store, None).await.entries, 5);
}

#[tokio::test]
async fn a_chain_is_sealed_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(folder.path()).await;
    let store = Store::open(database.url()).await.unwrap();
    append_one(&store, &entry(1)).await;
    if store.dialect() == crate::dialect::Dialect::Sqlite {
        // One writes at a time there anyway.
        seal_all(&store).await;
        return;
    }
    seal_all(&store).await;
    let mut tx = store.aside().await.unwrap();
    assert!(take(&mut tx, CHAIN).await.unwrap().is_some());
    let other = Store::open(database.url()).await.unwrap();
    let mut late = other.aside().await.unwrap();
    assert!(take(&mut late, CHAIN).await.unwrap().is_none());
    // And who appends waits for nobody.
    append_one(&other, &entry(2)).await;
    tx.commit().await.unwrap();
}
