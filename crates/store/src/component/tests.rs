use uuid::Uuid;

use super::*;
use crate::Store;
use crate::testing::Database;

#[tokio::test]
async fn the_roomiest_of_those_that_are_connected_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(folder.path()).await;
    let store = Store::open(database.url()).await.unwrap();
    let mut tx = store.write().await.unwrap();
    let now = Timestamp::from_millis(1);
    for (number, name, memory, promised) in [
        (1, "away", None, 0),
        (2, "full", Some(1024), 1000),
        (3, "half", Some(1024), 512),
        (4, "half-too", Some(4096), 2048),
        (5, "large", Some(65536), 60000),
        (6, "small-and-empty", Some(256), 0),
    ] {
        let id = ComponentId(Uuid::from_u128(number));
        insert(
            &mut tx,
            id,
            &name.parse().unwrap(),
            ComponentKind::Libvirt,
            now,
        )
        .await
        .unwrap();
        if let Some(memory) = memory {
            let facts = HostFacts {
                memory: Size::mib(memory),
                ..HostFacts::default()
            };
            connect(&mut tx, id, (&facts, "1"), None, now)
                .await
                .unwrap();
        }
        query!("UPDATE components SET promised_memory = $1 WHERE id = $2")
            .bind(promised << 20)
            .bind(id.to_string())
            .run(&mut tx, "promise")
            .await
            .unwrap();
    }
    let gate = ComponentId(Uuid::from_u128(7));
    let kind = ComponentKind::Linux;
    insert(&mut tx, gate, &"gate".parse().unwrap(), kind, now)
        .await
        .unwrap();
    let names = async |tx: &mut Tx, limit| -> Vec<String> {
        let found = roomiest(tx, ComponentKind::Libvirt, limit).await.unwrap();
        found.iter().map(|one| one.meta.name.to_string()).collect()
    };
    assert_eq!(
        names(&mut tx, 10).await,
        [
            "small-and-empty",
            "half",
            "half-too",
            "large",
            "full",
            "away"
        ]
    );
    assert_eq!(names(&mut tx, 2).await, ["small-and-empty", "half"]);
    revoke(&mut tx, ComponentId(Uuid::from_u128(6)), now)
        .await
        .unwrap();
    assert_eq!(names(&mut tx, 1).await, ["half"]);
    assert_eq!(
        mispromised(&mut tx).await.unwrap().len(),
        4,
        "there are no instances"
    );
}
