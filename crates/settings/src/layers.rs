//! The layers of a configuration, each checked for keys that nobody knows and
//! laid over the ones before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::decode::{AllGiven, Given};
use crate::problem::{Origin, Problem};
use crate::tree::{self, Key};
use crate::{Settings, nearest, source, text};

/// Collects what was given, and what was wrong with it.
pub(crate) struct Layers<'a, T> {
    default: &'a Value,
    known: Vec<String>,
    pub given: AllGiven,
    pub problems: Vec<Problem>,
    /// False where there is a file that could not be made sense of.
    pub file_is_read: bool,
    settings: std::marker::PhantomData<T>,
}

impl<'a, T: Settings> Layers<'a, T> {
    pub(crate) fn new(default: &'a Value) -> Self {
        Self {
            default,
            known: tree::known(default),
            given: AllGiven::new(),
            problems: Vec::new(),
            file_is_read: true,
            settings: std::marker::PhantomData,
        }
    }

    pub(crate) fn add_file(&mut self, file: Option<&(PathBuf, bool)>) -> Option<PathBuf> {
        let (path, required) = file?;
        match source::read(path, *required) {
            Ok(Some(tree)) => {
                self.add_tree(&tree, &Vec::new(), &Origin::File(path.clone()));
                Some(path.clone())
            }
            Ok(None) => None,
            Err(problem) => {
                self.problems.push(problem);
                self.file_is_read = false;
                None
            }
        }
    }

    /// Takes over all values of a tree, table by table.
    fn add_tree(&mut self, tree: &Value, above: &Key, origin: &Origin) {
        let Some(fields) = tree.as_object() else {
            return;
        };
        for (name, value) in fields {
            let mut key = above.clone();
            key.push(name.clone());
            match tree::known_at(self.default, &key) {
                None => self.unknown(&key, origin.clone()),
                Some(default) if tree::is_table(default) && value.is_object() => {
                    self.add_tree(value, &key, origin);
                }
                Some(_) => self.give(key, Given::plain(value.clone(), origin.clone())),
            }
        }
    }

    pub(crate) fn add_env(
        &mut self,
        prefix: &str,
        not_ours: &[String],
        env: Vec<(OsString, OsString)>,
    ) {
        let keys: BTreeMap<String, (Key, Value)> = tree::leaves(self.default)
            .into_iter()
            .map(|(key, default)| (variable(prefix, &key), (key, default.clone())))
            .collect();
        let names: Vec<String> = keys
            .keys()
            .map(|name| name[prefix.len()..].into())
            .collect();
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) else {
                continue;
            };
            let name = name.to_owned();
            if not_ours.iter().any(|pattern| matches(pattern, &name)) {
                continue;
            }
            match (keys.get(&name), value.into_string()) {
                (None, _) => self.problems.push(Problem::UnknownVariable {
                    hint: variable_hint(prefix, &name, &names),
                    name,
                }),
                (Some(_), Err(_)) => self.problems.push(Problem::VariableText { name }),
                (Some((key, default)), Ok(value)) => {
                    self.give_text(key.clone(), &value, default, Origin::Env(name));
                }
            }
        }
    }

    pub(crate) fn add_set(&mut self, arguments: &[String]) {
        for (index, argument) in arguments.iter().enumerate() {
            let Some((key, value)) = argument.split_once('=') else {
                let position = index + 1;
                self.problems.push(Problem::SetForm { position });
                continue;
            };
            let key = tree::split(key.trim());
            match tree::known_at(self.default, &key) {
                None => self.unknown(&key, Origin::Set),
                Some(default) => {
                    let default = default.clone();
                    self.give_text(key, value, &default, Origin::Set);
                }
            }
        }
    }

    pub(crate) fn add_overrides(&mut self, overrides: Vec<(String, Value)>) {
        for (key, value) in overrides.into_iter().filter(|(_, value)| !value.is_null()) {
            let origin = Origin::Flag(format!("--{}", key.replace(['.', '_'], "-")));
            let key = tree::split(&key);
            match tree::known_at(self.default, &key) {
                None => self.unknown(&key, origin),
                Some(_) => self.give(key, Given::plain(value, origin)),
            }
        }
    }

    fn give_text(&mut self, key: Key, text: &str, default: &Value, origin: Origin) {
        let mut readings = text::readings(text, default);
        if !readings.is_empty() {
            let first = readings.remove(0);
            let one = Given {
                value: first,
                origin,
                text: Some(text.to_owned()),
                other_readings: readings,
            };
            self.give(key, one);
        }
    }

    fn give(&mut self, key: Key, one: Given) {
        // A whole table replaces what was said about its parts before.
        self.given
            .retain(|other, _| other.len() <= key.len() || !other.starts_with(&key));
        self.given.insert(key, one);
    }

    fn unknown(&mut self, key: &Key, origin: Origin) {
        let key = tree::dotted(key);
        let meant = T::MEANT
            .iter()
            .find_map(|(wrong, meant)| (*wrong == key).then_some(*meant))
            .or_else(|| nearest::nearest(&key, &self.known));
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "known are `{}`",
                nearest::beside(&key, &self.known).join("`, `")
            ),
        };
        self.problems
            .push(Problem::UnknownKey { hint, origin, key });
    }
}

/// `http.bind` is `RHYZOME_API_HTTP_BIND`.
pub(crate) fn variable(prefix: &str, key: &[String]) -> String {
    format!("{prefix}{}", key.join("_").replace('-', "_").to_uppercase())
}

fn variable_hint(prefix: &str, name: &str, known: &[String]) -> String {
    match nearest::nearest(&name[prefix.len()..], known) {
        Some(near) => format!("did you mean {prefix}{near}?"),
        None => format!("known are {prefix} with {}", known.join(", ")),
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}
