//! Forward-only migrations, which run by themselves when the database is opened.

use sqlx::{AssertSqlSafe, Executor};

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
    Migration {
        version: 61,
        name: "gone",
        sql: include_str!("../migrations/0061_gone.sql"),
    },
];

pub(crate) async fn run(store: &Store) -> Result<()> {
    let mut tx = store.write().await?;
    let table =
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL)";
    tx.execute(table)
        .await
        .doing("make the table of migrations")?;
    let applied = crate::copy::versions(&mut tx).await?;
    let known = |version: &i64| MIGRATIONS.iter().any(|one| one.version == *version);
    if let Some(found) = applied.iter().copied().find(|version| !known(version)) {
        let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
        return Err(Error::Newer { found, known });
    }
    // Not only those behind the last one: numbers are given out before they are used.
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
    {
        let Migration { version, name, sql } = *migration;
        let failed = |source| Error::Migration {
            version,
            name,
            source,
        };
        let text = AssertSqlSafe(tx.dialect.migration(sql).into_owned());
        tx.execute(sqlx::raw_sql(text)).await.map_err(failed)?;
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
