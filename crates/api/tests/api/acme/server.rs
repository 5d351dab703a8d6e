//! A small ACME server (RFC 8555) that knows TLS-ALPN-01 (RFC 8737) alone, and one account with one order at
//! a time. It looks at nonces, addresses and names; signatures it does not, which are the client crate's.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa,
    KeyPair,
};
use rhyzome_api::configuration::Configuration;
use rhyzome_api::metrics::Metrics;
use rhyzome_api::serve::{self, Listener, Manner};
use rhyzome_pki::Authority;
use rhyzome_pki::server::{ServerCertificate, http_config};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::tls;

const DAY: Duration = Duration::from_secs(24 * 3600);
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

pub struct AcmeServer {
    pub directory: String,
    /// The authority of its own certificate, and that of those that it signs, in PEM.
    pub authority: String,
    pub root: String,
    state: Arc<Shared>,
    _stopping: DropGuard,
}

struct Shared {
    base: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    state: Mutex<State_>,
}

#[derive(Default)]
struct State_ {
    /// Where names lead to.
    names_at: Option<SocketAddr>,
    /// How old certificates are when they are signed.
    age: Duration,
    nonces: HashSet<String>,
    thumbprint: String,
    accounts: u32,
    orders: u32,
    domains: Vec<String>,
    /// For each name: whether it was found here, where somebody has looked.
    found: Vec<Option<bool>>,
    chain: Option<String>,
}

impl AcmeServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut rng = rand::rng();
        let now = SystemTime::now();
        let own = Authority::make("acme", now, &mut rng).expect("an authority");
        let credential = own.issue_http_server(&["127.0.0.1"], DAY, now, &mut rng);
        let served = ServerCertificate::new(&credential.expect("a certificate"));
        let config = http_config(served, false).expect("TLS");
        let listener = Listener::tls(listener, config).expect("a listener");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an issuer");
        let root = issuer.as_ref().pem();
        let base = format!("https://{address}");
        let state = Arc::new(Shared {
            base: base.clone(),
            issuer,
            state: Mutex::default(),
        });
        let router = Router::new()
            .route("/directory", get(directory))
            .route("/nonce", get(nonce))
            .route("/account", post(account))
            .route("/order", post(new_order))
            .route("/order/one", post(order))
            .route("/authorization/{index}", post(authorization))
            .route("/challenge/{index}", post(challenge))
            .route("/finalize", post(finalize))
            .route("/certificate", post(certificate))
            .with_state(state.clone());
        let stopping = CancellationToken::new();
        let manner = Manner::of(&Configuration::default(), Metrics::new());
        tokio::spawn(serve::run(listener, router, manner, stopping.clone()));
        Self {
            directory: format!("{base}/directory"),
            authority: own.certificate_pem(),
            root,
            state,
            _stopping: stopping.drop_guard(),
        }
    }

    /// Where all names lead to from now on.
    pub fn names_lead_to(&self, address: SocketAddr) {
        self.state.state.lock().expect("whole").names_at = Some(address);
    }

    /// Certificates have run for so long when they are signed, of ninety days.
    pub fn sign_as_of(&self, age: Duration) {
        self.state.state.lock().expect("whole").age = age;
    }

    /// How many accounts and orders there were.
    pub fn asked(&self) -> (u32, u32) {
        let state = self.state.state.lock().expect("whole");
        (state.accounts, state.orders)
    }
}

type Shared_ = State<Arc<Shared>>;

async fn directory(State(shared): Shared_) -> Response {
    let url = |path: &str| format!("{}/{path}", shared.base);
    let directory = json!({
        "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
        "revokeCert": url("none"), "keyChange": url("none"),
    });
    axum::Json(directory).into_response()
}

async fn nonce(State(shared): Shared_) -> Response {
    shared.answer(StatusCode::OK, None, json!({}))
}

async fn account(State(shared): Shared_, uri: Uri, body: String) -> Response {
    let (header, _) = match shared.opened(&uri, &body) {
        Ok(opened) => opened,
        Err(refusal) => return *refusal,
    };
    let jwk = &header["jwk"];
    // RFC 7638: the members in the order of their names.
    let thumbprint = format!(
        r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#,
        jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]
    );
    let mut state = shared.state.lock().expect("whole");
    state.thumbprint = BASE64.encode(Sha256::digest(thumbprint));
    state.accounts += 1;
    drop(state);
    shared.answer(
        StatusCode::CREATED,
        Some("account/one"),
        json!({"status": "valid"}),
    )
}

async fn new_order(State(shared): Shared_, uri: Uri, body: String) -> Response {
    let (_, asked) = match shared.opened(&uri, &body) {
        Ok(opened) => opened,
        Err(refusal) => return *refusal,
    };
    let identifiers = asked["identifiers"].as_array().expect("identifiers");
    let names = identifiers.iter().map(|one| one["value"].as_str());
    let mut state = shared.state.lock().expect("whole");
    state.domains = names.map(|name| name.expect("a name").to_owned()).collect();
    state.found = vec![None; state.domains.len()];
    state.orders += 1;
    state.chain = None;
    drop(state);
    shared.answer(StatusCode::CREATED, Some("order/one"), shared.order())
}

async fn order(State(shared): Shared_, uri: Uri, body: String) -> Response {
    match shared.opened(&uri, &body) {
        Ok(_) => shared.answer(StatusCode::OK, None, shared.order()),
        Err(refusal) => *refusal,
    }
}

