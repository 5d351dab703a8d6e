//! Where the bytes of images are: by default in the state folder, otherwise in S3-compatible object
//! storage. Those that were in the folder before stay readable there.

use std::path::PathBuf;

use rhyzome_blob::{Credentials, S3, S3Options};
use rhyzome_settings::{Complaint, Secret};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blobs {
    /// `s3://BUCKET/PREFIX`.
    pub url: Option<String>,
    /// Where the object storage listens; Amazon's own where none is given.
    pub endpoint: Option<String>,
    pub region: String,
    /// The authority (PEM) of the endpoint's certificate.
    pub authority: Option<PathBuf>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<Secret>,
    pub secret_access_key_file: Option<PathBuf>,
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            url: None,
            endpoint: None,
            region: "us-east-1".to_owned(),
            authority: None,
            access_key_id: None,
            secret_access_key: None,
            secret_access_key_file: None,
        }
    }
}

/// Why the object storage that is configured cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobsError {
    #[error("cannot read {path} ({key})")]
    Read {
        key: &'static str,
        path: String,
        source: std::io::Error,
    },
    #[error("blobs.url is no s3://BUCKET/PREFIX")]
    Url,
    #[error(transparent)]
    Location(rhyzome_blob::Error),
}

impl Blobs {
    pub(super) fn check(&self, complaints: &mut Vec<Complaint>) {
        let mut complain = |key, reason: &str| {
            let reason = reason.to_owned();
            complaints.push(Complaint { key, reason });
        };
        let secrets = [
            self.secret_access_key.is_some(),
            self.secret_access_key_file.is_some(),
        ];
        let Some(url) = &self.url else {
            let others = [
                ("blobs.endpoint", self.endpoint.is_some()),
                ("blobs.authority", self.authority.is_some()),
                ("blobs.access_key_id", self.access_key_id.is_some()),
                ("blobs.secret_access_key", secrets[0]),
                ("blobs.secret_access_key_file", secrets[1]),
            ];
            for (key, _) in others.into_iter().filter(|(_, set)| *set) {
                complain(key, "blobs.url is not set: images are in the state folder");
            }
            return;
        };
        if bucket(url).is_none() {
            complain(
                "blobs.url",
                "it has to be s3://BUCKET or s3://BUCKET/PREFIX",
            );
        }
        if self.access_key_id.is_none() {
            complain("blobs.access_key_id", "needed where blobs.url is set");
        }
        match secrets {
            [false, false] => complain(
                "blobs.secret_access_key_file",
                "needed where blobs.url is set: a file with the secret access key",
            ),
            [true, true] => complain(
                "blobs.secret_access_key_file",
                "blobs.secret_access_key is set too; one of them",
            ),
            [true, false] | [false, true] => {}
        }
        if let Some(endpoint) = &self.endpoint {
            super::check_url("blobs.endpoint", endpoint, &["https", "http"], complaints);
        }
    }

    /// The object storage, if one is configured. Nothing is asked of it yet.
    ///
    /// # Errors
    /// Where a file cannot be read or holds what cannot be used.
    pub fn open(&self) -> Result<Option<S3>, BlobsError> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let (bucket, prefix) = bucket(url).ok_or(BlobsError::Url)?;
        let secret = match (&self.secret_access_key, &self.secret_access_key_file) {
            (Some(secret), _) => secret.expose().to_owned(),
            (None, Some(path)) => read("blobs.secret_access_key_file", path)?
                .trim()
                .to_owned(),
            (None, None) => String::new(),
        };
        let authority = match &self.authority {
            Some(path) => Some(read("blobs.authority", path)?),
            None => None,
        };
        let options = S3Options {
            endpoint: self.endpoint.clone(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region: self.region.clone(),
            authority,
            credentials: Credentials {
                access_key_id: self.access_key_id.clone().unwrap_or_default(),
                secret_access_key: secret,
            },
        };
        S3::new(options).map(Some).map_err(BlobsError::Location)
    }
}

fn read(key: &'static str, path: &std::path::Path) -> Result<String, BlobsError> {
    std::fs::read_to_string(path).map_err(|source| BlobsError::Read {
        key,
        path: path.display().to_string(),
        source,
    })
}

/// A bucket, and what stands before all keys in it.
fn bucket(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
    let whole = (1..=255).contains(&bucket.len()) && bucket.bytes().all(plain);
    let parts = prefix.bytes().all(|c| plain(c) || c == b'/') && !prefix.contains("..");
    (whole && parts).then_some((bucket, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_may_have_a_prefix() {
        assert_eq!(bucket("s3://images"), Some(("images", "")));
        assert_eq!(bucket("s3://images/a/b"), Some(("images", "a/b")));
        for wrong in [
            "images",
            "s3://",
            "s3:///a",
            "https://a/b",
            "s3://a/../b",
            "s3://a b",
        ] {
            assert_eq!(bucket(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_said_at_once_and_no_secret_is() {
        let blobs = Blobs {
            url: Some("s3://images".to_owned()),
            secret_access_key: Some(Secret::from("hidden".to_owned())),
            secret_access_key_file: Some("/tmp/secret".into()),
            endpoint: Some("ftp://x".to_owned()),
            ..Blobs::default()
        };
        let mut complaints = Vec::new();
        blobs.check(&mut complaints);
        let keys: Vec<&str> = complaints.iter().map(|complaint| complaint.key).collect();
        let expect = [
            "blobs.access_key_id",
            "blobs.secret_access_key_file",
            "blobs.endpoint",
        ];
        assert_eq!(keys, expect);
        assert!(!format!("{blobs:?} {complaints:?}").contains("hidden"));
        let alone = Blobs {
            endpoint: Some("https://s3.example.org".to_owned()),
            ..Blobs::default()
        };
        let mut complaints = Vec::new();
        alone.check(&mut complaints);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
    }
}
