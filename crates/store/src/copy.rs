//! All that a database holds, in a form that does not depend on its kind: for moving a site, for
//! keeping it and for bringing it back.
//!
//! Which tables there are, and which refers to which, is read from the database: a new table is in it
//! without anybody thinking of it. The table of migrations is not: both sides have their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::column::{Columns, Held};
use crate::statement::{gathered, generated, query};
use crate::{Conn, Error, Result, Store, Tx, filling, migration};

/// How many rows are in memory at a time.
const CHUNK: usize = 1000;

/// A table, with its columns in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    Null,
    Integer(i64),
    Text(String),
}

pub type Row = Vec<Cell>;

/// What a table holds, to be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub rows: u64,
    /// SHA-256 over all rows in their order, each as JSON and a newline.
    pub sha256: String,
}

/// The tables with what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub table: String,
    pub sum: Sum,
}

/// Copies everything from one database into another one that is empty, in one transaction, and
/// compares what arrived before it is committed. The source is only read. A target that holds just the
/// same already is left so.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::Differs`]; the target holds what it held then. Cut off, `what` is named
/// to whoever opens the target.
pub async fn all(source: &Store, target: &Store, what: &str) -> Result<Vec<Copied>> {
    match target.begin_filling(what, false).await {
        Ok(()) => {}
        Err(error @ Error::NotEmpty { .. }) => {
            return same(source, target).await?.ok_or(error);
        }
        Err(error) => return Err(error),
    }
    let copied = fill(source, target).await;
    if copied.is_err() {
        // What failed is to be told; where this fails too, the same command goes over it.
        let _ = target.give_up_filling().await;
    }
    copied
}

