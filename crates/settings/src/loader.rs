//! Putting a configuration together from its layers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use crate::decode::decode;
use crate::layers::Layers;
use crate::problem::{Errors, Origin, Problem};
use crate::{Settings, path, tree};

/// Collects the layers. Later ones win: defaults, the file, the environment,
/// `--set`, flags of their own.
///
/// ```
/// use rhyzome_settings::{Loader, Settings};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Api {
///     http_bind: std::net::SocketAddr,
/// }
///
/// impl Default for Api {
///     fn default() -> Self {
///         Self { http_bind: ([127, 0, 0, 1], 8080).into() }
///     }
/// }
///
/// impl Settings for Api {}
///
/// let loaded = Loader::new("RHYZOME_API")
///     .file_if_present("/etc/rhyzome/no-such-file.toml")
///     .env([("RHYZOME_API_HTTP_BIND", "127.0.0.1:80")])
///     .ignore_env(["RHYZOME_API_CONFIG"])
///     .load::<Api>()
///     .unwrap_or_else(|errors| panic!("{errors}"));
/// assert_eq!(loaded.settings.http_bind.port(), 80);
/// ```
#[derive(Debug, Clone)]
pub struct Loader {
    prefix: String,
    file: Option<(PathBuf, bool)>,
    env: Vec<(OsString, OsString)>,
    not_ours: Vec<String>,
    set: Vec<String>,
    overrides: Vec<(String, Value)>,
}

/// A configuration that is in order. `Display` is for `--check-config` and the
/// log: which keys were set, and where; no values.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    pub settings: T,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Every key that somebody set, with dots.
    pub set: BTreeMap<String, Origin>,
}

impl Loader {
    /// `prefix` begins the program's environment variables, without the
    /// underscore after it: `RHYZOME_API`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{prefix}_"),
            file: None,
            env: Vec::new(),
            not_ours: Vec::new(),
            set: Vec::new(),
            overrides: Vec::new(),
        }
    }

    /// The file that the operator named: it must be there.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some((path.into(), true));
        self
    }

    /// The file at its usual place, which need not be there.
    #[must_use]
    pub fn file_if_present(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some((path.into(), false));
        self
    }

    /// The process's environment, as of `std::env::vars_os`.
    #[must_use]
    pub fn env<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.env = variables.map(|(k, v)| (k.into(), v.into())).collect();
        self
    }

    /// Variables with the prefix that are no keys: names, or with `*` at the
    /// end beginnings of names (another program's longer prefix).
    #[must_use]
    pub fn ignore_env<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.not_ours.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// The arguments of all `--set key=value`.
    #[must_use]
    pub fn set(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.set.extend(arguments);
        self
    }

    /// Values of flags of their own, by key; null where a flag was not given.
    /// Messages call the flag by its key: `http.bind` is `--http-bind`.
    #[must_use]
    pub fn overrides(mut self, flags: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.overrides.extend(flags);
        self
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// All that is wrong, in the order of the layers.
    ///
    /// # Panics
    /// When the struct's default cannot be serialized, which is a mistake in
    /// the program.
    pub fn load<T: Settings>(self) -> Result<Loaded<T>, Errors> {
        let default = serde_json::to_value(T::default())
            .expect("the default of a configuration can be serialized");
        let mut layers = Layers::<T>::new(&default);
        let file = layers.add_file(self.file.as_ref());
        let file_is_read = layers.file_is_read;
        layers.add_env(&self.prefix, &self.not_ours, self.env);
        layers.add_set(&self.set);
        layers.add_overrides(self.overrides);
        let Layers {
            given,
            mut problems,
            ..
        } = layers;
        let set: BTreeMap<String, Origin> = given
            .iter()
            .map(|(key, one)| (tree::dotted(key), one.origin.clone()))
            .collect();
        let settings = decode::<T>(given, &mut problems);
        // Without the file, the defaults it replaces would be tried in vain.
        if let Some(settings) = settings.as_ref().filter(|_| file_is_read) {
            check(settings, &set, &mut problems);
        }
        match settings {
            Some(settings) if problems.is_empty() => Ok(Loaded {
                settings,
                file,
                set,
            }),
            _ => Err(Errors(problems)),
        }
    }
}

impl<T> fmt::Display for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "configuration in order; file {}", file.display())?,
            None => f.write_str("configuration in order; no file")?,
        }
        for (key, origin) in &self.set {
            write!(f, "\n{key}: set by {origin}")?;
        }
        Ok(())
    }
}

/// Paths are tried whatever else is wrong; values are taken together only
/// when each is right by itself.
fn check<T: Settings>(settings: &T, set: &BTreeMap<String, Origin>, problems: &mut Vec<Problem>) {
    let origin = |key: &str| set.get(key).cloned().unwrap_or(Origin::Default);
    let values =
        serde_json::to_value(settings).expect("what serializes as a default serializes when set");
    let each_is_right = problems.is_empty();
    problems.extend(path::check_all(&values, T::PATHS, origin));
    if each_is_right {
        let complaints = settings.check().into_iter();
        problems.extend(complaints.map(|found| Problem::BadValue {
            origin: origin(found.key),
            key: found.key.to_owned(),
            reason: found.reason,
        }));
    }
}

#[cfg(test)]
mod tests;
