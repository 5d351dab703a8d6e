//! One question to a DNS server: the IPv4 addresses of a name (RFC 1035).

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long one answer may take; the caller asks again.
const PATIENCE: Duration = Duration::from_millis(500);
const ID: [u8; 2] = [0x72, 0x7a];
const A_IN: [u8; 4] = [0, 1, 0, 1];

/// Asks from the calling thread's network namespace. Empty where there is no answer, or no such name.
pub(super) async fn ask(server: Ipv4Addr, name: &str) -> io::Result<Vec<Ipv4Addr>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((server, 53)).await?;
    let question = question(name);
    // A refusal of an earlier question may be told here: ask again.
    if socket.send(&question).await.is_err() {
        return Ok(Vec::new());
    }
    let mut buffer = [0; 512];
    match timeout(PATIENCE, socket.recv(&mut buffer)).await {
        Ok(Ok(size)) => Ok(addresses(&buffer[..size], question.len())),
        Ok(Err(_)) | Err(_) => Ok(Vec::new()),
    }
}

fn question(name: &str) -> Vec<u8> {
    // Recursion desired, one question.
    let mut packet = [&ID[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        // Labels have at most 63 bytes.
        packet.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        packet.extend(label.bytes());
    }
    packet.push(0);
    packet.extend(A_IN);
    packet
}

/// The answers of type A. Each begins with a name, which dnsmasq writes as a pointer of two bytes.
fn addresses(packet: &[u8], answers_at: usize) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    if !packet.starts_with(&ID) {
        return found;
    }
    let mut rest = packet.get(answers_at..).unwrap_or_default();
    while let [0xc0..=0xff, _, kind @ ..] = rest {
        let Some((head, tail)) = kind.split_at_checked(10) else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let Some((data, next)) = tail.split_at_checked(length) else {
            break;
        };
        if let (true, Ok(octets)) = (head.starts_with(&A_IN), <[u8; 4]>::try_from(data)) {
            found.push(octets.into());
        }
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_an_answer_and_nothing_from_rubbish() {
        let question = question("a.b");
        let answer = [
            &question[..],
            &[0xc0, 12],
            &A_IN,
            &[0, 0, 0, 0, 0, 4, 10, 1, 2, 3],
        ]
        .concat();
        assert_eq!(
            addresses(&answer, question.len()),
            [Ipv4Addr::new(10, 1, 2, 3)]
        );
        assert!(addresses(&question, question.len()).is_empty());
        for end in 0..answer.len() {
            assert!(addresses(&answer[..end], question.len()).is_empty());
        }
    }
}
