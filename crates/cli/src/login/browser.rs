//! Logging in with a browser on this machine: it is sent to the issuer, and comes back to a port that only this machine reaches
//! (RFC 8252, section 7.3).

use std::time::Duration;

use rhyzome_client::{IdTokens, Provider};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Error;
use crate::failure::Failure;
use crate::session::Cx;

/// How long a person has at the issuer.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How long a browser has to say what it wants. It may open connections that it does not use.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A request's first line is shorter. Bytes.
const LINE: u64 = 16 << 10;

/// Whether there is a browser, most likely.
pub fn is_likely() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("DISPLAY") || set("WAYLAND_DISPLAY") || set("BROWSER")
}

pub async fn log_in(cx: &Cx, provider: &Provider) -> Result<IdTokens, Failure> {
    let listen = |source| Error::Listen { source };
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(listen)?;
    let port = listener.local_addr().map_err(listen)?.port();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    let flow = provider.begin(redirect).map_err(Error::from)?;
    cx.output
        .note(&format!("Log in with your browser at\n\n  {}\n", flow.url));
    if is_likely() && open::that_detached(flow.url.as_str()).is_err() {
        cx.output
            .note("No browser could be opened: open that yourself.");
    }
    let came_back = timeout(PATIENCE, answer(&listener)).await;
    let query = came_back.map_err(|_| Error::from(rhyzome_client::OidcError::Late))??;
    Ok(provider.finish(flow, &query).await.map_err(Error::from)?)
}

/// The query with which the browser comes back.
async fn answer(listener: &TcpListener) -> Result<String, Failure> {
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(|source| Error::Listen { source })?;
        if let Ok(Some(query)) = timeout(HEAD_TIME, query_of(stream)).await {
            return Ok(query);
        }
    }
}

/// Reads a request; none where it is not the one that is waited for.
async fn query_of(stream: TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    (&mut reader).take(LINE).read_line(&mut line).await.ok()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let query = target.strip_prefix("/callback?").map(str::to_owned);
    let (status, text) = match query {
        Some(_) => (
            "200 OK",
            "You can close this page, and go on in the terminal.",
        ),
        None => ("404 Not Found", "There is nothing here."),
    };
    let page = format!("<!doctype html><meta charset=utf-8><title>Rhyzome</title><p>{text}</p>");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    // What else it sends is read, or it might not read the answer.
    loop {
        let mut rest = String::new();
        match (&mut reader).take(LINE).read_line(&mut rest).await {
            Ok(0) | Err(_) => break,
            Ok(_) if rest.trim().is_empty() => break,
            Ok(_) => {}
        }
    }
    let mut stream = reader.into_inner();
    stream.write_all((head + &page).as_bytes()).await.ok()?;
    let _ = stream.shutdown().await;
    query
}
