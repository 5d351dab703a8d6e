//! What an endpoint is started with, and the file in its folder that it is kept in.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::state::{StateDir, StateError};
use crate::config::{MAX_MTU, MIN_MTU};

/// How an endpoint is set up. Peers are not part of it: they change while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointOptions {
    /// The endpoint's folder. Its path is short enough for a socket in it: under 90 bytes.
    #[serde(skip)]
    pub dir: PathBuf,
    /// The interface's name, at most 15 bytes.
    pub interface: String,
    /// The namespace that the interface is made in, as `/run/netns/NAME`; none means the process's.
    pub namespace: Option<PathBuf>,
    /// The UDP port, on IPv4 and IPv6.
    pub listen_port: u16,
    /// The interface's MTU in bytes.
    pub mtu: u16,
    /// Addresses of the interface. They go with it, so they are set again at each start.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Prefixes that are routed into the interface: what the peers' addresses are taken from.
    #[serde(default)]
    pub routes: Vec<IpNet>,
    /// Where to put a link to the socket for `wg`, as `/run/wireguard/INTERFACE.sock`.
    #[serde(default)]
    pub wg_link: Option<PathBuf>,
}

/// What is wrong with an endpoint's options.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The name cannot be an interface's.
    #[error("'{0}' cannot be the name of an interface: 1 to 15 characters, no '/' and no space")]
    Interface(String),
    /// The MTU is out of range.
    #[error("an MTU of {0} is not between {MIN_MTU} and {MAX_MTU}")]
    Mtu(u16),
    /// Port 0 would be another one at each start.
    #[error("the listening port is 0")]
    Port,
    /// A socket in the folder would have too long a path.
    #[error("the path {0} is too long for a socket in it")]
    PathTooLong(PathBuf),
    /// The options' file cannot be read or written.
    #[error("the options of {dir} cannot be read or written")]
    State {
        /// The endpoint's folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: StateError,
    },
    /// There are no options in the folder.
    #[error("{0} holds no endpoint's options")]
    None(PathBuf),
}

const FILE: &str = "options.json";

/// `sockaddr_un.sun_path` with its final zero byte (unix(7)), less the longest name in the folder.
const MAX_DIR: usize = 108 - 1 - "/control.sock".len();

impl EndpointOptions {
    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let name = &self.interface;
        let odd = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        let dots = name == "." || name == "..";
        if name.is_empty() || name.len() > 15 || name.contains(odd) || dots {
            return Err(OptionsError::Interface(name.clone()));
        }
        if !(MIN_MTU..=MAX_MTU).contains(&self.mtu) {
            return Err(OptionsError::Mtu(self.mtu));
        }
        if self.listen_port == 0 {
            return Err(OptionsError::Port);
        }
        if self.dir.as_os_str().len() > MAX_DIR {
            return Err(OptionsError::PathTooLong(self.dir.clone()));
        }
        Ok(())
    }

    /// Reads the options in `dir`.
    ///
    /// # Errors
    /// No options there, unreadable ones, and what [`Self::validate`] finds.
    pub fn load(dir: &Path) -> Result<Self, OptionsError> {
        let state = StateDir::at(dir);
        let read: Option<Self> = state.read_json(FILE).map_err(|e| wrong(dir, e))?;
        let options = read.ok_or_else(|| OptionsError::None(dir.to_owned()))?;
        let options = Self {
            dir: dir.to_owned(),
            ..options
        };
        options.validate()?;
        Ok(options)
    }

    /// Writes the options into their folder, which is made if it is not there.
    ///
    /// # Errors
    /// What [`Self::validate`] finds, and a folder that cannot be written to.
    pub fn save(&self) -> Result<(), OptionsError> {
        self.validate()?;
        let state = StateDir::create(&self.dir).map_err(|e| wrong(&self.dir, e))?;
        state
            .write_json(FILE, self)
            .map_err(|e| wrong(&self.dir, e))
    }
}

fn wrong(dir: &Path, source: StateError) -> OptionsError {
    OptionsError::State {
        dir: dir.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> EndpointOptions {
        EndpointOptions {
            dir: dir.to_owned(),
            interface: "wg0".to_owned(),
            namespace: Some(PathBuf::from("/run/netns/a")),
            listen_port: 51820,
            mtu: 1420,
            addresses: vec!["10.1.0.1/24".parse().unwrap()],
            routes: vec!["10.9.0.0/16".parse().unwrap()],
            wg_link: None,
        }
    }

    #[test]
    fn saved_options_are_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(&dir.path().join("net"));
        options.save().unwrap();
        assert_eq!(EndpointOptions::load(&options.dir).unwrap(), options);
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("net");
        let check = |change: fn(&mut EndpointOptions), expected: &str| {
            let mut options = options(&dir);
            change(&mut options);
            let error = options.save().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!options.dir.exists());
        };
        check(|o| o.interface = "a/b".to_owned(), "'a/b'");
        check(|o| o.interface = "sixteen-letters!".to_owned(), "'sixteen");
        check(|o| o.interface = String::new(), "''");
        check(|o| o.mtu = 1279, "1279");
        check(|o| o.listen_port = 0, "port is 0");
        check(|o| o.dir = PathBuf::from("x".repeat(95)), "too long");
    }

    #[test]
    fn a_folder_without_options_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = EndpointOptions::load(dir.path()).unwrap_err();
        assert!(matches!(error, OptionsError::None(_)));
    }
}
