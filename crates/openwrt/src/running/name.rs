//! One question to the router's DNS server: the addresses of a name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use rhyzome_component::question::Question;

use crate::system::System;

/// How long one answer may take; the caller asks again.
const PATIENCE: Duration = Duration::from_millis(500);

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
    let question = Question::of(name);
    let mut buffer = [0; 512];
    // Refused, unreachable or silent: no answer.
    let asked = socket
        .connect((server, 53))
        .and_then(|()| socket.send(question.packet()))
        .and_then(|_| socket.recv(&mut buffer));
    Ok(asked
        .ok()
        .and_then(|size| question.answers(&buffer[..size])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_answers_is_heard_and_one_that_is_not_there_is_none() {
        let nobody = ask(&System::own(), Ipv4Addr::new(127, 0, 0, 99), "a.b").await;
        assert_eq!(nobody.unwrap(), None);
    }
}
