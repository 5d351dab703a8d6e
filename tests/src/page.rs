//! What the unikernel `hello` serves, fetched over any connection.

use std::net::IpAddr;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What it says of itself at `/json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Page {
    pub hostname: String,
    pub network: Option<String>,
    /// Each with its prefix length.
    pub addresses: Vec<String>,
    pub gateways: Vec<IpAddr>,
    pub dns: Vec<IpAddr>,
    pub dhcp: bool,
    pub mac: String,
    pub memory_bytes: u64,
    pub uptime_ms: u64,
    pub requests: u64,
}

/// Asks once over a connection that stays open.
///
/// # Errors
/// What is wrong with the connection, or with the answer, in a sentence.
pub async fn get(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
) -> Result<String, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: hello\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.map_err(|error| format!("the request cannot be sent: {error}"))?;
    let mut answer = Vec::new();
    loop {
        if let Some(body) = whole(&answer)? {
            return Ok(body);
        }
        let read = stream.read_buf(&mut answer).await;
        if read.map_err(|error| format!("the answer cannot be read: {error}"))? == 0 {
            return Err(format!("the answer ends after {} bytes", answer.len()));
        }
    }
}

/// The body of an answer, once it is all there.
fn whole(answer: &[u8]) -> Result<Option<String>, String> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("answered {head}"));
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length
        .and_then(|text| text.parse().ok())
        .ok_or("an answer without a length")?;
    Ok((body.len() >= length).then(|| body[..length].to_owned()))
}

impl Page {
    /// Where it is, as JSON.
    pub const PATH: &'static str = "/json";

    /// # Errors
    /// What is wrong with the text, and the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))
    }
}

/// What an instance says of itself.
///
/// # Errors
/// As [`get`].
pub async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<Page, String> {
    Page::parse(&get(stream, Page::PATH).await?)
}
