//! nftables through the JSON interface of its tool `nft` (libnftables-json(5)).
//!
//! A [`Ruleset`] is one table as it should be, built without I/O; applying it is one transaction of
//! the kernel's, in which the table is replaced as a whole. Its fingerprint is kept as the comment of
//! a rule in it, so that [`Ruleset::differs`] can tell from a listing whether it is there and whole.

mod ruleset;
mod watch;

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

pub use ruleset::*;
pub use watch::{Watch, until_flushed};

#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("cannot start the tool nft (Debian and Ubuntu: nftables)")]
    Start(#[source] std::io::Error),
    #[error("cannot talk to nft")]
    Pipe(#[source] std::io::Error),
    #[error("nft refused: {0}")]
    Refused(String),
    #[error("cannot read nft's answer")]
    Answer(#[source] serde_json::Error),
    #[error("the table {table} is not as it was just written: {why}")]
    NotApplied { table: String, why: String },
}

/// The objects of one table, as `nft` lists them.
pub struct Listing(Vec<Value>);

impl Listing {
    /// The objects of a kind (`chain`, `rule`, `set`, `map`), without their wrapping.
    pub fn objects<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter_map(move |object| object.get(kind))
    }

    /// The elements of a set or map, as they are listed; empty where there is no such.
    pub fn elements(&self, kind: &str, name: &str) -> Vec<Value> {
        self.objects(kind)
            .find(|set| set["name"] == name)
            .and_then(|set| set["elem"].as_array().cloned())
            .unwrap_or_default()
    }
}

/// Carries out commands (`{"add": …}`, `{"delete": …}`) as one transaction.
pub async fn apply(commands: Vec<Value>) -> Result<(), NftError> {
    let text = json!({ "nftables": commands }).to_string();
    call(&["-j", "-f", "-"], &text).await.map(drop)
}

/// Lists a table; none where there is no such.
pub async fn list(family: &str, table: &str) -> Result<Option<Listing>, NftError> {
    match call(&["-j", "-s", "list", "table", family, table], "").await {
        Ok(answer) => Ok(Some(Listing(objects(&answer)?))),
        Err(NftError::Refused(why)) if why.contains("No such file or directory") => Ok(None),
        Err(e) => Err(e),
    }
}

/// Lists the rules of one chain; none where there is no such.
pub async fn list_chain(
    family: &str,
    table: &str,
    chain: &str,
) -> Result<Option<Listing>, NftError> {
    match call(&["-j", "-s", "list", "chain", family, table, chain], "").await {
        Ok(answer) => Ok(Some(Listing(objects(&answer)?))),
        Err(NftError::Refused(why)) if why.contains("No such file or directory") => Ok(None),
        Err(e) => Err(e),
    }
}

/// The family and the name of every table.
pub async fn tables() -> Result<Vec<(String, String)>, NftError> {
    let answer = call(&["-j", "list", "tables"], "").await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(objects(&answer)?
        .iter()
        .filter_map(|object| object.get("table"))
        .map(|table| (text(&table["family"]), text(&table["name"])))
        .collect())
}

/// Deletes a table, if there is one. Returns whether there was.
pub async fn delete(family: &str, table: &str) -> Result<bool, NftError> {
    if !tables()
        .await?
        .iter()
        .any(|(f, name)| f == family && name == table)
    {
        return Ok(false);
    }
    let table = json!({ "table": { "family": family, "name": table } });
    apply(vec![json!({ "add": table }), json!({ "delete": table })]).await?;
    Ok(true)
}

fn objects(answer: &str) -> Result<Vec<Value>, NftError> {
    let mut answer: Value = serde_json::from_str(answer).map_err(NftError::Answer)?;
    match answer["nftables"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

async fn call(arguments: &[&str], input: &str) -> Result<String, NftError> {
    let mut child = Command::new("nft")
        .args(arguments)
        // Its refusals are read.
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(NftError::Start)?;
    let mut stdin = child
        .stdin
        .take()
        .expect("its standard input was asked to be a pipe");
    stdin
        .write_all(input.as_bytes())
        .await
        .map_err(NftError::Pipe)?;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(NftError::Pipe)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let first = why
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no reason given");
    Err(NftError::Refused(first.trim().to_owned()))
}
