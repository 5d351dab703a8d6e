//! One question to a DNS server: the IPv4 addresses of a name.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use rhyzome_component::question::Question;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long one answer may take; the caller asks again.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks from the calling thread's network namespace. Empty where there is no answer, or no such name.
pub(super) async fn ask(server: Ipv4Addr, name: &str) -> io::Result<Vec<Ipv4Addr>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((server, 53)).await?;
    let question = Question::of(name);
    // A refusal of an earlier question may be told here: ask again.
    if socket.send(question.packet()).await.is_err() {
        return Ok(Vec::new());
    }
    let mut buffer = [0; 512];
    match timeout(PATIENCE, socket.recv(&mut buffer)).await {
        Ok(Ok(size)) => Ok(question.answers(&buffer[..size]).unwrap_or_default()),
        Ok(Err(_)) | Err(_) => Ok(Vec::new()),
    }
}
