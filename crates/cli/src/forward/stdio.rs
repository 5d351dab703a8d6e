//! One connection over the standard input and output, as SSH's `ProxyCommand` wants it.

use std::net::SocketAddr;
use std::time::Duration;

use rhyzome_model::Name;
use tokio::io::{AsyncWriteExt, copy, split, stdin, stdout};

use super::CONNECT;
use crate::failure::Failure;
use crate::session::Cx;
use crate::tunnel::{self, Device};

/// How long the last bytes may take to arrive.
const LAST: Duration = Duration::from_secs(5);

/// Carries until the other side has said all, or the user has enough.
pub async fn carry(cx: &Cx, instance: &Name, device: &Device, port: u16) -> Result<(), Failure> {
    let way = tunnel::find(cx, instance, device).await?;
    let tunnel = tunnel::start(cx, &way.config, CONNECT).await?;
    let remote = SocketAddr::new(way.address, port);
    let stream = tunnel.connect(remote, CONNECT).await;
    let (mut from, mut to) = split(stream.map_err(tunnel::Error::Connect)?);
    let up = async {
        let _all = copy(&mut stdin(), &mut to).await;
        // The other side may still have something to say.
        let _ = to.shutdown().await;
        std::future::pending::<()>().await;
    };
    let down = async {
        let mut output = stdout();
        let _all = copy(&mut from, &mut output).await;
        let _ = output.flush().await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tunnel.drain(LAST).await;
    tunnel.stop().await;
    Ok(())
}
