//! People and programs: somebody who speaks HTTP to the core.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use serde_json::Value;

use crate::events::EventStream;

/// Somebody with a token or without.
#[derive(Clone)]
pub struct Actor {
    http: Client,
    url: String,
    token: Option<String>,
}

impl Actor {
    /// Somebody without a token, who trusts an authority (PEM).
    ///
    /// # Panics
    /// When the authority is none.
    pub fn new(url: &str, authority: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("a certificate");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Self {
            http,
            url: url.to_owned(),
            token: None,
        }
    }

    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn without_token(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// Any request; sent by awaiting it.
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call {
            request: self.request(method, path),
        }
    }

    /// Any request that need not be answered.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// Reads events as they come.
    pub async fn follow(&self, path: &str, last: Option<i64>) -> EventStream {
        let call = self.get(path);
        let call = match last {
            Some(id) => call.header("last-event-id", &id.to_string()),
            None => call,
        };
        EventStream::open(call.request).await
    }
}

/// A request that is being put together.
pub struct Call {
    request: RequestBuilder,
}

impl Call {
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        Self {
            request: self.request.json(body),
        }
    }

    #[must_use]
    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self {
            request: self.request.body(body),
        }
    }

    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self {
            request: self.request.header(name, value),
        }
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let response = self.request.send().await.expect("an answer");
            let (status, headers) = (response.status(), response.headers().clone());
            let bytes = response.bytes().await.expect("a whole answer").to_vec();
            Answer {
                status,
                headers,
                bytes,
            }
        })
    }
}

/// What the core answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where there is none.
    ///
    /// # Panics
    /// When there is a body and it is no JSON.
    pub fn json(&self) -> Value {
        if self.bytes.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body of an answer that has to be a success.
    ///
    /// # Panics
    /// When it is none.
    pub fn good(&self) -> Value {
        assert!(self.status.is_success(), "{self}");
        self.json()
    }

    /// An answer that has to have a status.
    ///
    /// # Panics
    /// When it has another.
    pub fn status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self}");
        self
    }

    /// An answer that has to be a problem, in the shape of all problems, with a status and a code.
    ///
    /// # Panics
    /// When it is something else.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        self.status(status);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self}");
        assert_eq!(problem["code"], code, "{self}");
        assert_eq!(problem["type"], "about:blank", "{self}");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{self}"
        );
        assert_eq!(
            problem["request_id"].as_str(),
            self.header("x-request-id"),
            "{self}"
        );
        problem
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The resource's tag.
    ///
    /// # Panics
    /// When it has none.
    pub fn etag(&self) -> String {
        self.header("etag")
            .unwrap_or_else(|| panic!("no ETag: {self}"))
            .to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.text())
    }
}
