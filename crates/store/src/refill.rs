//! Filling a database from a copy, in one transaction: the schema of the copy's time, its rows, what has
//! changed in the schema since, and what makes it fit for hosts that have gone on.

use rhyzome_model::audit::AuditEntry;
use rhyzome_model::{Digest, Timestamp};

use crate::copy::{self, Row, Sum, Table};
use crate::statement::generated;
use crate::{Error, Result, Store, Tx, audit, blob, filling, migration, restored};

/// A database that is being filled. Dropped before [`Refill::finish`], it is as it was.
pub struct Refill {
    store: Store,
    tx: Tx,
    tables: Vec<Table>,
    /// Blobs that are in the second place now, and not in the first.
    moved: Vec<(Digest, String, String)>,
}

impl Store {
    /// Begins to fill a database that holds nothing, or to replace what it holds. Cut off, `what` is
    /// named to whoever opens it; if nothing is to come of it, see [`Store::give_up_filling`].
    ///
    /// # Errors
    /// [`Error::NotEmpty`] if it holds something that is not to be replaced, [`Error::Foreign`] if that
    /// is not ours, [`Error::Newer`] if the copy is of a newer program.
    pub async fn refill(&self, versions: &[i64], what: &str, overwrite: bool) -> Result<Refill> {
        migration::refuse_newer(versions)?;
        self.begin_filling(what, overwrite).await?;
        let mut tx = self.write().await?;
        let (found, _) = copy::found(&mut tx, self).await?;
        for table in found.iter().rev() {
            drop_table(&mut tx, &table.name).await?;
        }
        drop_table(&mut tx, "migrations").await?;
        migration::apply(&mut tx, |version| versions.contains(&version)).await?;
        let tables = copy::tables(&mut tx, self).await?;
        Ok(Refill {
            store: self.clone(),
            tx,
            tables,
            moved: Vec::new(),
        })
    }
}

async fn drop_table(tx: &mut Tx, name: &str) -> Result<()> {
    generated(format!("DROP TABLE IF EXISTS {name}"))
        .run(tx, "drop a table")
        .await
        .map(drop)
}

impl Refill {
    /// Inserts rows of a table; those that it refers to are there already.
    ///
    /// # Errors
    /// [`Error::Unfit`] if there is no such table.
    pub async fn insert(&mut self, table: &Table, rows: &[Row]) -> Result<()> {
        let known = self.tables.iter().find(|known| known.name == table.name);
        let fits = |known: &Table| {
            table.columns.iter().all(|c| known.columns.contains(c))
                && rows.iter().all(|row| row.len() == table.columns.len())
        };
        if !known.is_some_and(fits) {
            return Err(Error::Unfit {
                table: table.name.clone(),
            });
        }
        copy::insert(&mut self.tx, table, rows).await
    }

    /// Says that a blob is elsewhere than the copy has it.
    pub fn move_blob(&mut self, digest: Digest, from: &str, to: &str) {
        self.moved.push((digest, from.to_owned(), to.to_owned()));
    }

    /// Compares all that is there now with what it should be, and takes it into use: the audit log of the site
    /// tells of it.
    ///
    /// # Errors
    /// [`Error::Differs`].
    pub async fn finish(
        mut self,
        expected: &[(Table, Sum)],
        copied_at: Timestamp,
        told: &AuditEntry,
    ) -> Result<()> {
        for (table, sum) in expected {
            copy::check(&mut self.tx, table, sum).await?;
        }
        migration::apply(&mut self.tx, |_| true).await?;
        for (digest, from, to) in &self.moved {
            blob::relocate(&mut self.tx, *digest, from, to).await?;
        }
        filling::end(&mut self.tx).await?;
        restored::mark(&mut self.tx, copied_at, told.time).await?;
        audit::append(&mut self.tx, &audit::chain_of(None), told).await?;
        self.tx.commit().await?;
        tracing::info!(database = self.store.place(), "restored");
        Ok(())
    }
}
