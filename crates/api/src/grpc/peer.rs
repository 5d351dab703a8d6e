//! Who calls: read out of the TLS connection's certificate, and judged.

use std::net::IpAddr;
use std::time::SystemTime;

use rhyzome_model::ComponentId;
use rhyzome_pki::acceptor::ConnectInfo;
use rhyzome_proto::Refusal;
use tonic::{Request, Status};

use super::gateway::{ComponentGateway, GatewayError, Standing};

/// A component, as its certificate says.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub component: ComponentId,
    pub serial: String,
    /// The address that it connects from.
    pub from: IpAddr,
    pub not_before: SystemTime,
    /// The last second in which the certificate is valid.
    pub not_after: SystemTime,
}

/// Where a call comes from; proxies are not between components and the core.
pub(super) fn address<T>(request: &Request<T>) -> Option<IpAddr> {
    let info = request.extensions().get::<ConnectInfo>()?;
    Some(info.remote_addr.ip().to_canonical())
}

/// Whoever shows a certificate of ours, maybe an expired one.
pub(super) fn certified<T>(request: &Request<T>) -> Result<Peer, Status> {
    let (certificate, from) = request
        .extensions()
        .get::<ConnectInfo>()
        .and_then(|info| Some((info.peer.as_ref()?, info.remote_addr)))
        .ok_or_else(|| {
            Refusal::NoCertificate.status("a component's certificate is needed: join first")
        })?;
    let component = certificate.component_id.parse().map_err(|_| {
        Refusal::Unknown.status("the certificate names a component that this core cannot know")
    })?;
    Ok(Peer {
        component,
        serial: certificate.serial.clone(),
        // A port that is bound for both kinds of address shows IPv4's within IPv6's.
        from: from.ip().to_canonical(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
    })
}

/// Whoever shows a certificate that counts now.
pub(super) async fn admitted<T>(
    gateway: &dyn ComponentGateway,
    request: &Request<T>,
) -> Result<Peer, Status> {
    let peer = certified(request)?;
    match peer.refusal(gateway).await? {
        None => Ok(peer),
        Some(refusal) => {
            tracing::warn!(
                component = %peer.component, serial = peer.serial, reason = refusal.as_str(),
                "a component was refused"
            );
            Err(refusal.status(sentence(refusal)))
        }
    }
}

impl Peer {
    /// Why the certificate does not count, if it does not.
    pub async fn refusal(
        &self,
        gateway: &dyn ComponentGateway,
    ) -> Result<Option<Refusal>, GatewayError> {
        // One of the future was issued when this clock was ahead; renewed, it fits the clock.
        let now = SystemTime::now();
        if now > self.not_after || now < self.not_before {
            return Ok(Some(Refusal::Expired));
        }
        Ok(
            match gateway.authorize(self.component, &self.serial).await? {
                Standing::Allowed => None,
                Standing::Revoked => Some(Refusal::Revoked),
                Standing::Unknown => Some(Refusal::Unknown),
            },
        )
    }
}

pub(super) fn sentence(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Expired => {
            "the certificate is expired, or not valid yet, by the core's clock: it may be renewed, and nothing else"
        }
        Refusal::Revoked => "the component was revoked",
        Refusal::Unknown => "the core does not know this component and certificate",
        Refusal::NoCertificate => "a component's certificate is needed",
        Refusal::Token => "the join token does not count",
        Refusal::Unsupported => "the component's version is not spoken here",
        Refusal::NameTaken => "the name is taken",
    }
}

impl From<GatewayError> for Status {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::Refused { refusal, message } => refusal.status(message),
            GatewayError::Invalid(message) => Self::invalid_argument(message),
            GatewayError::Damaged(message) => Self::data_loss(message),
            GatewayError::NotFound => Self::not_found("there is no such thing"),
            GatewayError::Unavailable(ref source) => {
                tracing::error!(error = chain(source.as_ref()), "a component's call failed");
                Self::unavailable(error.to_string())
            }
        }
    }
}

/// An error's sentence with those of all its sources.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
