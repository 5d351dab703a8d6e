//! An issuer's keys: fetched when they are needed, kept while the issuer is away, and asked for no more often than it can bear.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::Error;

/// How often an issuer is asked, and how long its answers are believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long keys are believed without asking the issuer again.
    pub fresh: Duration,
    /// How long they are believed where the issuer does not answer.
    pub stale: Duration,
    /// How long the issuer may take, for both documents.
    pub patience: Duration,
    /// How soon the issuer is asked again, whatever tokens are shown; each failure doubles it.
    pub again: Duration,
    pub again_at_most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(10 * 60),
            stale: Duration::from_secs(24 * 3600),
            patience: Duration::from_secs(5),
            again: Duration::from_secs(5),
            again_at_most: Duration::from_secs(5 * 60),
        }
    }
}

/// A document with keys is smaller. Bytes.
const LARGEST: usize = 1 << 20;

/// What the issuer says of itself.
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// An issuer's keys, as the document has them that its discovery document names.
#[derive(Clone, Debug)]
pub struct KeySet(JwkSet);

impl KeySet {
    /// # Errors
    /// The document is none with keys. Single keys that nobody knows are passed over.
    pub fn read(document: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(document).map(Self)
    }

    /// Those for signatures, with this id; without one, all.
    pub(crate) fn select(&self, kid: Option<&str>) -> Vec<Jwk> {
        let signs =
            |key: &&Jwk| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let fits = |key: &&Jwk| kid.is_none() || key.common.key_id.as_deref() == kid;
        let keys = self.0.keys.iter();
        keys.filter(signs).filter(fits).cloned().collect()
    }
}

/// Where an issuer's keys are, by its discovery document, which was read at `place`.
///
/// # Errors
/// Say what is wrong with the document.
pub fn keys_at(document: &[u8], place: &str, issuer: &str) -> Result<String, String> {
    let discovery: Discovery = serde_json::from_slice(document)
        .map_err(|e| format!("{place} is not what it should be: {e}"))?;
    if discovery.issuer != issuer {
        return Err(format!("at {place} is the issuer {:?}", discovery.issuer));
    }
    if !is_safe(&discovery.jwks_uri) {
        return Err(format!(
            "its keys would be read from {:?}, without TLS",
            discovery.jwks_uri
        ));
    }
    Ok(discovery.jwks_uri)
}

/// Keys, and since when they are known.
struct Known {
    keys: KeySet,
    since: Instant,
}

/// When to ask again.
struct Asking {
    not_before: Instant,
    failures: u32,
    last: String,
}

pub(crate) struct Keys {
    issuer: String,
    http: reqwest::Client,
    pace: Pace,
    known: RwLock<Option<Arc<Known>>>,
    /// Held by the one who asks: the others wait for its answer.
    asking: Mutex<Asking>,
}

impl Keys {
    pub(crate) fn new(issuer: String, http: reqwest::Client, pace: Pace) -> Self {
        Self {
            issuer,
            http,
            pace,
            known: RwLock::default(),
            asking: Mutex::new(Asking {
                not_before: Instant::now(),
                failures: 0,
                last: String::new(),
            }),
        }
    }

    /// The keys that may have signed a token with this key id; without one, all.
    pub(crate) async fn find(&self, kid: Option<&str>) -> Result<Vec<Jwk>, Error> {
        let known = self.known();
        let found = known
            .as_deref()
            .map(|known| known.keys.select(kid))
            .unwrap_or_default();
        let age = known.as_deref().map(|known| known.since.elapsed());
        if !found.is_empty() && age.is_some_and(|age| age < self.pace.fresh) {
            return Ok(found);
        }
        match self.ask(known.as_ref()).await {
            Ok(known) => {
                let found = known.keys.select(kid);
                match found.is_empty() {
                    true => Err(Error::UnknownKey(kid.unwrap_or_default().to_owned())),
                    false => Ok(found),
                }
            }
            // Known for long, and nobody says anything else.
            Err(_) if !found.is_empty() && age.is_some_and(|age| age < self.pace.stale) => {
                Ok(found)
            }
            Err(error) => Err(error),
        }
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks the issuer, unless somebody did just now.
    async fn ask(&self, seen: Option<&Arc<Known>>) -> Result<Arc<Known>, Error> {
        let mut asking = self.asking.lock().await;
        // Another one has asked meanwhile.
        if let Some(known) = self.known()
            && seen.is_none_or(|seen| !Arc::ptr_eq(seen, &known))
        {
            return Ok(known);
        }
        if Instant::now() < asking.not_before {
            return match (asking.failures, self.known()) {
                (0, Some(known)) => Ok(known),
                _ => Err(self.unreachable(&asking.last)),
            };
        }
        let answer = match timeout(self.pace.patience, self.fetch()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.pace.patience)),
        };
        match answer {
            Ok(keys) => {
                let since = Instant::now();
                asking.failures = 0;
                asking.not_before = since + self.pace.again;
                let known = Arc::new(Known { keys, since });
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
                Ok(known)
            }
            Err(reason) => {
                let doubled = self.pace.again.saturating_mul(1 << asking.failures.min(8));
                let pause = doubled.min(self.pace.again_at_most);
                asking.failures = asking.failures.saturating_add(1);
                asking.not_before = Instant::now() + pause;
                tracing::warn!(
                    issuer = self.issuer,
                    reason,
                    "an issuer's keys could not be fetched"
                );
                let error = self.unreachable(&reason);
                asking.last = reason;
                Err(error)
            }
        }
    }

    fn unreachable(&self, reason: &str) -> Error {
        Error::Unreachable {
            issuer: self.issuer.clone(),
            reason: reason.to_owned(),
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let place = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let discovery = self.document(&place).await?;
        let keys = keys_at(&discovery, &place, &self.issuer)?;
        let document = self.document(&keys).await?;
        KeySet::read(&document).map_err(|e| format!("{keys} is not what it should be: {e}"))
    }

    async fn document(&self, url: &str) -> Result<Vec<u8>, String> {
        let said = |e: reqwest::Error| {
            let mut text = e.to_string();
            let mut source = std::error::Error::source(&e);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        };
        let mut response = self.http.get(url).send().await.map_err(said)?;
        if !response.status().is_success() {
            return Err(format!("{url} answers {}", response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST {
                return Err(format!("{url} does not end"));
            }
        }
        Ok(bytes)
    }
}

/// Whether nobody on the way can change what is read there.
pub(crate) fn is_safe(url: &str) -> bool {
    let Ok(url) = url.parse::<Url>() else {
        return false;
    };
    let is_loopback = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}
