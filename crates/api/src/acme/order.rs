//! One order: account, names, challenges, certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rhyzome_pki::challenge::{self, ChallengeError};
use rhyzome_pki::credential::{Credential, CredentialError};
use rhyzome_pki::file::FileError;
use rhyzome_pki::server::ServerCertificate;

use super::http::Http;
use super::{Wanted, kept};

/// How long the ACME server may take to look at the names, and to sign.
const WITHIN: Duration = Duration::from_secs(120);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("no connection to the ACME server can be set up")]
    Tls { source: rustls::Error },
    #[error("no connection to the ACME server can be set up")]
    Client { source: reqwest::Error },
    #[error("the authority in tls.acme.authority cannot be read")]
    Authority { source: FileError },
    #[error("the ACME server did not do as asked ({doing})")]
    Server {
        doing: &'static str,
        source: instant_acme::Error,
    },
    #[error("the ACME server offers no TLS-ALPN-01 for {domain}")]
    NoChallenge { domain: String },
    #[error("no answer to the challenge for {domain}")]
    Challenge {
        domain: String,
        source: ChallengeError,
    },
    #[error("the ACME server did not find the names here: {why}")]
    Refused { why: String },
    #[error("the certificate that came cannot be used")]
    Unusable { source: CredentialError },
    #[error("what came cannot be kept")]
    Keep { source: FileError },
}

fn at(doing: &'static str) -> impl FnOnce(instant_acme::Error) -> OrderError {
    move |source| OrderError::Server { doing, source }
}

/// Gets a certificate, and keeps it. The answers to challenges are shown by `served` meanwhile.
pub(super) async fn order(
    wanted: &Wanted,
    served: &ServerCertificate,
) -> Result<Credential, OrderError> {
    let settings = &wanted.settings;
    let directory = settings.directory.as_deref().unwrap_or_default();
    let account = account(wanted, directory).await?;
    let domains = settings.domains.iter().cloned().map(Identifier::Dns);
    let domains: Vec<_> = domains.collect();
    let mut order = account
        .new_order(&NewOrder::new(&domains))
        .await
        .map_err(at("ordering"))?;
    answer(&mut order, served).await?;
    let retries = RetryPolicy::new().timeout(WITHIN);
    let status = order.poll_ready(&retries).await;
    let status = status.map_err(at("looking at the names"))?;
    if !matches!(status, OrderStatus::Ready | OrderStatus::Valid) {
        let why = why(&mut order).await;
        return Err(OrderError::Refused { why });
    }
    let key = order.finalize().await.map_err(at("signing"))?;
    let chain = order.poll_certificate(&retries).await;
    let chain = chain.map_err(at("signing"))?;
    let credential =
        kept::credential(&chain, &key).map_err(|source| OrderError::Unusable { source })?;
    kept::keep_certificate(&wanted.folder, directory, &settings.domains, (chain, key))
        .map_err(|source| OrderError::Keep { source })?;
    Ok(credential)
}

async fn account(wanted: &Wanted, directory: &str) -> Result<Account, OrderError> {
    let builder = Account::builder_with_http(Box::new(Http::new(&wanted.settings)?));
    if let Some(credentials) = kept::account(&wanted.folder, directory) {
        let known = builder.from_credentials(credentials).await;
        return known.map_err(at("finding the account"));
    }
    let contact = wanted.settings.contact.iter();
    let contact: Vec<_> = contact.map(|address| format!("mailto:{address}")).collect();
    let contact: Vec<_> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        // The operator named the server, and is told that this agrees.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder
        .create(&new, directory.to_owned(), None)
        .await
        .map_err(at("making an account"))?;
    kept::keep_account(&wanted.folder, directory, credentials)
        .map_err(|source| OrderError::Keep { source })?;
    Ok(account)
}

/// Shows the answers, and says that they are there.
async fn answer(order: &mut Order, served: &ServerCertificate) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(at("naming its challenges"))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(OrderError::NoChallenge { domain });
        };
        let mut digest = [0; 32];
        digest.copy_from_slice(challenge.key_authorization().digest().as_ref());
        let shown = challenge::answer(&domain, &digest);
        let shown = shown.map_err(|source| OrderError::Challenge {
            domain: domain.clone(),
            source,
        })?;
        served.challenge(&domain, shown);
        challenge.set_ready().await.map_err(at("being ready"))?;
    }
    Ok(())
}

/// What the server says of each name that it did not find.
async fn why(order: &mut Order) -> String {
    let mut words = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        for challenge in &state.challenges {
            if let Some(problem) = &challenge.error {
                words.push(format!("{domain}: {problem}"));
            }
        }
    }
    match words.is_empty() {
        true => "it does not say why".to_owned(),
        false => words.join("; "),
    }
}
