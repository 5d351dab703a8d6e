//! Why a core refuses a call, in a word that the component can act on. The word travels beside the
//! gRPC status, whose message is for people.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The metadata key that carries the word.
const REASON: &str = "rhyzome-reason";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No certificate was shown where one is needed.
    NoCertificate,
    /// The certificate is expired: it may renew and nothing else.
    Expired,
    Revoked,
    /// The core does not know (any more) whose certificate it is.
    Unknown,
    /// The join token is unknown, used or expired.
    Token,
    /// The other side's version or kind is not spoken here.
    Unsupported,
    /// The name that was asked for is taken.
    NameTaken,
}

impl Refusal {
    const ALL: [Self; 7] = [
        Self::NoCertificate,
        Self::Expired,
        Self::Revoked,
        Self::Unknown,
        Self::Token,
        Self::Unsupported,
        Self::NameTaken,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
            Self::Token => "token",
            Self::Unsupported => "unsupported",
            Self::NameTaken => "name-taken",
        }
    }

    /// As a status, with a sentence for people.
    pub fn status(self, message: impl Into<String>) -> Status {
        let code = match self {
            Self::NoCertificate | Self::Expired | Self::Unknown | Self::Token => {
                Code::Unauthenticated
            }
            Self::Revoked => Code::PermissionDenied,
            Self::Unsupported => Code::FailedPrecondition,
            Self::NameTaken => Code::AlreadyExists,
        };
        let mut status = Status::new(code, message);
        status
            .metadata_mut()
            .insert(REASON, MetadataValue::from_static(self.as_str()));
        status
    }

    /// The word beside a status, if there is one that is known here.
    pub fn of(status: &Status) -> Option<Self> {
        let word = status.metadata().get(REASON)?.to_str().ok()?;
        Self::ALL
            .into_iter()
            .find(|refusal| refusal.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_out_of_its_status() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of(&refusal.status("why")), Some(refusal));
        }
        assert_eq!(Refusal::of(&Status::internal("why")), None);
    }
}
