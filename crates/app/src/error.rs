//! What a use case answers when it refuses or fails: a closed set of kinds, with public and internal
//! text apart.

use std::fmt;

use rhyzome_model::job::FailureKind;

/// The kinds that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It is not there, or the caller may not know of it.
    NotFound,
    NameTaken,
    /// Something else still needs it.
    InUse,
    /// It cannot be done in the state that it is in: asking for the same again does not help.
    WrongState,
    /// The request is wrong in itself.
    Invalid,
    /// No host or pool has room for it.
    NoCapacity,
    /// The project may not have more of something.
    QuotaExceeded,
    /// It is not at the generation that the caller believed it to be at.
    Changed,
    Unauthenticated,
    Forbidden,
    /// It cannot be done here at all.
    Unsupported,
    /// It may work later.
    Unavailable,
    /// A replayed request's answer had a secret in it.
    SecretAlreadyShown,
    /// An idempotency key came with another request before.
    KeyReused,
    /// A defect or a broken surrounding; the cause is in the log.
    Internal,
}

/// Why a use case did not do what it was asked.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    public: String,
    field: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, public: impl Into<String>) -> Self {
        Self {
            kind,
            public: public.into(),
            field: None,
            source: None,
        }
    }

    pub fn not_found(what: &str, name: &dyn fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} {name}"))
    }

    pub fn name_taken(what: &str, name: &dyn fmt::Display) -> Self {
        Self::new(Kind::NameTaken, format!("the {what} {name} exists already")).at("name")
    }

    /// A field of the request is wrong.
    pub fn invalid(field: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, why.to_string()).at(field)
    }

    pub fn unauthenticated() -> Self {
        Self::new(
            Kind::Unauthenticated,
            "an API token is needed: Authorization: Bearer rz_…",
        )
    }

    pub fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let public = "something went wrong in the core; its log says what".to_owned();
        Self {
            kind: Kind::Internal,
            public,
            field: None,
            source: Some(Box::new(source)),
        }
    }

    /// An action that a component did not do, with its words.
    pub fn of_job(kind: FailureKind, message: String) -> Self {
        let kind = match kind {
            FailureKind::Transient => Kind::Unavailable,
            FailureKind::Permanent => Kind::WrongState,
            FailureKind::Unsupported => Kind::Unsupported,
        };
        Self::new(kind, message)
    }

    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..self
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the caller may read.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The field of the request that is wrong, as in `spec.memory`.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<rhyzome_store::Error> for Error {
    fn from(error: rhyzome_store::Error) -> Self {
        use rhyzome_store::Error as Store;
        let (kind, public) = match error {
            Store::Conflict { .. } | Store::Busy { .. } => (
                Kind::Unavailable,
                "another request came in between; try again",
            ),
            Store::Full { .. } => (
                Kind::Unavailable,
                "the disk of the core's database is full: nothing was changed; free some space and try again",
            ),
            Store::ReadOnly { .. } => (
                Kind::Unavailable,
                "the core's database can only be read: it is a replica, or still recovering",
            ),
            Store::Away { .. } => (
                Kind::Unavailable,
                "the core's database does not answer; try again when it does",
            ),
            Store::Open { .. }
            | Store::OpenReadOnly { .. }
            | Store::OpenUntrusted { .. }
            | Store::Taken { .. }
            | Store::Sql { .. }
            | Store::Corrupt { .. }
            | Store::Migration { .. }
            | Store::Newer { .. }
            | Store::NotEmpty { .. }
            | Store::Differs { .. }
            | Store::Foreign { .. }
            | Store::Unfit { .. }
            | Store::Unfinished { .. }
            | Store::OtherVersion { .. }
            | Store::Json(_) => (
                Kind::Internal,
                "the database failed; the core's log says how",
            ),
        };
        Self {
            kind,
            public: public.to_owned(),
            field: None,
            source: Some(Box::new(error)),
        }
    }
}
