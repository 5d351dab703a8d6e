//! What a command works with: what was said globally, where files are, a client of the core.

use std::env;
use std::path::PathBuf;

use rhyzome_client::{Client, ClientOptions, Scope};
use rhyzome_model::Name;

use crate::args::Global;
use crate::context::{self, Target};
use crate::failure::Failure;
use crate::output::Output;

/// The surroundings of a command.
pub struct Cx {
    pub global: Global,
    pub output: Output,
    pub paths: Paths,
}

/// Where this program keeps its files.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The file with the contexts.
    pub config: PathBuf,
    /// The folder for what has to be kept: peers' private keys.
    pub data: PathBuf,
    /// The folder for what may be thrown away: downloads that were cut off.
    pub cache: PathBuf,
}

/// A core, and the project to work in.
pub struct Session<'a> {
    pub client: Client,
    pub project: Name,
    pub scope: Scope,
    pub output: &'a Output,
    pub paths: &'a Paths,
}

impl Cx {
    pub fn new(global: Global) -> Self {
        let output = Output::new(&global);
        let paths = Paths::find(&|name| match name {
            // Set, or else as the system's users are listed.
            "HOME" => env::home_dir(),
            name => env::var_os(name).map(PathBuf::from),
        });
        Self {
            global,
            output,
            paths,
        }
    }

    /// Which core is meant, by options, environment and contexts.
    pub fn target(&self) -> Result<Target, Failure> {
        context::resolve(&self.paths.config, &self.global, &|name| {
            env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    /// The name of the context that is used; none where the environment alone says which core.
    pub fn context_name(&self) -> Result<Option<String>, Failure> {
        context::name(&self.paths.config, &self.global, &|name| {
            env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    pub fn session(&self) -> Result<Session<'_>, Failure> {
        let target = self.target()?;
        let options = ClientOptions {
            url: target.url,
            token: target.token,
            authority_pem: target.authority,
        };
        let client = Client::new(options)?;
        let scope = client.within(&target.project);
        Ok(Session {
            client,
            project: target.project,
            scope,
            output: &self.output,
            paths: &self.paths,
        })
    }
}

impl Paths {
    /// By the XDG base directory specification; `env` reads an environment variable.
    ///
    /// Where there is no home, what is read is not there, and what is written cannot be: a tunnel out of
    /// a file needs neither.
    pub fn find(env: &dyn Fn(&str) -> Option<PathBuf>) -> Self {
        let home = env("HOME").unwrap_or_else(|| PathBuf::from("/nonexistent"));
        let folder = |variable: &str, usual: &str| {
            let set = env(variable).filter(|path| path.is_absolute());
            set.unwrap_or_else(|| home.join(usual))
        };
        let config = match env("RHYZOME_CONFIG").filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => path,
            None => folder("XDG_CONFIG_HOME", ".config").join("rhyzome/config.toml"),
        };
        let data = folder("XDG_DATA_HOME", ".local/share").join("rhyzome");
        let cache = folder("XDG_CACHE_HOME", ".cache").join("rhyzome");
        Self {
            config,
            data,
            cache,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], config: &str, data: &str) {
        let env = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| PathBuf::from(value))
        };
        let paths = Paths::find(&env);
        assert_eq!(
            (paths.config.to_str(), paths.data.to_str()),
            (Some(config), Some(data))
        );
    }

    #[test]
    fn files_are_where_the_desktop_specification_says() {
        check(
            &[("HOME", "/home/a")],
            "/home/a/.config/rhyzome/config.toml",
            "/home/a/.local/share/rhyzome",
        );
        check(
            &[
                ("HOME", "/home/a"),
                ("XDG_CONFIG_HOME", "/c"),
                ("XDG_DATA_HOME", "not/absolute"),
            ],
            "/c/rhyzome/config.toml",
            "/home/a/.local/share/rhyzome",
        );
        check(
            &[("HOME", "/h"), ("RHYZOME_CONFIG", "/x.toml")],
            "/x.toml",
            "/h/.local/share/rhyzome",
        );
        check(
            &[],
            "/nonexistent/.config/rhyzome/config.toml",
            "/nonexistent/.local/share/rhyzome",
        );
    }
}
