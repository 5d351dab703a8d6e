//! One connection over the standard input and output, as SSH's `ProxyCommand` wants it.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rhyzome_model::Name;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split, stdin, stdout};

use super::CONNECT;
use crate::failure::Failure;
use crate::session::Cx;
use crate::tunnel::{self, Device};

/// How long the last bytes may take to arrive.
const LAST: Duration = Duration::from_secs(5);

/// The same where nobody is there any more to whom it matters.
const UNHEARD: Duration = Duration::from_secs(1);

/// Between two looks whether anybody reads what is written.
const LOOK: Duration = Duration::from_millis(100);

/// Carries until the other side has said all, or the user has enough.
pub async fn carry(cx: &Cx, instance: &Name, device: &Device, port: u16) -> Result<(), Failure> {
    let way = tunnel::find(cx, instance, device).await?;
    let tunnel = tunnel::start(cx, &way.config, CONNECT).await?;
    let remote = SocketAddr::new(way.address, port);
    let stream = tunnel.connect(remote, CONNECT).await;
    let stream = stream.map_err(tunnel::Error::Connect)?;
    let patience = tokio::select! {
        patience = between(stream, stdin(), stdout(), || is_heard(std::io::stdout())) => patience,
        _ = tokio::signal::ctrl_c() => LAST,
    };
    tunnel.drain(patience).await;
    tunnel.stop().await;
    Ok(())
}

/// Carries bytes both ways, and lets go of the connection when that is over; says how long its last bytes
/// are worth waiting for.
async fn between(
    stream: impl AsyncRead + AsyncWrite,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    is_heard: impl Fn() -> bool,
) -> Duration {
    let (mut from, mut to) = split(stream);
    let up = async {
        let _all = copy(&mut input, &mut to).await;
        // The other side may still have something to say, as long as somebody is there to hear it: it may
        // also be gone, and not say so for minutes.
        let _ = to.shutdown().await;
        while is_heard() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let down = async {
        let _all = copy(&mut from, &mut output).await;
        let _ = output.flush().await;
    };
    tokio::select! {
        () = up => UNHEARD,
        () = down => LAST,
    }
}

/// Whether what is written there has a reader; a pipe without one says so (poll(2)).
fn is_heard(output: impl AsFd) -> bool {
    let mut looked = [PollFd::new(output.as_fd(), PollFlags::empty())];
    let polled = poll(&mut looked, PollTimeout::ZERO);
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    // Where that cannot be found out, somebody may be there.
    polled.is_err()
        || !looked[0]
            .revents()
            .is_some_and(|events| events.intersects(gone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn what_the_other_side_says_after_the_end_is_heard() {
        let (near, mut far) = tokio::io::duplex(64);
        let answer = async {
            let mut asked = String::new();
            far.read_to_string(&mut asked).await.unwrap();
            far.write_all(b"an answer").await.unwrap();
            drop(far);
            asked
        };
        let mut output = Vec::new();
        let carried = between(near, &b"a question"[..], &mut output, || true);
        let both = async { tokio::join!(carried, answer) };
        let (patience, asked) = tokio::time::timeout(SOON, both).await.unwrap();
        assert_eq!((patience, asked.as_str()), (LAST, "a question"));
        assert_eq!(output, b"an answer");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_silent_side_whom_nobody_hears() {
        let (near, _far) = tokio::io::duplex(64);
        let (reader, writer) = std::io::pipe().unwrap();
        assert!(is_heard(&writer));
        drop(reader);
        let carried = between(near, &b""[..], tokio::io::sink(), || is_heard(&writer));
        let patience = tokio::time::timeout(SOON, carried).await.unwrap();
        assert_eq!(patience, UNHEARD);
    }
}