async fn authorization(
    State(shared): Shared_,
    Path(index): Path<usize>,
    uri: Uri,
    body: String,
) -> Response {
    match shared.opened(&uri, &body) {
        Ok(_) => shared.answer(StatusCode::OK, None, shared.authorization(index)),
        Err(refusal) => *refusal,
    }
}

async fn challenge(
    State(shared): Shared_,
    Path(index): Path<usize>,
    uri: Uri,
    body: String,
) -> Response {
    if let Err(refusal) = shared.opened(&uri, &body) {
        return *refusal;
    }
    let (at, domain, expected) = {
        let state = shared.state.lock().expect("whole");
        let expected = Sha256::digest(format!("{TOKEN}.{}", state.thumbprint));
        let at = state.names_at.expect("names lead somewhere");
        (at, state.domains[index].clone(), expected)
    };
    let seen = tls::acme_identifier(at, &domain).await;
    let found = seen.is_some_and(|seen| seen == expected.as_slice());
    shared.state.lock().expect("whole").found[index] = Some(found);
    let challenge = shared.authorization(index)["challenges"][0].clone();
    shared.answer(StatusCode::OK, None, challenge)
}

async fn finalize(State(shared): Shared_, uri: Uri, body: String) -> Response {
    let (_, asked) = match shared.opened(&uri, &body) {
        Ok(opened) => opened,
        Err(refusal) => return *refusal,
    };
    let csr = BASE64.decode(asked["csr"].as_str().expect("a request"));
    let csr = CertificateSigningRequestParams::from_der(&csr.expect("base64").into());
    let mut csr = csr.expect("PKCS #10");
    let mut state = shared.state.lock().expect("whole");
    csr.params.not_before = (SystemTime::now() - state.age).into();
    csr.params.not_after = (SystemTime::now() - state.age + 90 * DAY).into();
    let signed = csr.signed_by(&shared.issuer).expect("signed");
    state.chain = Some(signed.pem());
    drop(state);
    shared.answer(StatusCode::OK, None, shared.order())
}

async fn certificate(State(shared): Shared_, uri: Uri, body: String) -> Response {
    if let Err(refusal) = shared.opened(&uri, &body) {
        return *refusal;
    }
    let chain = shared.state.lock().expect("whole").chain.clone();
    let mut response = chain.expect("it is signed").into_response();
    response.headers_mut().extend(shared.nonce());
    response
}

impl Shared {
    fn nonce(&self) -> HeaderMap {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let mut headers = HeaderMap::new();
        headers.insert("replay-nonce", nonce.parse().expect("a value"));
        self.state.lock().expect("whole").nonces.insert(nonce);
        headers
    }

    fn answer(&self, status: StatusCode, location: Option<&str>, body: Value) -> Response {
        let mut headers = self.nonce();
        if let Some(path) = location {
            let url = format!("{}/{path}", self.base);
            headers.insert("location", url.parse().expect("a value"));
        }
        (status, headers, axum::Json(body)).into_response()
    }

    /// The header and the payload of a JWS, whose nonce is used up and whose address is this one.
    fn opened(&self, uri: &Uri, body: &str) -> Result<(Value, Value), Box<Response>> {
        let jws: Value = serde_json::from_str(body).expect("a JWS");
        let part = |name: &str| {
            let text = jws[name].as_str().expect("a part");
            let bytes = BASE64.decode(text).expect("base64");
            serde_json::from_slice::<Value>(&bytes).unwrap_or_default()
        };
        let header = part("protected");
        assert_eq!(header["alg"], "ES256");
        assert_eq!(header["url"], format!("{}{}", self.base, uri.path()));
        let nonce = header["nonce"].as_str().expect("a nonce");
        if !self.state.lock().expect("whole").nonces.remove(nonce) {
            let problem = json!({"type": "urn:ietf:params:acme:error:badNonce", "detail": "used"});
            let refusal = self.answer(StatusCode::BAD_REQUEST, None, problem);
            return Err(Box::new(refusal));
        }
        Ok((header, part("payload")))
    }

    fn order(&self) -> Value {
        let state = self.state.lock().expect("whole");
        let status = match (&state.chain, state.found.as_slice()) {
            (Some(_), _) => "valid",
            (None, found) if found.contains(&Some(false)) => "invalid",
            (None, found) if found.iter().all(Option::is_some) => "ready",
            (None, _) => "pending",
        };
        let url = |path: String| format!("{}/{path}", self.base);
        let identifiers = state.domains.iter().map(identifier).collect::<Vec<_>>();
        let authorizations = (0..state.domains.len()).map(|i| url(format!("authorization/{i}")));
        json!({
            "status": status, "identifiers": identifiers, "finalize": url("finalize".to_owned()),
            "authorizations": authorizations.collect::<Vec<_>>(),
            "certificate": state.chain.as_ref().map(|_| url("certificate".to_owned())),
        })
    }

    fn authorization(&self, index: usize) -> Value {
        let state = self.state.lock().expect("whole");
        let status = match state.found[index] {
            None => "pending",
            Some(true) => "valid",
            Some(false) => "invalid",
        };
        let mut challenge = json!({
            "type": "tls-alpn-01", "token": TOKEN, "status": status,
            "url": format!("{}/challenge/{index}", self.base),
        });
        if state.found[index] == Some(false) {
            let problem = json!({
                "type": "urn:ietf:params:acme:error:connection", "detail": "nothing was found there",
            });
            challenge["error"] = problem;
        }
        json!({
            "status": status, "identifier": identifier(&state.domains[index]),
            "challenges": [challenge],
        })
    }
}

fn identifier(domain: &String) -> Value {
    json!({"type": "dns", "value": domain})
}
