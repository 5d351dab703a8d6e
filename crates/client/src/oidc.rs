//! Logging in at an OpenID Connect issuer: with a browser on this machine (code flow with PKCE, RFC 7636 and RFC 8252), with a
//! code that is typed in elsewhere (RFC 8628), and again with a refresh token. What comes out is an ID token for the core.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, CsrfToken, DeviceAuthorizationUrl,
    DeviceCodeErrorResponseType, EndpointMaybeSet, EndpointNotSet, EndpointSet, ExtraTokenFields,
    HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardDeviceAuthorizationResponse, StandardRevocableToken,
    StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use reqwest::Url;
use rhyzome_model::user::OidcMethod;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, client, tls};

/// How long an issuer may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why nobody could log in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("the issuer {issuer} cannot be asked: {reason}")]
    Unreachable { issuer: String, reason: String },
    #[error("what the issuer {issuer} says of itself cannot be used: {reason}")]
    Discovery { issuer: String, reason: String },
    #[error("the issuer {issuer} has no device codes: log in on a machine with a browser")]
    NoDeviceCodes { issuer: String },
    /// Its words, as in `access_denied`.
    #[error("the issuer does not let you in: {0}")]
    Refused(String),
    #[error("the code was not typed in in time")]
    Late,
    #[error("the answer from the browser does not belong to this login")]
    NotThisLogin,
    #[error("the issuer gave no ID token; is `openid` one of the scopes that the site asks for?")]
    NoIdToken,
}

/// What an issuer gave.
#[derive(Clone)]
pub struct IdTokens {
    pub id_token: String,
    /// For the next ID token, without anybody having to do something; not all issuers give one.
    pub refresh_token: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct IdField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdField {}

type Answer = StandardTokenResponse<IdField, BasicTokenType>;

type OAuth = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointMaybeSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What an issuer says of itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
}

/// An issuer, and what it calls the site.
pub struct Provider {
    issuer: String,
    oauth: OAuth,
    scopes: Vec<Scope>,
    http: reqwest::Client,
    has_device_codes: bool,
}

/// A login that a browser has to go on with.
pub struct CodeFlow {
    /// Where the browser goes.
    pub url: Url,
    redirect: RedirectUrl,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    nonce: String,
}

/// A login that is gone on with elsewhere.
pub struct DeviceFlow(StandardDeviceAuthorizationResponse);

impl DeviceFlow {
    /// Where the code is typed in.
    pub fn url(&self) -> &str {
        self.0.verification_uri()
    }

    /// The same with the code in it, if the issuer has that.
    pub fn whole_url(&self) -> Option<&str> {
        self.0
            .verification_uri_complete()
            .map(|url| url.secret().as_str())
    }

    pub fn code(&self) -> &str {
        self.0.user_code().secret()
    }

    pub fn good_for(&self) -> Duration {
        self.0.expires_in()
    }
}

