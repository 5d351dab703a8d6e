//! Clients that connect and then do nothing.

use std::time::{Duration, Instant};

use rhyzome_pki::acceptor::Limits;
use rhyzome_pki::server::ServerCertificate;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::site::{BOUND, Core, Site, joined, listen, site, talk};

async fn core_with(site: &mut Site, limits: Limits) -> Core {
    let certificate = ServerCertificate::new(&site.core_credential());
    let config = site.server_config(std::sync::Arc::clone(&certificate));
    Core {
        incoming: listen(config, limits).await,
        certificate,
    }
}

/// True once the core has closed a connection that said nothing.
async fn is_closed(mut stalled: TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(BOUND, stalled.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn clients_that_stall_block_nobody() {
    let mut site = site(21);
    let limits = Limits {
        handshakes: 64,
        timeout: Duration::from_secs(600),
        ..Limits::default()
    };
    let mut core = core_with(&mut site, limits).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(TcpStream::connect(core.address()).await.unwrap());
    }
    let begun = Instant::now();
    let (info, answer) = core.meet(joined(&site.component("host-1"))).await;
    answer.unwrap();
    assert_eq!(info.peer.unwrap().component_id, "host-1");
    assert!(begun.elapsed() < BOUND);
}

#[tokio::test]
async fn when_handshakes_are_too_many_the_oldest_makes_room() {
    let mut site = site(22);
    let limits = Limits {
        handshakes: 4,
        timeout: Duration::from_secs(600),
        patience: Duration::from_millis(20),
    };
    let mut core = core_with(&mut site, limits).await;
    let mut stalled = Vec::new();
    for _ in 0..12 {
        stalled.push(TcpStream::connect(core.address()).await.unwrap());
    }
    let (_, answer) = core.meet(joined(&site.component("host-1"))).await;
    answer.unwrap();
    assert!(is_closed(stalled.remove(0)).await, "the first had to go");
    let last = stalled.pop().unwrap();
    let pause = Duration::from_millis(200);
    let mut byte = [0];
    let waited = tokio::time::timeout(pause, last.peek(&mut byte)).await;
    assert!(waited.is_err(), "the last is still waited for");
}

#[tokio::test]
async fn a_crowd_passes_in_turn_and_nobody_is_dropped() {
    let mut site = site(25);
    let limits = Limits {
        handshakes: 2,
        timeout: Duration::from_secs(600),
        patience: Duration::from_secs(600),
    };
    let mut core = core_with(&mut site, limits).await;
    let address = core.address().to_string();
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..30 {
        let config = joined(&site.component(&format!("host-{index}")));
        let address = address.clone();
        clients.spawn(async move { talk(&address, config).await });
    }
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..30 {
        met.insert(
            core.answer()
                .await
                .info()
                .peer
                .clone()
                .unwrap()
                .component_id,
        );
    }
    assert_eq!(met.len(), 30);
    while let Some(client) = clients.join_next().await {
        client.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_stalled_handshake_ends_at_its_time_limit() {
    let mut site = site(23);
    let limits = Limits {
        handshakes: 64,
        timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let core = core_with(&mut site, limits).await;
    let stalled = TcpStream::connect(core.address()).await.unwrap();
    assert!(is_closed(stalled).await);
}

#[tokio::test]
async fn dropping_the_listener_closes_the_port_and_what_stalls() {
    let mut site = site(24);
    let core = core_with(&mut site, Limits::default()).await;
    let address = core.address();
    let stalled = TcpStream::connect(address).await.unwrap();
    drop(core);
    assert!(is_closed(stalled).await);
    let deadline = Instant::now() + BOUND;
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "the port stays open");
        tokio::task::yield_now().await;
    }
}
