//! What can be wrong with a configuration, and how it is said.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    File(PathBuf),
    /// The variable's name.
    Env(String),
    /// `--set`.
    Set,
    /// A flag of its own, with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Set => f.write_str("--set"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong. No variant holds the value of a secret key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Neither `.toml` nor `.json`.
    #[error("{path}: {ending}; a configuration file ends in .toml or .json")]
    Ending { path: PathBuf, ending: String },
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
    /// `line` and `column` count from 1.
    #[error("{path}:{line}:{column}: not valid {format}: {reason}")]
    Syntax {
        path: PathBuf,
        line: usize,
        column: usize,
        format: &'static str,
        reason: String,
    },
    /// `hint` says what was probably meant, or what is known.
    #[error("{origin}: unknown key `{key}`; {hint}")]
    UnknownKey {
        origin: Origin,
        key: String,
        hint: String,
    },
    #[error("environment {name}: no key goes by that name; {hint}")]
    UnknownVariable { name: String, hint: String },
    #[error("environment {name}: the value is not UTF-8")]
    VariableText { name: String },
    /// `position` counts from 1; the argument itself may hold a secret.
    #[error("--set: argument {position} is not of the form key=value")]
    SetForm { position: usize },
    #[error("{origin}: `{key}`: expected {expected}, found {found}")]
    WrongType {
        origin: Origin,
        key: String,
        expected: String,
        found: String,
    },
    #[error("{origin}: `{key}`: {reason}")]
    BadValue {
        origin: Origin,
        key: String,
        reason: String,
    },
    /// What no single key is to blame for, such as a missing one.
    #[error("configuration: {reason}")]
    Whole { reason: String },
    #[error("{origin}: `{key}`: {path} {reason}")]
    Path {
        origin: Origin,
        key: String,
        path: PathBuf,
        reason: String,
    },
}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<Problem>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
