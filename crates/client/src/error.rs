//! What can go wrong with a request, told apart by what can be done about it.

use std::fmt;
use std::io;

use rhyzome_wire::Problem;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The core answered that it will not, and why.
    #[error("the core at {url} has another authority than it should: its fingerprint is {found}")]
    NotTheAuthority { url: String, found: String },
    #[error("{}", Sentence(.0))]
    Problem(Box<Problem>),
    /// Nothing answers at the URL.
    #[error("no connection to the core at {url}")]
    Connect { url: String, source: reqwest::Error },
    /// The connection broke before the answer was there, and trying again did not help.
    #[error("no answer from the core to {method} {url}")]
    Send {
        method: String,
        url: String,
        source: reqwest::Error,
    },
    /// The stream of a console broke.
    #[error("the stream of the console broke: {why}")]
    Console { why: String },
    /// The core took the request and says nothing.
    #[error("the core at {url} took the request and says nothing")]
    Silent { url: String },
    /// The answer is not what this version of the client understands.
    #[error("the answer to {method} {url} is not understood")]
    Answer {
        method: String,
        url: String,
        source: serde_path_to_error::Error<serde_json::Error>,
    },
    /// An error that is no problem document: something else than a core answers there.
    #[error("{method} {url} was answered with status {status}, which no core does: {excerpt}")]
    Foreign {
        method: String,
        url: String,
        status: u16,
        excerpt: String,
    },
    /// The URL of the core is none.
    #[error("{url:?} is not the URL of a core, like https://core.example:8080")]
    Url { url: String },
    /// A token would be readable on the way.
    #[error("the token would go unencrypted to {url}: use https")]
    Unencrypted { url: String },
    /// The token cannot be put in a header.
    #[error("the token has characters that no token has")]
    Token,
    /// The PEM text of the site's authority has no certificate that can be read.
    #[error("the site's authority is not a certificate in PEM")]
    Authority { source: Option<rustls::Error> },
    /// TLS cannot be set up on this machine.
    #[error("the certificates that this system trusts cannot be used")]
    Tls { source: rustls::Error },
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be set up")]
    Build { source: reqwest::Error },
    /// Bytes to upload cannot be read.
    #[error("the bytes to upload cannot be read")]
    Read { source: io::Error },
    /// A download from elsewhere failed.
    #[error("{url} cannot be downloaded")]
    Download { url: String, source: reqwest::Error },
    /// A download from elsewhere was refused.
    #[error("{url} was answered with status {status}")]
    DownloadStatus { url: String, status: u16 },
}

impl Error {
    /// The problem that the core told, if it told one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The problem's code: `not_found`, `name_taken`, …
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }

    /// Whether what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }

    /// Whether the core could not be reached, so that nothing is known of what it would have said.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Send { .. } | Self::Silent { .. }
        )
    }
}

/// A problem as one sentence for people.
struct Sentence<'a>(&'a Problem);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.0;
        let said = if problem.detail.is_empty() {
            &problem.title
        } else {
            &problem.detail
        };
        if let Some(field) = &problem.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(detail: &str, field: Option<&str>) -> Error {
        Error::Problem(Box::new(Problem {
            kind: "about:blank".to_owned(),
            title: "Unprocessable Content".to_owned(),
            status: 422,
            code: "invalid".to_owned(),
            detail: detail.to_owned(),
            field: field.map(str::to_owned),
            request_id: None,
        }))
    }

    #[test]
    fn a_problem_says_its_field_and_its_detail_or_else_its_title() {
        assert_eq!(
            problem("8MiB is too little", Some("spec.memory")).to_string(),
            "spec.memory: 8MiB is too little"
        );
        assert_eq!(problem("it is so", None).to_string(), "it is so");
        assert_eq!(problem("", None).to_string(), "Unprocessable Content");
    }
}
