//! One request and its answer: retrying, idempotency keys, problems.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER,
};
use reqwest::{Method, StatusCode, Url};
use rhyzome_wire::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Client, Error};

/// How long an answer may take, besides the time that the core was asked to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pauses before a request is sent again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1500),
];

/// The longest pause that a core's `Retry-After` is obeyed for; who has to wait longer is told so.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest wait that the API takes.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A request that is being put together.
pub(crate) struct Call {
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    wait: Duration,
}

/// A successful answer, whole.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    method: Method,
    url: Url,
}

impl Client {
    /// A request to `path`, which is below the core's URL and consists of names that need no escaping.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let mut headers = self.headers();
        if method == Method::POST {
            let key = uuid::Uuid::new_v4().to_string();
            let key = HeaderValue::from_str(&key).expect("a UUID is ASCII");
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        let url = self
            .base
            .join(path)
            .expect("paths are put together from names");
        Call {
            client: self.clone(),
            method,
            url,
            headers,
            body: None,
            wait: Duration::ZERO,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }
}

impl Call {
    pub(crate) fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.url
            .query_pairs_mut()
            .append_pair(name, &value.to_string());
        self
    }

    pub(crate) fn query_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Asks the core to answer only when what was asked for is done, or this time has passed.
    pub(crate) fn wait(mut self, wait: Option<Duration>) -> Self {
        let Some(wait) = wait.map(|wait| wait.min(LONGEST_WAIT)) else {
            return self;
        };
        self.wait = wait;
        let seconds = wait.as_secs().max(1);
        self.query("wait", format!("{seconds}s"))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn if_match(self, etag: Option<&str>) -> Self {
        match etag {
            Some(etag) => self.header(IF_MATCH, etag),
            None => self,
        }
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("the API's types have no maps with odd keys");
        self.body = Some(body.into());
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self
    }

    /// Sends it, again if need be, and takes the whole answer.
    pub(crate) async fn send(self) -> Result<Answer, Error> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let (pause, error) = match self.once().await {
                Ok(answer) => return Ok(answer),
                Err((pause, error)) => (pause, error),
            };
            match (pause, pauses.next()) {
                (Some(wanted), Some(usual)) => tokio::time::sleep(wanted.max(usual)).await,
                _ => return Err(error),
            }
        }
    }

    /// Sends it once; a failure says how long to pause before the next try, if one may help.
    async fn once(&self) -> Result<Answer, (Option<Duration>, Error)> {
        let again = Some(Duration::ZERO);
        let response = self
            .request()
            .timeout(PATIENCE + self.wait)
            .send()
            .await
            .map_err(|source| (again, self.broken(source)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response
            .bytes()
            .await
            .map_err(|source| (again, self.broken(source)))?;
        if status.is_success() {
            let (method, url) = (self.method.clone(), self.url.clone());
            return Ok(Answer {
                status,
                headers,
                body,
                method,
                url,
            });
        }
        let pause = pause(status, &headers);
        Err((pause, refused(&self.method, &self.url, status, &body)))
    }

    /// Hands out the answer as it comes. Sent again only where the core said that it was too much.
    pub(crate) async fn stream(self) -> Result<reqwest::Response, Error> {
        let response = self.until_admitted(self.request()).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response
            .bytes()
            .await
            .map_err(|source| self.broken(source))?;
        Err(refused(&self.method, &self.url, status, &body))
    }

    /// Sends it once, as the beginning of something else than HTTP.
    pub(crate) async fn upgrade(mut self, wanted: StatusCode) -> Result<reqwest::Upgraded, Error> {
        self.client.http = self.client.upgrading.clone();
        let response = self
            .until_admitted(self.request().timeout(PATIENCE))
            .await?;
        let status = response.status();
        if status == wanted {
            let upgraded = response.upgrade().await;
            return upgraded.map_err(|source| self.broken(source));
        }
        let body = response.bytes().await;
        let body = body.map_err(|source| self.broken(source))?;
        Err(refused(&self.method, &self.url, status, &body))
    }

    /// Sends it, again after a pause where it was too much.
    async fn until_admitted(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Error> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let again = request.try_clone();
            let again = again.expect("its body is no stream").send().await;
            let response = again.map_err(|source| self.broken(source))?;
            let (status, headers) = (response.status(), response.headers());
            let wanted = pause(status, headers).filter(|_| status == StatusCode::TOO_MANY_REQUESTS);
            match (wanted, pauses.next()) {
                (Some(wanted), Some(usual)) => tokio::time::sleep(wanted.max(usual)).await,
                _ => return Ok(response),
            }
        }
    }

    /// Sends a stream as the body, once: its bytes cannot be had again.
    pub(crate) async fn upload(self, body: reqwest::Body) -> Result<Answer, Error> {
        let response = self
            .request()
            .body(body)
            .send()
            .await
            .map_err(|source| self.broken(source))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response
            .bytes()
            .await
            .map_err(|source| self.broken(source))?;
        if status.is_success() {
            Ok(Answer {
                status,
                headers,
                body,
                method: self.method,
                url: self.url,
            })
        } else {
            Err(refused(&self.method, &self.url, status, &body))
        }
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let request = self
            .client
            .http
            .request(self.method.clone(), self.url.clone());
        let accept = HeaderValue::from_static("application/json, application/problem+json, */*");
        let request = request.header(ACCEPT, accept).headers(self.headers.clone());
        match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        }
    }

    fn broken(&self, source: reqwest::Error) -> Error {
        let source = source.without_url();
        if source.is_connect() {
            let url = self.client.base.to_string();
            return Error::Connect { url, source };
        }
        Error::Send {
            method: self.method.to_string(),
            url: plain(&self.url),
            source,
        }
    }
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let mut reader = serde_json::Deserializer::from_slice(&self.body);
        serde_path_to_error::deserialize(&mut reader).map_err(|source| Error::Answer {
            method: self.method.to_string(),
            url: plain(&self.url),
            source,
        })
    }

    pub(crate) fn etag(&self) -> Option<String> {
        self.headers.get(ETAG)?.to_str().ok().map(str::to_owned)
    }
}

/// The address without its query, which is of no use to people.
fn plain(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// How long to pause before the same request may be answered otherwise, if that helps.
fn pause(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let text = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let seconds = text.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let wanted = Duration::from_secs(seconds);
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Some(wanted.min(LONGEST_PAUSE)),
        // Sooner it would be refused again, and the pause be longer.
        StatusCode::TOO_MANY_REQUESTS => Some(wanted).filter(|wanted| *wanted <= LONGEST_PAUSE),
        _ => None,
    }
}

fn refused(method: &Method, url: &Url, status: StatusCode, body: &[u8]) -> Error {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return Error::Problem(Box::new(problem));
    }
    if let Some(problem) = bare(method, status) {
        return Error::Problem(Box::new(problem));
    }
    let text = String::from_utf8_lossy(body);
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no text");
    let excerpt = line.chars().filter(|c| !c.is_control()).take(120).collect();
    let (method, url) = (method.to_string(), plain(url));
    Error::Foreign {
        method,
        url,
        status: status.as_u16(),
        excerpt,
    }
}

/// An answer to HEAD has no body, so its problem is made from the status.
fn bare(method: &Method, status: StatusCode) -> Option<Problem> {
    let code = match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::UNAUTHORIZED => "unauthenticated",
        _ => return None,
    };
    (*method == Method::HEAD).then(|| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        code: code.to_owned(),
        detail: String::new(),
        field: None,
        request_id: None,
    })
}
