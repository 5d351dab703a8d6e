//! The part of the configuration that every component has.

use std::path::PathBuf;

use rhyzome_model::Name;
use rhyzome_settings::{Loaded, Loader, Settings};
use serde::{Deserialize, Serialize};

use crate::link::CoreUrl;

/// What every component has in its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComponentSettings {
    /// Where the core listens for components, as `https://HOST:PORT`; by default where it was joined.
    pub core: Option<CoreUrl>,
    /// Where the component keeps its identity, its ledger and what its driver keeps.
    pub state_dir: PathBuf,
    /// The name to ask for when joining.
    pub name: Option<Name>,
}

impl ComponentSettings {
    /// The defaults, with the state in `/var/lib/rhyzome/<part>`.
    pub fn new(part: &str) -> Self {
        let state_dir = PathBuf::from("/var/lib/rhyzome").join(part);
        Self {
            core: None,
            state_dir,
            name: None,
        }
    }
}

impl Default for ComponentSettings {
    fn default() -> Self {
        Self::new("component")
    }
}

/// Reads a program's configuration: `rhyzome-linux` has `RHYZOME_LINUX_…` and, unless told another
/// one, `/etc/rhyzome/linux.toml`.
pub(super) fn load<S: Settings>(
    program: &str,
    file: Option<PathBuf>,
    set: Vec<String>,
) -> anyhow::Result<Loaded<S>> {
    let short = program.strip_prefix("rhyzome-").unwrap_or(program);
    let prefix = program.to_uppercase().replace('-', "_");
    let loader = Loader::new(&prefix).env(std::env::vars_os()).set(set);
    let loader = match file {
        Some(file) => loader.file(file),
        None => loader.file_if_present(format!("/etc/rhyzome/{short}.toml")),
    };
    Ok(loader.load()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        component: ComponentSettings,
    }

    impl Settings for Whole {}

    #[test]
    fn a_configuration_says_what_every_component_has() {
        let set = ["component.core=https://core:7443", "component.name=host-1"];
        let loaded = load::<Whole>("rhyzome-test", None, set.map(str::to_owned).to_vec());
        let component = loaded.expect("a configuration").settings.component;
        assert_eq!(
            component.core,
            Some("https://core:7443".parse().expect("a URL"))
        );
        assert_eq!(component.name, Some("host-1".parse().expect("a name")));
        assert_eq!(
            component.state_dir,
            PathBuf::from("/var/lib/rhyzome/component")
        );
        let wrong = vec!["component.core=http://core".to_owned()];
        let error = load::<Whole>("rhyzome-test", None, wrong).expect_err("no https");
        assert!(error.to_string().contains("component.core"), "{error}");
    }
}
