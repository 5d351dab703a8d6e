use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures::future::{join_all, poll_immediate};

use crate::statement::query;
use crate::testing::Database;
use crate::{Error, Store, Tx};

async fn opened() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let store = Store::open(database.url()).await.unwrap();
    (folder, store)
}

async fn note(tx: &mut Tx, name: &str) -> crate::Result<()> {
    query!("INSERT INTO site (name, value) VALUES ($1, '')")
        .bind(name)
        .run(tx, "note")
        .await
        .map(drop)
}

/// What is committed, as others see it.
async fn noted(store: &Store) -> BTreeSet<String> {
    let mut conn = store.read().await.unwrap();
    let names = query!("SELECT name FROM site").rows(&mut conn, "read", |c| c.string("name"));
    names.await.unwrap().into_iter().collect()
}

type Wait<T> = Pin<Box<dyn Future<Output = crate::Result<T>>>>;

/// One that has noted something and commits while another waits for its turn.
async fn joined(store: &Store, name: &str) -> (Wait<()>, Wait<Tx>) {
    let mut tx = store.write().await.unwrap();
    note(&mut tx, name).await.unwrap();
    let store = store.clone();
    let mut next: Wait<Tx> = Box::pin(async move { store.write().await });
    assert!(poll_immediate(&mut next).await.is_none(), "its turn");
    let mut committing: Wait<()> = Box::pin(tx.commit());
    assert!(poll_immediate(&mut committing).await.is_none());
    (committing, next)
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit_and_one_commit_does_for_all() {
    let (_folder, store) = opened().await;
    let (mut committing, second) = joined(&store, "first").await;
    let mut second = second.await.unwrap();
    assert_eq!(noted(&store).await, names(&[]), "nothing is committed yet");
    let again = note(&mut second, "first").await;
    assert!(matches!(again, Err(Error::Conflict { .. })), "{again:?}");
    note(&mut second, "second").await.unwrap();
    assert!(poll_immediate(&mut committing).await.is_none());
    second.commit().await.unwrap();
    assert_eq!(noted(&store).await, names(&["first", "second"]));
    committing.await.unwrap();
}

#[tokio::test]
async fn one_that_comes_to_nothing_takes_nothing_of_the_others_with_it() {
    let (_folder, store) = opened().await;
    let mut first = store.write().await.unwrap();
    note(&mut first, "first").await.unwrap();
    let mut others: Vec<_> = (0..3).map(|_| Box::pin(store.write())).collect();
    for other in &mut others {
        assert!(poll_immediate(other).await.is_none());
    }
    let mut committing = Box::pin(first.commit());
    assert!(poll_immediate(&mut committing).await.is_none());
    for (number, other) in others.into_iter().enumerate() {
        let mut other = other.await.unwrap();
        note(&mut other, &format!("half of {number}"))
            .await
            .unwrap();
        drop(other);
    }
    committing.await.unwrap();
    assert_eq!(noted(&store).await, names(&["first"]));
}

#[tokio::test]
async fn what_was_to_be_committed_is_though_nobody_waits_for_it_any_more() {
    let (_folder, store) = opened().await;
    let (committing, second) = joined(&store, "first").await;
    // It has the turn, and does not know it yet.
    drop(committing);
    drop(second);
    assert_eq!(noted(&store).await, names(&["first"]));
    // The other way round.
    let (committing, fourth) = joined(&store, "third").await;
    drop(fourth);
    drop(committing);
    assert_eq!(noted(&store).await, names(&["first", "third"]));
}

#[tokio::test]
async fn closing_commits_what_waits_for_that() {
    let (folder, store) = opened().await;
    let (committing, second) = joined(&store, "first").await;
    let mut closing = Box::pin(store.close());
    assert!(poll_immediate(&mut closing).await.is_none(), "in its turn");
    let (committed, second, ()) = tokio::join!(committing, second, closing);
    assert!(second.is_err(), "it is closed");
    committed.unwrap();
    let path = store.url().to_owned();
    let again = Store::open(&path).await.unwrap();
    assert_eq!(noted(&again).await, names(&["first"]));
    drop(folder);
}

#[tokio::test]
async fn when_the_database_undoes_all_everybody_is_told() {
    let (_folder, store) = opened().await;
    let (committing, second) = joined(&store, "first").await;
    let mut second = second.await.unwrap();
    // What SQLite does by itself where the disk is full.
    second.script("ROLLBACK").await.unwrap();
    assert!(second.commit().await.is_err());
    let told = committing.await;
    assert!(matches!(told, Err(Error::Busy { .. })), "{told:?}");
    let mut third = store.write().await.unwrap();
    note(&mut third, "third").await.unwrap();
    third.commit().await.unwrap();
    assert_eq!(noted(&store).await, names(&["third"]));
}

/// Many at once, of which some fail, some are given up and some are cancelled wherever they are: what was
/// answered with success is there, what was not asked to be committed is not, and nobody is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_write_at_once_and_are_cut_off_anywhere() {
    let (_folder, store) = opened().await;
    for round in 0..20_u64 {
        let work = (0..40_u64).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = format!("{round}-{number}");
                let mut tx = store.write().await?;
                note(&mut tx, &name).await?;
                if number % 4 == 1 {
                    tokio::task::yield_now().await;
                }
                if number % 5 == 2 {
                    return Ok((name, false));
                }
                if number % 7 == 3 {
                    note(&mut tx, &name).await?;
                }
                tx.commit().await?;
                crate::Result::Ok((name, true))
            })
        });
        let tasks: Vec<_> = work.collect();
        for (number, task) in tasks.iter().enumerate() {
            if number % 3 == 0 {
                if number % 2 == 0 {
                    tokio::time::sleep(Duration::from_micros(50 * (round % 5))).await;
                }
                task.abort();
            }
        }
        let ended = tokio::time::timeout(Duration::from_secs(60), join_all(tasks)).await;
        let there = noted(&store).await;
        for (number, ended) in ended.expect("nobody is forgotten").into_iter().enumerate() {
            let number = u64::try_from(number).unwrap();
            let own = format!("{round}-{number}");
            match ended {
                Ok(Ok((name, committed))) => assert_eq!(there.contains(&name), committed, "{name}"),
                Ok(Err(_)) => assert!(!there.contains(&own), "{own} failed"),
                // Cut off: it may be there or not, but what was never to be is not.
                Err(_) => assert!(number % 5 != 2 || !there.contains(&own), "{own}"),
            }
        }
        // Nothing stays behind that nobody will commit.
        let mut last = store.write().await.unwrap();
        let within = last.script("SAVEPOINT probe; RELEASE probe").await;
        within.unwrap();
        last.commit().await.unwrap();
        let now = noted(&store).await;
        assert_eq!(now, there, "it was committed by chance");
    }
}
