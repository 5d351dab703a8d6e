//! The way to the core: its address, who we are, and connections that show it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hyper_util::rt::TokioIo;
use rhyzome_pki::client::{ClientCertificate, component_config, dial};
use rhyzome_pki::identity::IdentityError;
use rhyzome_pki::server::TlsError;
use rhyzome_pki::{CORE_SERVER_NAME, Identity, IdentityFolder, NewKey, ShownTime};
use rhyzome_proto::pb;
use rhyzome_proto::pb::enrollment_client::EnrollmentClient;
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::step::IdentityStep;
use crate::surroundings::{Names, Surroundings};

/// How long a connection, with its handshake, may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// HTTP/2 pings on a quiet connection, and how long an answer may take.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long a renewal may take.
const RENEW_WITHIN: Duration = Duration::from_secs(30);

/// Where a core listens for components: `https://HOST:PORT`. The host is an address and nothing
/// else: the core's certificate carries one fixed name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CoreUrl {
    /// `HOST:PORT`.
    authority: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCoreUrl {
    #[error("{0:?} does not begin with https://")]
    Scheme(String),
    #[error("{0:?} does not name a port, as in https://core.example:7443")]
    Port(String),
    #[error("{0:?} has something after the port")]
    Rest(String),
}

impl FromStr for CoreUrl {
    type Err = InvalidCoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidCoreUrl> {
        let rest = text
            .strip_prefix("https://")
            .ok_or_else(|| InvalidCoreUrl::Scheme(text.to_owned()))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(InvalidCoreUrl::Rest(text.to_owned()));
        }
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or_else(|| InvalidCoreUrl::Port(text.to_owned()))?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains(':') && !bracketed) || port.parse::<u16>().is_err() {
            return Err(InvalidCoreUrl::Port(text.to_owned()));
        }
        Ok(Self {
            authority: authority.to_owned(),
        })
    }
}

impl TryFrom<String> for CoreUrl {
    type Error = InvalidCoreUrl;

    fn try_from(text: String) -> Result<Self, InvalidCoreUrl> {
        text.parse()
    }
}

impl From<CoreUrl> for String {
    fn from(core: CoreUrl) -> Self {
        core.to_string()
    }
}

impl fmt::Display for CoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

impl CoreUrl {
    /// `HOST:PORT`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        let (host, _) = self.parts();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    fn parts(&self) -> (&str, u16) {
        let parts = self.authority.rsplit_once(':');
        let (host, port) = parts.expect("there is a port, it was looked at");
        (
            host,
            port.parse()
                .expect("the port is a number, it was looked at"),
        )
    }

    /// Where it may be reached, to be tried in this order.
    ///
    /// # Errors
    /// Where its host's addresses are not found.
    pub async fn addresses(&self, names: &dyn Names) -> io::Result<Vec<SocketAddr>> {
        let (host, (_, port)) = (self.host(), self.parts());
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let addresses = names.addresses(host).await?;
        Ok(addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }
}

