//! Columns of a row as types of the model.

use std::str::FromStr;

use rhyzome_model::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Doing, Error, Result};

/// A row of an answer.
pub struct Columns<'r>(pub &'r AnyRow);

impl Columns<'_> {
    pub fn string(&self, column: &'static str) -> Result<String> {
        self.0.try_get(column).doing("give a text column")
    }

    pub fn maybe_string(&self, column: &'static str) -> Result<Option<String>> {
        self.0.try_get(column).doing("give a text column")
    }

    pub fn text<T: FromStr>(&self, column: &'static str) -> Result<T> {
        parse(column, self.string(column)?)
    }

    pub fn maybe_text<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        self.maybe_string(column)?
            .map(|value| parse(column, value))
            .transpose()
    }

    pub fn integer<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T> {
        let value: i64 = self.0.try_get(column).doing("give an integer column")?;
        T::try_from(value).map_err(|_| Error::Corrupt {
            column,
            value: value.to_string(),
            wanted: std::any::type_name::<T>(),
        })
    }

    pub fn maybe_integer<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>> {
        let value: Option<i64> = self.0.try_get(column).doing("give an integer column")?;
        value.map(|_| self.integer(column)).transpose()
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
        from_json(column, self.string(column)?)
    }

    pub fn maybe_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>> {
        self.maybe_string(column)?
            .map(|value| from_json(column, value))
            .transpose()
    }

    /// A word of an enum that serde knows.
    pub fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let value = self.string(column)?;
        serde_json::from_value(serde_json::Value::String(value.clone())).map_err(|_| {
            Error::Corrupt {
                column,
                value,
                wanted: std::any::type_name::<T>(),
            }
        })
    }
}

fn parse<T: FromStr>(column: &'static str, value: String) -> Result<T> {
    value.parse().map_err(|_| Error::Corrupt {
        column,
        value,
        wanted: std::any::type_name::<T>(),
    })
}

fn from_json<T: DeserializeOwned>(column: &'static str, value: String) -> Result<T> {
    // The value may hold what does not belong into a log.
    serde_json::from_str(&value).map_err(|_| Error::Corrupt {
        column,
        value: format!("{} bytes of JSON", value.len()),
        wanted: std::any::type_name::<T>(),
    })
}

/// A value as JSON for a text column.
pub fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::Json)
}
