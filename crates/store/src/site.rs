//! What belongs to the site as a whole: its seed.

use crate::statement::query;
use crate::{Conn, Result, Tx};

/// A value that was set once, by its name.
pub async fn get(conn: &mut Conn, name: &str) -> Result<Option<String>> {
    query!("SELECT value FROM site WHERE name = $1")
        .bind(name)
        .row(conn, "read the site's settings", |c| c.string("value"))
        .await
}

/// Sets a value that was not set before.
pub async fn insert(tx: &mut Tx, name: &str, value: &str) -> Result<()> {
    query!("INSERT INTO site (name, value) VALUES ($1, $2)")
        .bind(name)
        .bind(value)
        .run(tx, "write the site's settings")
        .await
        .map(drop)
}