/// What both hold, if that is the same.
async fn same(source: &Store, target: &Store) -> Result<Option<Vec<Copied>>> {
    let (mut from, mut into) = (source.snapshot().await?, target.snapshot().await?);
    let of_source = tables(&mut from, source).await?;
    if of_source != tables(&mut into, target).await? {
        return Ok(None);
    }
    let mut all = Vec::with_capacity(of_source.len());
    for table in of_source {
        let sum = sum(&mut from, &table).await?;
        match check(&mut into, &table, &sum).await {
            Ok(()) => all.push(Copied {
                table: table.name,
                sum,
            }),
            Err(Error::Differs { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(all))
}

async fn fill(source: &Store, target: &Store) -> Result<Vec<Copied>> {
    migration::run(target).await?;
    let mut from = source.snapshot().await?;
    let mut into = target.write().await?;
    let expected = versions(&mut from).await?;
    let found = versions(&mut into).await?;
    if expected != found {
        return Err(Error::OtherVersion {
            url: source.place(),
            found: expected.last().copied().unwrap_or(0),
            wanted: found.last().copied().unwrap_or(0),
        });
    }
    let tables = tables(&mut from, source).await?;
    let mut copied = Vec::with_capacity(tables.len());
    for table in &tables {
        let mut sums = Summing::default();
        each(&mut from, table, async |rows| {
            rows.iter().for_each(|row| sums.add(row));
            insert(&mut into, table, &rows).await
        })
        .await?;
        let sum = sums.end();
        check(&mut into, table, &sum).await?;
        copied.push(Copied {
            table: table.name.clone(),
            sum,
        });
    }
    filling::end(&mut into).await?;
    into.commit().await?;
    Ok(copied)
}

/// The versions of the schema that a database went through.
pub async fn versions(conn: &mut Conn) -> Result<Vec<i64>> {
    query!("SELECT version FROM migrations ORDER BY version")
        .rows(conn, "read its version", |c| c.integer("version"))
        .await
}

/// All tables, each behind those that it refers to.
pub async fn tables(conn: &mut Conn, store: &Store) -> Result<Vec<Table>> {
    Ok(found(conn, store).await?.0)
}

/// All tables, and whether they are ours as far as one can tell.
pub(crate) async fn found(conn: &mut Conn, store: &Store) -> Result<(Vec<Table>, bool)> {
    let dialect = store.dialect();
    let columns: Vec<(String, String)> = gathered(dialect.columns())
        .rows(conn, "read its tables", |c| {
            Ok((c.string("of_table")?, c.string("name")?))
        })
        .await?;
    let mut refers: Vec<(String, String)> = gathered(dialect.references())
        .rows(conn, "read what refers to what", |c| {
            Ok((c.string("of_table")?, c.string("to_table")?))
        })
        .await?;
    refers.retain(|(of, to)| of != to);
    let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column) in columns {
        left.entry(table).or_default().push(column);
    }
    let ours = left.remove("migrations").is_some();
    let begun = left.remove(filling::TABLE).is_some();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |name: &str| {
            refers
                .iter()
                .any(|(of, to)| of == name && left.contains_key(to))
        };
        // Two that refer to each other could not be filled in any order.
        let next = left.keys().find(|name| !waits(name)).cloned();
        let name = next.unwrap_or_else(|| left.keys().next().cloned().unwrap_or_default());
        let columns = left.remove(&name).unwrap_or_default();
        ordered.push(Table { name, columns });
    }
    Ok((ordered, ours || begun))
}

/// Everything, in memory: for tests and small tables.
pub async fn export(store: &Store) -> Result<Vec<(Table, Vec<Row>)>> {
    let mut from = store.snapshot().await?;
    let mut all = Vec::new();
    for table in tables(&mut from, store).await? {
        let mut found = Vec::new();
        each(&mut from, &table, async |rows| {
            found.extend(rows);
            Ok(())
        })
        .await?;
        all.push((table, found));
    }
    Ok(all)
}

/// Gives all rows of a table in an order that is the same everywhere, some at a time.
pub async fn each<E: From<Error>>(
    conn: &mut Conn,
    table: &Table,
    take: impl AsyncFnMut(Vec<Row>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    const OPERATION: &str = "read a table";
    let order: Vec<String> = (1..=table.columns.len())
        .map(|n| format!("{n} NULLS FIRST"))
        .collect();
    let text = format!(
        "SELECT {} FROM {} ORDER BY {}",
        quoted(&table.columns).join(", "),
        table.name,
        order.join(", ")
    );
    let columns = table.columns.len();
    let read = move |row: &Columns<'_>| cells(row, columns);
    conn.stream(generated(text), (OPERATION, CHUNK), read, take)
        .await
}

fn cells(row: &Columns<'_>, columns: usize) -> Result<Row> {
    (0..columns)
        .map(|position| {
            Ok(match row.at(position)? {
                Held::Null => Cell::Null,
                Held::Integer(value) => Cell::Integer(value),
                Held::Text(text) => Cell::Text(text.to_owned()),
            })
        })
        .collect()
}

fn quoted(columns: &[String]) -> Vec<String> {
    columns
        .iter()
        .map(|column| format!("\"{column}\""))
        .collect()
}

/// Inserts rows just as they are.
pub async fn insert(tx: &mut Tx, table: &Table, rows: &[Row]) -> Result<()> {
    let columns = quoted(&table.columns).join(", ");
    for row in rows {
        let mut values = Vec::with_capacity(row.len());
        let mut bound = 0;
        for cell in row {
            // Without a parameter, whose type the database would have to know.
            values.push(match cell {
                Cell::Null => "NULL".to_owned(),
                Cell::Integer(_) | Cell::Text(_) => {
                    bound += 1;
                    format!("${bound}")
                }
            });
        }
        let text = format!(
            "INSERT INTO {} ({columns}) VALUES ({})",
            table.name,
            values.join(", ")
        );
        let mut statement = generated(text);
        for cell in row {
            statement = match cell {
                Cell::Null => statement,
                Cell::Integer(value) => statement.bind(*value),
                Cell::Text(value) => statement.bind(value.as_str()),
            };
        }
        statement.run(tx, "insert what was copied").await?;
    }
    Ok(())
}

/// Refuses a database that holds something.
pub async fn refuse_content(tx: &mut Tx, tables: &[Table], url: &str) -> Result<()> {
    for table in tables {
        let text = format!("SELECT COUNT(*) AS n FROM {}", table.name);
        let n = generated(text).number(tx, "count rows").await?;
        if n > 0 {
            return Err(Error::NotEmpty {
                url: url.to_owned(),
                table: table.name.clone(),
            });
        }
    }
    Ok(())
}

/// Whether a table holds what it should.
pub async fn check(conn: &mut Conn, table: &Table, expected: &Sum) -> Result<()> {
    let found = sum(conn, table).await?;
    if found == *expected {
        return Ok(());
    }
    Err(Error::Differs {
        table: table.name.clone(),
        expected: expected.rows,
        found: found.rows,
    })
}

async fn sum(conn: &mut Conn, table: &Table) -> Result<Sum> {
    let mut sums = Summing::default();
    each::<Error>(conn, table, async |rows| {
        rows.iter().for_each(|row| sums.add(row));
        Ok(())
    })
    .await?;
    Ok(sums.end())
}

/// A sum that is being made.
#[derive(Default)]
pub struct Summing {
    rows: u64,
    hash: Sha256,
}

impl Summing {
    pub fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.hash.update(line(row).as_bytes());
    }

    pub fn end(self) -> Sum {
        Sum {
            rows: self.rows,
            sha256: self
                .hash
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }
}

/// A row as a line of JSON, newline included.
pub fn line(row: &Row) -> String {
    let mut text = serde_json::to_string(row).expect("texts and integers are always JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
