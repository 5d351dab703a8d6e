//! Forward-only migrations, which run by themselves when the database is opened.

use crate::statement::query;
use crate::{Doing, Error, Result, Store, Tx};

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "resources",
        sql: include_str!("../migrations/0001_resources.sql"),
    },
    Migration {
        version: 10,
        name: "restored",
        sql: include_str!("../migrations/0010_restored.sql"),
    },
    Migration {
        version: 11,
        name: "idempotency",
        sql: include_str!("../migrations/0011_idempotency.sql"),
    },
    Migration {
        version: 20,
        name: "blob locations",
        sql: include_str!("../migrations/0020_blob_locations.sql"),
    },
    Migration {
        version: 50,
        name: "guests",
        sql: include_str!("../migrations/0050_guests.sql"),
    },
    Migration {
        version: 60,
        name: "hosts",
        sql: include_str!("../migrations/0060_hosts.sql"),
    },
    Migration {
        version: 61,
        name: "gone",
        sql: include_str!("../migrations/0061_gone.sql"),
    },
    Migration {
        version: 62,
        name: "seen from",
        sql: include_str!("../migrations/0062_seen_from.sql"),
    },
    Migration {
        version: 70,
        name: "image tags",
        sql: include_str!("../migrations/0070_image_tags.sql"),
    },
    Migration {
        version: 80,
        name: "promised",
        sql: include_str!("../migrations/0080_promised.sql"),
    },
    Migration {
        version: 81,
        name: "requests",
        sql: include_str!("../migrations/0081_requests.sql"),
    },
    Migration {
        version: 90,
        name: "repeated joins",
        sql: include_str!("../migrations/0090_repeated_joins.sql"),
    },
    Migration {
        version: 91,
        name: "room",
        sql: include_str!("../migrations/0091_room.sql"),
    },
    Migration {
        version: 100,
        name: "segments",
        sql: include_str!("../migrations/0100_segments.sql"),
    },
    Migration {
        version: 110,
        name: "upgrades",
        sql: include_str!("../migrations/0110_upgrades.sql"),
    },
    Migration {
        version: 120,
        name: "bridges",
        sql: include_str!("../migrations/0120_bridges.sql"),
    },
    Migration {
        version: 130,
        name: "tokens",
        sql: include_str!("../migrations/0130_tokens.sql"),
    },
    Migration {
        version: 140,
        name: "people",
        sql: include_str!("../migrations/0140_people.sql"),
    },
    Migration {
        version: 150,
        name: "quotas",
        sql: include_str!("../migrations/0150_quotas.sql"),
    },
    Migration {
        version: 160,
        name: "audit",
        sql: include_str!("../migrations/0160_audit.sql"),
    },
    Migration {
        version: 170,
        name: "inviters",
        sql: include_str!("../migrations/0170_inviters.sql"),
    },
];

pub(crate) async fn run(store: &Store) -> Result<()> {
    let mut tx = store.write().await?;
    apply(&mut tx, |_| true).await?;
    tx.commit().await
}

/// Applies the migrations that fit and were not applied yet, in their order.
pub async fn apply(tx: &mut Tx, fits: impl Fn(i64) -> bool) -> Result<()> {
    let table =
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL)";
    tx.script(table)
        .await
        .doing("make the table of migrations")?;
    let applied = crate::copy::versions(tx).await?;
    refuse_newer(&applied)?;
    // Not only those behind the last one: numbers are given out before they are used.
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version) && fits(migration.version))
    {
        let Migration { version, name, sql } = *migration;
        let failed = |source| Error::Migration {
            version,
            name,
            source,
        };
        let text = tx.dialect.migration(sql);
        tx.script(&text).await.map_err(failed)?;
        let applied = query!("INSERT INTO migrations (version, name) VALUES ($1, $2)")
            .bind(version)
            .bind(name);
        tx.run(applied).await.map_err(failed)?;
        tracing::info!(version, name, "the database was migrated");
    }
    Ok(())
}

/// Refuses a database that went through what this program does not know.
pub fn refuse_newer(applied: &[i64]) -> Result<()> {
    let known = |version: &i64| MIGRATIONS.iter().any(|one| one.version == *version);
    match applied.iter().copied().find(|version| !known(version)) {
        Some(found) => Err(Error::Newer {
            found,
            known: MIGRATIONS.last().map_or(0, |migration| migration.version),
        }),
        None => Ok(()),
    }
}
