//! The file with the contexts: TOML, rewritten as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rhyzome_model::Name;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::failure::Failure;
use crate::private;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The context that is used if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<String, Context>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    pub url: String,
    /// The project to work in; `default` if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// A file of mode 0600 with the token and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A file with the site's authority in PEM, for where it is not in `authority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_file: Option<PathBuf>,
    /// The site's authority in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

impl File {
    /// Reads the file; one that is not there has no contexts.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(Failure::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        toml::from_str(&text).map_err(|e| {
            let reason = e.to_string().trim_end().to_owned();
            Error::Syntax {
                file: path.to_owned(),
                reason,
            }
            .into()
        })
    }

    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string_pretty(self).expect("the file's types have TOML forms");
        private::write(path, text.as_bytes())
    }

    /// The context `named`, or the current one; `path` is where this was read from.
    pub fn pick(&self, named: Option<&str>, path: &Path) -> Result<(&str, &Context), Error> {
        let name = match (named, &self.current) {
            (Some(name), _) => name,
            (None, Some(current)) => current,
            (None, None) if self.contexts.is_empty() => return Err(Error::None),
            (None, None) => return Err(Error::NoCurrent),
        };
        let found = self.contexts.get_key_value(name);
        let unknown = || Error::Unknown {
            name: name.to_owned(),
            file: path.to_owned(),
        };
        found
            .map(|(name, context)| (name.as_str(), context))
            .ok_or_else(unknown)
    }
}
