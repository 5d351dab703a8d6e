//! Columns of a row as types of the model.

use std::str::FromStr;

use rhyzome_model::Timestamp;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use sqlx::postgres::PgRow;
use sqlx::{Row, TypeInfo, ValueRef as _};

use crate::cause::Cause;
use crate::{Doing, Error, Result};

/// A row of an answer.
pub enum Columns<'r> {
    /// With the names of its columns: SQLite would compare one with all before it, each asked for anew.
    Sqlite(&'r rusqlite::Row<'r>, Vec<&'r str>),
    Postgres(&'r PgRow),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<'r> {
    Null,
    Integer(i64),
    Text(&'r str),
}

impl<'r> Columns<'r> {
    pub(crate) fn sqlite(row: &'r rusqlite::Row<'r>) -> Self {
        let statement: &rusqlite::Statement<'_> = row.as_ref();
        Self::Sqlite(row, statement.column_names().collect())
    }

    fn held(&self, column: &str) -> std::result::Result<Held<'r>, Cause> {
        match self {
            Self::Sqlite(row, names) => {
                let found = names.iter().position(|name| *name == column);
                let found =
                    found.ok_or_else(|| rusqlite::Error::InvalidColumnName(column.to_owned()))?;
                of_sqlite(row.get_ref(found)?, column)
            }
            Self::Postgres(row) => of_postgres(row, column),
        }
    }

    /// What stands at a position, from 0.
    pub fn at(&self, position: usize) -> Result<Held<'r>> {
        const OPERATION: &str = "give a column";
        match self {
            Self::Sqlite(row, _) => {
                let value = row.get_ref(position).map_err(Cause::from);
                let held = value.and_then(|value| of_sqlite(value, &position.to_string()));
                held.doing(OPERATION)
            }
            Self::Postgres(row) => of_postgres(row, position).doing(OPERATION),
        }
    }

    fn maybe_str(&self, column: &'static str) -> Result<Option<&'r str>> {
        match self.held(column).doing("give a text column")? {
            Held::Null => Ok(None),
            Held::Text(text) => Ok(Some(text)),
            Held::Integer(value) => Err(Error::Corrupt {
                column,
                value: value.to_string(),
                wanted: "text",
            }),
        }
    }

    fn str(&self, column: &'static str) -> Result<&'r str> {
        self.maybe_str(column)?.ok_or_else(|| empty(column, "text"))
    }

    fn maybe_number(&self, column: &'static str) -> Result<Option<i64>> {
        match self.held(column).doing("give an integer column")? {
            Held::Null => Ok(None),
            Held::Integer(value) => Ok(Some(value)),
            Held::Text(text) => Err(Error::Corrupt {
                column,
                value: format!("{} bytes of text", text.len()),
                wanted: "integer",
            }),
        }
    }

    pub fn string(&self, column: &'static str) -> Result<String> {
        self.str(column).map(str::to_owned)
    }

    pub fn maybe_string(&self, column: &'static str) -> Result<Option<String>> {
        Ok(self.maybe_str(column)?.map(str::to_owned))
    }

    pub fn text<T: FromStr>(&self, column: &'static str) -> Result<T> {
        parse(column, self.str(column)?)
    }

    pub fn maybe_text<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        self.maybe_str(column)?
            .map(|value| parse(column, value))
            .transpose()
    }

    pub fn integer<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T> {
        let value = self.maybe_number(column)?;
        let value = value.ok_or_else(|| empty(column, std::any::type_name::<T>()))?;
        T::try_from(value).map_err(|_| Error::Corrupt {
            column,
            value: value.to_string(),
            wanted: std::any::type_name::<T>(),
        })
    }

    pub fn maybe_integer<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>> {
        self.maybe_number(column)?
            .map(|_| self.integer(column))
            .transpose()
    }

    /// A number of a range of its own, in a type of `N`.
    pub fn numbered<N, T>(&self, column: &'static str) -> Result<T>
    where
        N: TryFrom<i64> + Copy + std::fmt::Display,
        T: TryFrom<N>,
    {
        let number: N = self.integer(column)?;
        T::try_from(number).map_err(|_| Error::Corrupt {
            column,
            value: number.to_string(),
            wanted: std::any::type_name::<T>(),
        })
    }

    pub fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.integer::<i64>(column)? != 0)
    }

    pub fn time(&self, column: &'static str) -> Result<Timestamp> {
        Ok(Timestamp::from_millis(self.integer(column)?))
    }

    pub fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.maybe_integer(column)?.map(Timestamp::from_millis))
    }

    pub fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        from_json(column, self.str(column)?)
    }

    pub fn maybe_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>> {
        self.maybe_str(column)?
            .map(|value| from_json(column, value))
            .transpose()
    }

    /// A word of an enum that serde knows.
    pub fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let value = self.str(column)?;
        let word: StrDeserializer<'_, serde::de::value::Error> = value.into_deserializer();
        T::deserialize(word).map_err(|_| Error::Corrupt {
            column,
            value: value.to_owned(),
            wanted: std::any::type_name::<T>(),
        })
    }
}

fn parse<T: FromStr>(column: &'static str, value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::Corrupt {
        column,
        value: value.to_owned(),
        wanted: std::any::type_name::<T>(),
    })
}

/// A text column's JSON.
pub(crate) fn from_json<T: DeserializeOwned>(column: &'static str, value: &str) -> Result<T> {
    // The value may hold what does not belong into a log.
    serde_json::from_str(value).map_err(|_| Error::Corrupt {
        column,
        value: format!("{} bytes of JSON", value.len()),
        wanted: std::any::type_name::<T>(),
    })
}

fn empty(column: &'static str, wanted: &'static str) -> Error {
    Error::Corrupt {
        column,
        value: "nothing".to_owned(),
        wanted,
    }
}

fn of_sqlite<'r>(value: ValueRef<'r>, column: &str) -> std::result::Result<Held<'r>, Cause> {
    let other = || Cause::Kind(column.to_owned());
    match value {
        ValueRef::Null => Ok(Held::Null),
        ValueRef::Integer(value) => Ok(Held::Integer(value)),
        ValueRef::Text(text) => Ok(Held::Text(str::from_utf8(text).map_err(|_| other())?)),
        ValueRef::Real(_) | ValueRef::Blob(_) => Err(other()),
    }
}

fn of_postgres<'r, I>(row: &'r PgRow, column: I) -> std::result::Result<Held<'r>, Cause>
where
    I: sqlx::ColumnIndex<PgRow> + std::fmt::Display + Copy,
{
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(Held::Null);
    }
    Ok(match value.type_info().name() {
        "INT8" => Held::Integer(row.try_get(column)?),
        "INT4" => Held::Integer(row.try_get::<i32, _>(column)?.into()),
        "TEXT" | "VARCHAR" | "NAME" => Held::Text(row.try_get(column)?),
        _ => return Err(Cause::Kind(column.to_string())),
    })
}

/// A value as JSON for a text column.
pub fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::Json)
}
