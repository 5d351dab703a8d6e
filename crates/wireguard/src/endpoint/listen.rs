//! The endpoint's two listening sockets: its own protocol's, and the one for `wg`.

use std::fs;
use std::io;
use std::path::Path;

use gotatun::device::uapi::UapiClient;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::control::{Request, Response, read_line};

/// A request, and where its answer goes.
pub(super) type Asked = (Request, oneshot::Sender<Response>);

/// Listens at a path in the endpoint's folder.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    // What is there was left by a run that was killed: the lock says that none is running.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

/// Lets `wg` talk to the device itself. Each connection gets a thread, for the device's side of it
/// blocks; the folder's mode decides who can have one.
pub(super) fn listen_for_wg(listener: UnixListener, uapi: UapiClient) {
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.and_then(|(stream, _)| {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                Ok(stream)
            });
            match stream {
                Ok(stream) => uapi.clone().wrap_read_write(stream),
                Err(error) => pause(&error).await,
            }
        }
    });
}

/// Passes the requests of all connections on, and each answer back.
pub(super) fn listen_for_requests(listener: UnixListener, ask: mpsc::Sender<Asked>) {
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let ask = ask.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, ask).await {
                            tracing::debug!(%error, "a control connection broke");
                        }
                    });
                }
                Err(error) => pause(&error).await,
            }
        }
    });
}

/// Out of descriptors, most likely: accepting again at once would only burn the processor.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

async fn converse(stream: UnixStream, ask: mpsc::Sender<Asked>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(line) = read_line(&mut stream).await? {
        let response = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                let (answer, answered) = oneshot::channel();
                if ask.send((request, answer)).await.is_err() {
                    return Ok(());
                }
                match answered.await {
                    Ok(response) => response,
                    Err(_) => return Ok(()),
                }
            }
            Err(error) => Response::Error(format!("no request: {error}")),
        };
        let mut line = serde_json::to_vec(&response).map_err(io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
    }
    Ok(())
}
