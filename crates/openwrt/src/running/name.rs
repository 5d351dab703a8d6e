//! One question to the router's DNS server: the addresses of a name (RFC 1035).

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::system::System;

/// How long one answer may take; the caller asks again.
const PATIENCE: Duration = Duration::from_millis(500);
const ID: [u8; 2] = [0x72, 0x77];
const A_IN: [u8; 4] = [0, 1, 0, 1];

/// The IPv4 addresses of a name; none where there is no answer.
pub(crate) async fn ask(
    system: &System,
    server: Ipv4Addr,
    name: &str,
) -> io::Result<Option<Vec<Ipv4Addr>>> {
    let (name, network) = (name.to_owned(), system.network().map(ToOwned::to_owned));
    // On a thread of its own, which ends with the namespace that it entered.
    let (answered, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let asked = enter(network.as_deref()).and_then(|()| query(server.into(), &name));
        // Nobody waits for it any more.
        let _ = answered.send(asked);
    });
    answer.await.unwrap_or(Ok(None))
}

fn enter(network: Option<&std::path::Path>) -> io::Result<()> {
    let Some(network) = network else {
        return Ok(());
    };
    let file = std::fs::File::open(network)?;
    Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
}

fn query(server: IpAddr, name: &str) -> io::Result<Option<Vec<Ipv4Addr>>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let question = question(name);
    let mut buffer = [0; 512];
    // Refused, unreachable or silent: no answer.
    let asked = socket
        .connect((server, 53))
        .and_then(|()| socket.send(&question))
        .and_then(|_| socket.recv(&mut buffer));
    Ok(asked
        .ok()
        .and_then(|size| addresses(&buffer[..size], question.len())))
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

/// The answers of type A; none where it is no answer of ours. Each begins with a name, which dnsmasq writes as a
/// pointer of two bytes.
fn addresses(packet: &[u8], answers_at: usize) -> Option<Vec<Ipv4Addr>> {
    let is_answer = packet.starts_with(&ID) && packet.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let mut rest = is_answer.then(|| packet.get(answers_at..)).flatten()?;
    let mut found = Vec::new();
    while let [0xc0..=0xff, _, kind @ ..] = rest {
        let (head, tail) = kind.split_at_checked(10)?;
        let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let (data, next) = tail.split_at_checked(length)?;
        if let (true, Ok(octets)) = (head.starts_with(&A_IN), <[u8; 4]>::try_from(data)) {
            found.push(octets.into());
        }
        rest = next;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(flags: u8) -> (usize, Vec<u8>) {
        let mut packet = question("a.b");
        let at = packet.len();
        packet[2] = flags;
        packet.extend([0xc0, 12]);
        packet.extend(A_IN);
        packet.extend([0, 0, 0, 0, 0, 4, 10, 1, 2, 3]);
        (at, packet)
    }

    #[test]
    fn addresses_are_read_from_an_answer_and_nothing_from_rubbish() {
        let (at, packet) = answer(0x81);
        assert_eq!(addresses(&packet, at), Some(vec![[10, 1, 2, 3].into()]));
        assert_eq!(addresses(&packet[..at], at), Some(Vec::new()));
        for end in 0..at {
            assert!(addresses(&packet[..end], at).is_none());
        }
        let (at, question) = answer(0x01);
        assert_eq!(addresses(&question, at), None, "a question is no answer");
    }

    #[tokio::test]
    async fn a_server_that_answers_is_heard_and_one_that_is_not_there_is_none() {
        let nobody = ask(&System::own(), Ipv4Addr::new(127, 0, 0, 99), "a.b").await;
        assert_eq!(nobody.unwrap(), None);
    }
}
