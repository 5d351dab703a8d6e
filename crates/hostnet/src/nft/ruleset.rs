//! A table as it should be, and the few expressions that ours are made of.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Listing, NftError};

/// The chain that carries the fingerprint. Nothing jumps to it.
const ABOUT: &str = "about";

/// One table, built up in the order of its chains and rules.
#[derive(Clone, Debug)]
pub struct Ruleset {
    family: &'static str,
    table: String,
    commands: Vec<Value>,
    chains: Map<String, Value>,
    rules: Vec<(String, usize)>,
    sets: Vec<(&'static str, String)>,
    counters: Vec<String>,
}

impl Ruleset {
    pub fn new(family: &'static str, table: impl Into<String>) -> Self {
        Self {
            family,
            table: table.into(),
            commands: Vec::new(),
            chains: Map::new(),
            rules: Vec::new(),
            sets: Vec::new(),
            counters: Vec::new(),
        }
    }

    pub fn family(&self) -> &'static str {
        self.family
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    fn add(&mut self, kind: &str, fields: Value) {
        let mut object = json!({ "family": self.family, "table": self.table });
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            object.extend(fields);
        }
        self.commands.push(json!({ "add": { kind: object } }));
    }

    /// An empty set of elements of a type, or of a concatenation of types.
    #[must_use]
    pub fn set(mut self, name: &str, types: &[&str]) -> Self {
        let types = if let [one] = types {
            json!(one)
        } else {
            json!(types)
        };
        self.add("set", json!({ "name": name, "type": types }));
        self.sets.push(("set", name.to_owned()));
        self
    }

    /// An empty map from a type to verdicts.
    #[must_use]
    pub fn verdict_map(mut self, name: &str, of: &str) -> Self {
        self.add("map", json!({ "name": name, "type": of, "map": "verdict" }));
        self.sets.push(("map", name.to_owned()));
        self
    }

    /// A chain that others jump to.
    #[must_use]
    pub fn chain(mut self, name: &str) -> Self {
        self.add("chain", json!({ "name": name }));
        self.chains.insert(name.to_owned(), json!({}));
        self.rules.push((name.to_owned(), 0));
        self
    }

    /// A chain that the kernel runs at a hook. `what` has `type`, `hook`, `prio`, `policy` and, for the
    /// family netdev, `dev`.
    #[must_use]
    pub fn base_chain(mut self, name: &str, what: Value) -> Self {
        let mut fields = what.clone();
        fields["name"] = json!(name);
        self.add("chain", fields);
        self.chains.insert(name.to_owned(), what);
        self.rules.push((name.to_owned(), 0));
        self
    }

    /// A rule at the end of a chain made before. The counters in it are the table's.
    #[must_use]
    pub fn rule(mut self, chain: &str, expressions: impl IntoIterator<Item = Value>) -> Self {
        let expressions: Vec<Value> = expressions.into_iter().collect();
        for name in expressions.iter().filter_map(|e| e["counter"].as_str()) {
            if !self.counters.iter().any(|known| known == name) {
                self.counters.push(name.to_owned());
                self.add("counter", json!({ "name": name }));
            }
        }
        self.add("rule", json!({ "chain": chain, "expr": expressions }));
        if let Some((_, count)) = self.rules.iter_mut().find(|(name, _)| name == chain) {
            *count += 1;
        }
        self
    }

