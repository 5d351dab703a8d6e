//! What the rules have counted.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// How many packets came to each counter of a table of the calling thread's namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted(BTreeMap<String, u64>);

impl Counted {
    pub fn of(family: &str, table: &str) -> Self {
        let list = ["-j", "list", "counters", "table", family, table];
        let output = Command::new("nft").args(list).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let counters = listed["nftables"].as_array().unwrap();
        let counters = counters.iter().filter_map(|object| object.get("counter"));
        let count = |counter: &Value| {
            let name = counter["name"].as_str().unwrap().to_owned();
            (name, counter["packets"].as_u64().unwrap())
        };
        Self(counters.map(count).collect())
    }

    /// How many packets a counter has counted.
    pub fn count(&self, counter: &str) -> u64 {
        let none = || panic!("there is no counter {counter} in {self:?}");
        self.0.get(counter).copied().unwrap_or_else(none)
    }

    /// Makes sure that a counter, or several together with `|` between them, has counted more than it had.
    pub fn rose(&self, before: &Self, counter: &str, what: &str) {
        let sum =
            |counted: &Self| -> u64 { counter.split('|').map(|name| counted.count(name)).sum() };
        let (before, now) = (sum(before), sum(self));
        assert!(
            now > before,
            "{what} was not counted as {counter}: {self:?}"
        );
    }
}

/// What both have counted.
impl std::ops::Add for Counted {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (name, count) in other.0 {
            *self.0.entry(name).or_default() += count;
        }
        self
    }
}
