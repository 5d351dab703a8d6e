//! Forward-only migrations, which run by themselves when the database is opened.

use sqlx::{Executor, Row};

use crate::{Doing, Error, Result, Store};

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
        version: 50,
        name: "guests",
        sql: include_str!("../migrations/0050_guests.sql"),
    },
    Migration {
        version: 60,
        name: "hosts",
        sql: include_str!("../migrations/0060_hosts.sql"),
    },
];

pub(crate) async fn run(store: &Store) -> Result<()> {
    let mut tx = store.write().await?;
    tx.execute(
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL)",
    )
    .await
    .doing("make the table of migrations")?;
    let row = tx
        .fetch_one("SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM migrations")
        .await
        .doing("read its version")?;
    let found: i64 = row.try_get("version").doing("read its version")?;
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(Error::Newer { found, known });
    }
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.version > found)
    {
        let Migration { version, name, sql } = *migration;
        let failed = |source| Error::Migration {
            version,
            name,
            source,
        };
        tx.execute(sql).await.map_err(failed)?;
        sqlx::query("INSERT INTO migrations (version, name) VALUES ($1, $2)")
            .bind(version)
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        tracing::info!(version, name, "the database was migrated");
    }
    tx.commit().await
}
