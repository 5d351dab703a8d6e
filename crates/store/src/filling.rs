//! Databases that are being filled from elsewhere. That is noted in them before anything else and taken
//! away with the last step, in its transaction: no core runs on what was cut off in between.

use crate::statement::{gathered, generated};
use crate::{Conn, Error, Result, Store, Tx, copy};

/// A table of its own, outside of the schema: what is filled may have no schema yet.
pub(crate) const TABLE: &str = "filling";

impl Store {
    /// Refuses a database that something was about to fill.
    ///
    /// # Errors
    /// [`Error::Unfinished`].
    pub(crate) async fn refuse_unfinished(&self) -> Result<()> {
        let mut conn = self.read().await?;
        match noted(&mut conn, self).await? {
            Some(what) => Err(Error::Unfinished {
                url: self.place(),
                what,
            }),
            None => Ok(()),
        }
    }

    /// Notes that this database is being filled by a command, unless what it holds is to be kept.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] if it holds something that is not to be replaced, [`Error::Foreign`] if that
    /// is not ours.
    pub(crate) async fn begin_filling(&self, what: &str, overwrite: bool) -> Result<()> {
        let mut tx = self.write().await?;
        let (found, ours) = copy::found(&mut tx, self).await?;
        if !found.is_empty() && !ours {
            return Err(Error::Foreign { url: self.place() });
        }
        if !overwrite {
            copy::refuse_content(&mut tx, &found, &self.place()).await?;
        }
        end(&mut tx).await?;
        generated(format!("CREATE TABLE {TABLE} (what TEXT NOT NULL)"))
            .run(&mut tx, "note that it is being filled")
            .await?;
        generated(format!("INSERT INTO {TABLE} (what) VALUES ($1)"))
            .bind(what)
            .run(&mut tx, "note that it is being filled")
            .await?;
        tx.commit().await
    }

    /// Takes the note away: nothing was done.
    pub async fn give_up_filling(&self) -> Result<()> {
        let mut tx = self.write().await?;
        end(&mut tx).await?;
        tx.commit().await
    }
}

/// By what the database is being filled, or was when that was cut off.
async fn noted(conn: &mut Conn, store: &Store) -> Result<Option<String>> {
    let tables: Vec<String> = gathered(store.dialect().columns())
        .rows(conn, "read its tables", |c| c.string("of_table"))
        .await?;
    if !tables.iter().any(|table| table == TABLE) {
        return Ok(None);
    }
    generated(format!("SELECT what FROM {TABLE}"))
        .row(conn, "read by what it is filled", |c| c.string("what"))
        .await
}

/// The last step of filling.
pub(crate) async fn end(tx: &mut Tx) -> Result<()> {
    generated(format!("DROP TABLE IF EXISTS {TABLE}"))
        .run(tx, "note that it is filled")
        .await
        .map(drop)
}