impl Provider {
    /// Asks an issuer where one logs in.
    ///
    /// # Errors
    /// [`OidcError`]; an issuer that is not reached by TLS, but on this machine, is not asked.
    pub async fn discover(method: &OidcMethod) -> Result<Self, OidcError> {
        let issuer = method.issuer.clone();
        let unusable = |reason: String| OidcError::Discovery {
            issuer: method.issuer.clone(),
            reason,
        };
        let safe = |url: &str| match url.parse::<Url>() {
            Ok(parsed) if parsed.scheme() == "https" || client::is_loopback(&parsed) => {
                Ok(url.to_owned())
            }
            _ => Err(unusable(format!("{url} would be asked without TLS"))),
        };
        let http = http().map_err(|e| unusable(e.to_string()))?;
        let place = format!(
            "{}/.well-known/openid-configuration",
            safe(&issuer)?.trim_end_matches('/')
        );
        let asked = async {
            http.get(&place)
                .send()
                .await?
                .error_for_status()?
                .bytes()
                .await
        };
        let bytes = asked.await.map_err(|e| OidcError::Unreachable {
            issuer: issuer.clone(),
            reason: said(&e),
        })?;
        let found: Discovery =
            serde_json::from_slice(&bytes).map_err(|e| unusable(e.to_string()))?;
        if found.issuer != issuer {
            return Err(unusable(format!("it calls itself {}", found.issuer)));
        }
        let wrong = |e: oauth2::url::ParseError| unusable(e.to_string());
        let device = found
            .device_authorization_endpoint
            .as_deref()
            .map(safe)
            .transpose()?;
        let has_device_codes = device.is_some();
        let device = device
            .map(DeviceAuthorizationUrl::new)
            .transpose()
            .map_err(wrong)?;
        let oauth = oauth2::Client::new(ClientId::new(method.client_id.clone()))
            // A program on somebody's machine has no secret (RFC 8252, section 8.5).
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(safe(&found.authorization_endpoint)?).map_err(wrong)?)
            .set_token_uri(TokenUrl::new(safe(&found.token_endpoint)?).map_err(wrong)?)
            .set_device_authorization_url_option(device);
        Ok(Self {
            issuer,
            oauth,
            scopes: method.scopes.iter().cloned().map(Scope::new).collect(),
            http,
            has_device_codes,
        })
    }

    pub fn has_device_codes(&self) -> bool {
        self.has_device_codes
    }

    /// Begins a login that ends with the browser asking `redirect`, which is on this machine.
    ///
    /// # Errors
    /// A redirect that is no URL.
    pub fn begin(&self, redirect: String) -> Result<CodeFlow, OidcError> {
        let redirect = RedirectUrl::new(redirect).map_err(|e| OidcError::Discovery {
            issuer: self.issuer.clone(),
            reason: e.to_string(),
        })?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random().into_secret();
        let (url, state) = self
            .oauth
            .authorize_url(CsrfToken::new_random)
            .set_redirect_uri(std::borrow::Cow::Borrowed(&redirect))
            .set_pkce_challenge(challenge)
            .add_scopes(self.scopes.iter().cloned())
            .add_extra_param("nonce", nonce.clone())
            // Or some issuers give no refresh token (OpenID Connect Core 1.0, section 11).
            .add_extra_param("prompt", "consent")
            .url();
        Ok(CodeFlow {
            url,
            redirect,
            state,
            verifier,
            nonce,
        })
    }

    /// Ends a login with the query of what the browser asked for.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn finish(&self, flow: CodeFlow, query: &str) -> Result<IdTokens, OidcError> {
        let found = |name: &str| {
            let mut pairs = oauth2::url::form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        if found("state").as_ref() != Some(flow.state.secret()) {
            return Err(OidcError::NotThisLogin);
        }
        if let Some(error) = found("error") {
            let words = found("error_description").map(|words| format!("{error}: {words}"));
            return Err(OidcError::Refused(words.unwrap_or(error)));
        }
        let code = found("code").ok_or(OidcError::NotThisLogin)?;
        let call = |request| send(self.http.clone(), request);
        let asked = self
            .oauth
            .exchange_code(AuthorizationCode::new(code))
            .set_redirect_uri(std::borrow::Cow::Borrowed(&flow.redirect))
            .set_pkce_verifier(flow.verifier)
            .request_async(&call);
        let tokens = self.taken(asked.await)?;
        // It came from the issuer itself, by TLS; the core verifies its signature.
        match nonce_of(&tokens.id_token) {
            Some(nonce) if nonce == flow.nonce => Ok(tokens),
            _ => Err(OidcError::NotThisLogin),
        }
    }

    /// Begins a login with a code that is typed in on another machine.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn begin_elsewhere(&self) -> Result<DeviceFlow, OidcError> {
        let none = || OidcError::NoDeviceCodes {
            issuer: self.issuer.clone(),
        };
        let call = |request| send(self.http.clone(), request);
        let request = self.oauth.exchange_device_code().map_err(|_| none())?;
        let asked: Result<StandardDeviceAuthorizationResponse, _> = request
            .add_scopes(self.scopes.iter().cloned())
            .request_async(&call)
            .await;
        asked.map(DeviceFlow).map_err(|e| self.refused(e))
    }

    /// Waits until the code was typed in.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn finish_elsewhere(&self, flow: &DeviceFlow) -> Result<IdTokens, OidcError> {
        let call = |request| send(self.http.clone(), request);
        let asked = self
            .oauth
            .exchange_device_access_token(&flow.0)
            .request_async(&call, tokio::time::sleep, None)
            .await;
        let answer = asked.map_err(|error| match &error {
            RequestTokenError::ServerResponse(said) => match said.error() {
                DeviceCodeErrorResponseType::ExpiredToken => OidcError::Late,
                other => OidcError::Refused(other.to_string()),
            },
            _ => self.refused(error),
        })?;
        tokens(&answer)
    }

    /// Logs in again.
    ///
    /// # Errors
    /// [`OidcError`]; `Refused` where the issuer has ended the login.
    pub async fn refresh(&self, refresh_token: &str) -> Result<IdTokens, OidcError> {
        let had = RefreshToken::new(refresh_token.to_owned());
        let call = |request| send(self.http.clone(), request);
        let asked = self
            .oauth
            .exchange_refresh_token(&had)
            .request_async(&call)
            .await;
        let mut tokens = self.taken(asked)?;
        // An issuer that does not rotate them says nothing.
        tokens
            .refresh_token
            .get_or_insert_with(|| refresh_token.to_owned());
        Ok(tokens)
    }

    fn taken(
        &self,
        asked: Result<Answer, RequestTokenError<SendError, BasicErrorResponse>>,
    ) -> Result<IdTokens, OidcError> {
        tokens(&asked.map_err(|e| self.refused(e))?)
    }

    fn refused<R: oauth2::ErrorResponse + 'static>(
        &self,
        error: RequestTokenError<SendError, R>,
    ) -> OidcError {
        match error {
            RequestTokenError::ServerResponse(said) => OidcError::Refused(format!("{said:?}")),
            RequestTokenError::Request(SendError(reason)) => OidcError::Unreachable {
                issuer: self.issuer.clone(),
                reason,
            },
            RequestTokenError::Parse(error, _) => OidcError::Discovery {
                issuer: self.issuer.clone(),
                reason: error.to_string(),
            },
            RequestTokenError::Other(reason) => OidcError::Refused(reason),
        }
    }
}

fn tokens(answer: &Answer) -> Result<IdTokens, OidcError> {
    let id_token = answer
        .extra_fields()
        .id_token
        .clone()
        .ok_or(OidcError::NoIdToken)?;
    Ok(IdTokens {
        id_token,
        refresh_token: answer.refresh_token().map(|token| token.secret().clone()),
    })
}

fn nonce_of(id_token: &str) -> Option<String> {
    let payload = id_token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    Some(claims["nonce"].as_str()?.to_owned())
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SendError(String);

async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, SendError> {
    let sent = async {
        let answer = http.execute(request.try_into()?).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?.to_vec()))
    };
    let (status, headers, bytes) = sent.await.map_err(|e| SendError(said(&e)))?;
    let mut response = HttpResponse::new(bytes);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn said(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn http() -> Result<reqwest::Client, Error> {
    let builder = reqwest::Client::builder().timeout(PATIENCE);
    client::build(builder, tls::config(None)?)
}