/// A joined component's way to its core.
pub struct Link {
    core: CoreUrl,
    folder: IdentityFolder,
    identity: Mutex<Identity>,
    surroundings: Surroundings,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the component's identity is not usable")]
    Identity(#[from] IdentityError),
    #[error("the core's address is not usable")]
    Address(#[from] InvalidCoreUrl),
    #[error("TLS could not be set up")]
    Tls(#[from] TlsError),
    #[error("the core at {core} could not be reached")]
    Connect {
        core: String,
        source: tonic::transport::Error,
    },
    #[error(
        "the certificate of the core at {core} is not valid at the time that this host's clock says, {}: \
         one of the two clocks is wrong",
        ShownTime(*.clock)
    )]
    Clock { core: String, clock: SystemTime },
    #[error("the core refused to renew the certificate: {}", .0.message())]
    Renew(Box<Status>),
    #[error("the core did not answer within {}", humane(*.0))]
    Slow(Duration),
    /// In a test.
    #[error("{0}")]
    Injected(#[from] rhyzome_fault::Injected),
}

fn humane(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

impl Link {
    /// Reads the identity; `core` instead of the URL given when joining, if there is one.
    ///
    /// # Errors
    /// [`LinkError::Identity`] where it has not joined, [`LinkError::Address`].
    pub fn open(folder: IdentityFolder, core: Option<CoreUrl>) -> Result<Self, LinkError> {
        Self::open_from(folder, core, Surroundings::default())
    }

    /// The same, by another clock and another way of finding hosts.
    ///
    /// # Errors
    /// As for [`Link::open`].
    pub fn open_from(
        folder: IdentityFolder,
        core: Option<CoreUrl>,
        surroundings: Surroundings,
    ) -> Result<Self, LinkError> {
        let identity = folder.load()?;
        let core = match core {
            Some(core) => core,
            None => identity.core().parse()?,
        };
        Ok(Self {
            core,
            folder,
            identity: Mutex::new(identity),
            surroundings,
        })
    }

    pub fn core(&self) -> &CoreUrl {
        &self.core
    }

    /// The id that the core gave this component.
    pub fn component_id(&self) -> String {
        self.identity().component_id().to_owned()
    }

    /// How long it is until the certificate is to be renewed; none where it is time.
    pub fn renew_in(&self) -> Option<Duration> {
        let at = self.identity().renew_at();
        at.duration_since(self.surroundings.clock.time()).ok()
    }

    /// Whether the certificate is good for nothing but renewal.
    pub fn expired(&self) -> bool {
        self.identity()
            .certificate()
            .expired(self.surroundings.clock.time())
    }

    /// A new connection that shows the current certificate.
    ///
    /// # Errors
    /// [`LinkError::Tls`], [`LinkError::Connect`].
    pub async fn connect(&self) -> Result<Channel, LinkError> {
        let config = {
            let identity = self.identity();
            component_config(
                identity.authorities(),
                ClientCertificate::new(identity.credential()),
            )?
        };
        channel(&self.core, config, &self.surroundings).await
    }

    /// Gets the next certificate, for a new key, and keeps both; false where `still` says, once
    /// there is a connection, that none is needed any more.
    ///
    /// # Errors
    /// All but [`LinkError::Address`].
    pub async fn renew(&self, still: impl Fn() -> bool) -> Result<bool, LinkError> {
        let key = NewKey::make()?;
        let csr = key.request()?;
        rhyzome_fault::reach(IdentityStep::Renew)?;
        let ask = async {
            let mut client = EnrollmentClient::new(self.connect().await?);
            // The clock may have been set right since it was due.
            if !still() {
                return Ok::<_, LinkError>(None);
            }
            let answer = client.renew(pb::RenewRequest { csr }).await;
            let answer = answer.map_err(|status| LinkError::Renew(Box::new(status)))?;
            Ok(Some(answer.into_inner()))
        };
        let answer = tokio::time::timeout(RENEW_WITHIN, ask)
            .await
            .map_err(|_| LinkError::Slow(RENEW_WITHIN))??;
        let Some(answer) = answer else {
            return Ok(false);
        };
        let renewed = self
            .identity()
            .renewed(key, &answer.chain, &answer.authority)?;
        rhyzome_fault::reach(IdentityStep::Renewed)?;
        self.folder.save(&renewed)?;
        *self.identity() = renewed;
        Ok(true)
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        // It is only ever replaced whole.
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

/// A connection to a core under a TLS configuration.
pub(crate) async fn channel(
    core: &CoreUrl,
    mut config: rustls::ClientConfig,
    surroundings: &Surroundings,
) -> Result<Channel, LinkError> {
    config.time_provider = Arc::new(surroundings.clock.clone());
    let (at, config) = (core.clone(), Arc::new(config));
    let names = Arc::clone(&surroundings.names);
    let connect = tower::service_fn(move |_| {
        let (at, config, names) = (at.clone(), Arc::clone(&config), Arc::clone(&names));
        let dialled =
            async move { dial(at.addresses(names.as_ref()).await?.as_slice(), config).await };
        async move {
            match tokio::time::timeout(CONNECT_WITHIN, dialled).await {
                Ok(stream) => stream.map(TokioIo::new),
                Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
            }
        }
    });
    // TLS is the connector's, so this scheme is what HTTP/2 says inside of it.
    Endpoint::from_shared(format!("http://{CORE_SERVER_NAME}"))
        .expect("the fixed name makes a URI")
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector(connect)
        .await
        .map_err(|source| match is_about_time(&source) {
            true => LinkError::Clock {
                core: core.to_string(),
                clock: surroundings.clock.time(),
            },
            false => LinkError::Connect {
                core: core.to_string(),
                source,
            },
        })
}

/// Whether a connection failed because the core's certificate is of another time.
fn is_about_time(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let inner = error.downcast_ref::<std::io::Error>();
    let inner = inner.and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(why)) = inner {
        return matches!(
            why,
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        );
    }
    error.source().is_some_and(is_about_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, &str>) {
        let got = text.parse::<CoreUrl>();
        let got = got
            .as_ref()
            .map(CoreUrl::authority)
            .map_err(ToString::to_string);
        assert_eq!(got, expect.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_cores_url_names_a_host_and_a_port_and_nothing_else() {
        check("https://core.example:7443", Ok("core.example:7443"));
        check("https://192.0.2.1:7443/", Ok("192.0.2.1:7443"));
        check("https://[2001:db8::1]:7443", Ok("[2001:db8::1]:7443"));
        check(
            "http://core:7443",
            Err("\"http://core:7443\" does not begin with https://"),
        );
        let port = " does not name a port, as in https://core.example:7443";
        check("https://core", Err(&format!("\"https://core\"{port}")));
        check(
            "https://2001:db8::1",
            Err(&format!("\"https://2001:db8::1\"{port}")),
        );
        check("https://core:x", Err(&format!("\"https://core:x\"{port}")));
        check(
            "https://core:1/v1",
            Err("\"https://core:1/v1\" has something after the port"),
        );
    }
}