    /// Names this very set of rules: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let text = Value::from(self.commands.clone()).to_string();
        hex::encode(&Sha256::digest(text)[..8])
    }

    /// The commands that put the table in the place of whatever has its name, in one transaction.
    pub fn commands(&self) -> Vec<Value> {
        let table = json!({ "table": { "family": self.family, "name": self.table } });
        // Added first, so that deleting it cannot fail where there is none.
        let mut commands = vec![
            json!({ "add": table }),
            json!({ "delete": table }),
            json!({ "add": table }),
        ];
        // A rule may jump to a chain that was described after it.
        let (rules, others): (Vec<&Value>, Vec<&Value>) = self
            .commands
            .iter()
            .partition(|command| command["add"].get("rule").is_some());
        commands.extend(others.into_iter().chain(rules).cloned());
        let mut about = self.clone();
        about.commands.clear();
        about.add("chain", json!({ "name": ABOUT }));
        let comment = format!("rhyzome {}", self.fingerprint());
        about.add(
            "rule",
            json!({ "chain": ABOUT, "comment": comment, "expr": [accept()] }),
        );
        commands.extend(about.commands);
        commands
    }

    /// What of a listing is not as this says; none where nothing is. Elements of sets and chains that
    /// were added later do not matter.
    pub fn differs(&self, listing: Option<&Listing>) -> Option<String> {
        let Some(listing) = listing else {
            return Some("it is missing".to_owned());
        };
        let comment = format!("rhyzome {}", self.fingerprint());
        if !listing
            .objects("rule")
            .any(|rule| rule["chain"] == ABOUT && rule["comment"] == comment)
        {
            return Some("it was written for something else".to_owned());
        }
        for (name, want) in &self.chains {
            let Some(have) = listing
                .objects("chain")
                .find(|chain| chain["name"] == **name)
            else {
                return Some(format!("the chain {name} is missing"));
            };
            // nft 1.0.6 does not list the device.
            let mut fields = want
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(field, _)| *field != "dev");
            if let Some((field, _)) = fields.find(|(field, value)| have[*field] != **value) {
                return Some(format!("the chain {name} has another {field}"));
            }
        }
        for (chain, want) in &self.rules {
            let have = listing
                .objects("rule")
                .filter(|rule| rule["chain"] == **chain)
                .count();
            if have != *want {
                return Some(format!(
                    "the chain {chain} has {have} rules instead of {want}"
                ));
            }
        }
        let missing = self
            .sets
            .iter()
            .find(|(kind, name)| !listing.objects(kind).any(|set| set["name"] == **name));
        missing.map(|(kind, name)| format!("the {kind} {name} is missing"))
    }

    /// Puts it there where it is not, elements of its sets being lost then; verified. Returns whether
    /// it was not there.
    pub async fn ensure(&self) -> Result<bool, NftError> {
        if self
            .differs(super::list(self.family, &self.table).await?.as_ref())
            .is_none()
        {
            return Ok(false);
        }
        super::apply(self.commands()).await?;
        match self.differs(super::list(self.family, &self.table).await?.as_ref()) {
            None => Ok(true),
            Some(why) => Err(NftError::NotApplied {
                table: self.table.clone(),
                why,
            }),
        }
    }

    /// The command that adds elements to a set or map.
    pub fn add_elements(&self, name: &str, elements: Vec<Value>) -> Value {
        json!({ "add": { "element": self.elements(name, elements) } })
    }

    /// The command that deletes elements of a set or map.
    pub fn delete_elements(&self, name: &str, elements: Vec<Value>) -> Value {
        json!({ "delete": { "element": self.elements(name, elements) } })
    }

    fn elements(&self, name: &str, elements: Vec<Value>) -> Value {
        json!({ "family": self.family, "table": self.table, "name": name, "elem": elements })
    }

    /// An object of this table, as commands name it.
    pub fn object(&self, fields: Value) -> Value {
        let mut object = json!({ "family": self.family, "table": self.table });
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            object.extend(fields);
        }
        object
    }
}

pub fn meta(key: &str) -> Value {
    json!({ "meta": { "key": key } })
}

pub fn payload(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}

pub fn concat(parts: impl IntoIterator<Item = Value>) -> Value {
    json!({ "concat": parts.into_iter().collect::<Vec<_>>() })
}

pub fn is(left: Value, right: impl Into<Value>) -> Value {
    json!({ "match": { "op": "==", "left": left, "right": right.into() } })
}

pub fn is_not(left: Value, right: impl Into<Value>) -> Value {
    json!({ "match": { "op": "!=", "left": left, "right": right.into() } })
}

pub fn is_one_of<T: Into<Value>>(left: Value, right: impl IntoIterator<Item = T>) -> Value {
    let members: Vec<Value> = right.into_iter().map(Into::into).collect();
    is(left, json!({ "set": members }))
}

/// Whether an address is inside a prefix.
pub fn is_within(left: Value, prefix: impl Into<ipnet::IpNet>) -> Value {
    is(left, prefix_of(prefix.into()))
}

pub fn is_not_within(left: Value, prefix: impl Into<ipnet::IpNet>) -> Value {
    is_not(left, prefix_of(prefix.into()))
}

fn prefix_of(prefix: ipnet::IpNet) -> Value {
    json!({ "prefix": { "addr": prefix.network().to_string(), "len": prefix.prefix_len() } })
}

/// The states of the connection that a packet belongs to, as in `established`.
pub fn connection_in(states: &[&str]) -> Value {
    json!({ "match": { "op": "in", "left": { "ct": { "key": "state" } }, "right": states } })
}

pub fn jump(chain: &str) -> Value {
    json!({ "jump": { "target": chain } })
}

pub fn accept() -> Value {
    json!({ "accept": null })
}

pub fn discard() -> Value {
    json!({ "drop": null })
}

/// Counts what comes as far as this in its rule, in a counter of the table that several rules may share:
/// `nft list counters` shows them.
pub fn counted(name: &str) -> Value {
    json!({ "counter": name })
}

pub fn masquerade() -> Value {
    json!({ "masquerade": null })
}

/// Refuses with "administratively prohibited", so that who asked need not wait for a timeout.
pub fn reject() -> Value {
    json!({ "reject": { "type": "icmpx", "expr": "admin-prohibited" } })
}

/// Lowers the segment size that a TCP connection agrees on to what fits the route's MTU.
pub fn clamp_segment_size() -> [Value; 2] {
    [
        json!({ "match": { "op": "in", "left": payload("tcp", "flags"), "right": "syn" } }),
        json!({ "mangle": {
            "key": { "tcp option": { "name": "maxseg", "field": "size" } },
            "value": { "rt": { "key": "mtu" } },
        } }),
    ]
}
