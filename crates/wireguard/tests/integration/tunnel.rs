//! The client's tunnel: what it carries, and how it says that it cannot.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use rhyzome_wireguard::config::ClientConfig;
use rhyzome_wireguard::key::PublicKey;
use rhyzome_wireguard::tunnel::{ConnectError, MAX_CONNECTIONS, Tunnel, TunnelStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{self, GREETING};
use crate::site::{Device, LONG, Network, Site, admit, holder, program, run, wait_for};

/// Whose TCP is above a tunnel: all that is promised is promised of both.
#[derive(Clone, Copy)]
pub enum Tcp {
    Own,
    Kernel,
}

impl Tcp {
    pub async fn tunnel(self, config: &ClientConfig) -> Tunnel {
        match self {
            Self::Own => Tunnel::start(config).await.unwrap(),
            Self::Kernel => {
                let tunnel = Tunnel::start_with(config, &holder()).await.unwrap();
                assert!(tunnel.has_kernel_tcp(), "the kernel's cannot be had");
                tunnel
            }
        }
    }
}

/// Each as two tests.
macro_rules! with_either_tcp {
    ($($name:ident),+ $(,)?) => {
        mod own_tcp {
            $(#[test] fn $name() { super::$name(super::Tcp::Own); })+
        }
        mod kernel_tcp {
            $(#[test] fn $name() { super::$name(super::Tcp::Kernel); })+
        }
    };
}

with_either_tcp!(
    bytes_arrive_unchanged_both_ways_over_both_families_and_each_half_ends_by_itself,
    each_way_of_not_connecting_is_told_apart,
    a_destination_that_is_silent_times_out,
    what_the_network_says_about_a_destination_is_passed_on_at_once,
    a_reset_is_an_error_and_not_an_end,
    stopping_a_tunnel_ends_its_connections,
    many_connections_share_a_tunnel,
    more_connections_than_a_tunnel_may_have_wait_for_their_turn,
    what_was_written_arrives_though_the_stream_was_dropped_and_the_tunnel_drained,
    a_reader_that_waits_makes_the_writer_wait_and_nothing_is_lost,
    one_tunnel_reaches_two_networks_and_one_of_them_may_be_down,
);

pub async fn fetch(tunnel: &Tunnel, from: SocketAddr) -> Vec<u8> {
    let mut stream = tunnel.connect(from, LONG).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

/// Sends the bytes while reading what comes back, ends its half, and reads to the end.
async fn echoed(stream: TunnelStream, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut all = Vec::new();
    let write = async {
        writer.write_all(bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async { reader.read_to_end(&mut all).await.unwrap() };
    tokio::join!(write, read);
    all
}

/// A site with a running network that has let a device in, and its endpoint's key.
pub fn admitted() -> (Site, Network, PublicKey, Device) {
    let mut site = Site::new();
    let network = site.network(1);
    let key = site.start(&network).status.public_key;
    let device = Device::new(2);
    site.on_host(async || admit(&network, &[&device]).await);
    (site, network, key, device)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

fn bytes_arrive_unchanged_both_ways_over_both_families_and_each_half_ends_by_itself(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let bytes = pattern(3_000_001);
    for (inner_v6, host, mtu) in [
        (false, "192.0.2.1", 1420),
        (true, "192.0.2.1", 1420),
        (false, "2001:db8::1", 1280),
        (true, "2001:db8::1", 1280),
    ] {
        let echo = server::echo(&network.namespace, network.server(inner_v6));
        let count = server::count(&network.namespace, network.server(inner_v6));
        let mut config = Network::config(&device, &[(&network, key)], host);
        config.mtu = Some(mtu);
        site.on_client(async || {
            let tunnel = tcp.tunnel(&config).await;
            tunnel.wait_handshake(LONG).await.unwrap();
            let stream = tunnel.connect(echo, LONG).await.unwrap();
            assert_eq!(stream.peer_addr(), echo);
            assert_eq!(stream.local_addr().is_ipv6(), inner_v6);
            assert!(echoed(stream, &bytes).await == bytes, "the echo differs");
            // The server answers only once the client's half has ended.
            let stream = tunnel.connect(count, LONG).await.unwrap();
            assert_eq!(echoed(stream, &bytes).await, b"3000001");

            let stats = tunnel.stats().await;
            assert!(stats.peers[0].rx_bytes > 3_000_000, "{stats:?}");
            assert!(stats.peers[0].tx_bytes > 6_000_000, "{stats:?}");
            assert!(stats.peers[0].last_handshake.is_some());
            wait_for("all connections to be over", async || {
                tunnel.stats().await.connections == 0
            })
            .await;
            tunnel.stop().await;
        });
    }
}

fn each_way_of_not_connecting_is_told_apart(tcp: Tcp) {
    let mut site = Site::new();
    let network = site.network(1);
    let key = site.start(&network).status.public_key;
    let (known, unknown) = (Device::new(2), Device::new(3));
    site.on_host(async || admit(&network, &[&known]).await);
    let server = server::greet(&network.namespace, network.server(false));
    let short = Duration::from_millis(700);

    let config = Network::config(&known, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let connect = async |to: &str| tunnel.connect(to.parse().unwrap(), short).await;
        assert_eq!(fetch(&tunnel, server).await, GREETING);
        let refused = connect("10.1.0.10:9").await;
        assert!(
            matches!(refused, Err(ConnectError::Refused(_))),
            "{refused:?}"
        );
        let refused = connect("[fd00:1::10]:9").await;
        assert!(
            matches!(refused, Err(ConnectError::Refused(_))),
            "{refused:?}"
        );
        let outside = connect("10.7.0.10:80").await;
        assert!(
            matches!(outside, Err(ConnectError::Unreachable(_))),
            "{outside:?}"
        );
        let nowhere = connect("10.1.0.10:0").await;
        assert!(
            matches!(nowhere, Err(ConnectError::Invalid(_))),
            "{nowhere:?}"
        );
    });

    let mut config = config.clone();
    config.addresses.truncate(1);
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let without = tunnel
            .connect("[fd00:1::10]:80".parse().unwrap(), short)
            .await;
        assert!(
            matches!(without, Err(ConnectError::NoSource(_))),
            "{without:?}"
        );
    });

    let config = Network::config(&unknown, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let error = tunnel.connect(server, short).await.unwrap_err();
        let ConnectError::NoHandshake { source, .. } = error else {
            panic!("{error}");
        };
        let text = source.to_string();
        assert!(
            text.starts_with("no handshake with the endpoint 192.0.2.1:51821"),
            "{text}"
        );
        assert_eq!(tunnel.wait_handshake(short).await.unwrap_err().last, None);
    });
}

#[test]
fn an_endpoint_is_reached_at_its_second_address_if_the_first_is_dead() {
    let (site, network, key, device) = admitted();
    let server = server::greet(&network.namespace, network.server(false));
    // IPv6 comes first (RFC 6724, section 2.1), and nobody has this address.
    site.client_hosts("2001:db8::99 vpn.test\n192.0.2.1 vpn.test\n");
    let config = Network::config(&device, &[(&network, key)], "vpn.test");
    let file = site.path().join("peer.conf");
    std::fs::write(&file, config.to_text().as_bytes()).unwrap();
    let started = Instant::now();
    let fetched = Command::new("ip")
        .args(["netns", "exec", &site.client_namespace()])
        .arg(program().path)
        .args(["fetch", file.to_str().unwrap(), &server.to_string()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&fetched.stderr);
    assert_eq!(fetched.stdout, GREETING, "{errors}");
    let tried = Duration::from_secs(2);
    assert!(started.elapsed() >= tried, "the dead address was not tried");
}

fn a_destination_that_is_silent_times_out(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    // A rule that drops, for a blackhole route answers with ICMP.
    let namespace = &network.namespace;
    for line in [
        "add table inet t",
        "add chain inet t c { type filter hook input priority 0 ; }",
        "add rule inet t c tcp dport 99 drop",
    ] {
        run(&format!("ip netns exec {namespace} nft {line}"));
    }
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        tunnel.wait_handshake(LONG).await.unwrap();
        let started = Instant::now();
        let bound = Duration::from_secs(1);
        let silent = tunnel.connect("10.1.0.10:99".parse().unwrap(), bound).await;
        assert!(
            matches!(silent, Err(ConnectError::TimedOut { .. })),
            "{silent:?}"
        );
        assert!(started.elapsed() >= bound);
    });
}

fn what_the_network_says_about_a_destination_is_passed_on_at_once(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let namespace = &network.namespace;
    for line in [
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        "ip route add unreachable 10.1.0.77",
        "ip route add unreachable fd00:1::77",
        "nft add table inet t",
        "nft add chain inet t c { type filter hook input priority 0 ; }",
        "nft add rule inet t c tcp dport 99 reject with icmpx port-unreachable",
        "nft add rule inet t c tcp dport 98 reject with icmpx admin-prohibited",
    ] {
        run(&format!("ip netns exec {namespace} {line}"));
    }
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let connect = async |to: &str| tunnel.connect(to.parse().unwrap(), LONG).await;
        let started = Instant::now();
        for to in [
            "10.1.0.77:80",
            "[fd00:1::77]:80",
            "10.1.0.10:98",
            "[fd00:1::10]:98",
        ] {
            let error = connect(to).await.unwrap_err();
            assert!(matches!(error, ConnectError::NoRoute(_)), "{to}: {error:?}");
        }
        for to in ["10.1.0.10:99", "[fd00:1::10]:99"] {
            let error = connect(to).await.unwrap_err();
            assert!(matches!(error, ConnectError::Refused(_)), "{to}: {error:?}");
        }
        assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    });
}

fn a_reset_is_an_error_and_not_an_end(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let server = server::reset(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let mut stream = tunnel.connect(server, LONG).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let read = stream.read(&mut [0; 16]).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let write = stream.write_all(b"more").await.unwrap_err().kind();
        // A kernel says once that it was reset.
        assert!(
            matches!(write, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{write}"
        );
    });
}

fn stopping_a_tunnel_ends_its_connections(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let server = server::echo(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let mut stream = tunnel.connect(server, LONG).await.unwrap();
        let waiting = tokio::spawn(async move { stream.read(&mut [0; 16]).await });
        tokio::task::yield_now().await;
        tunnel.stop().await;
        let read = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    });
}

fn many_connections_share_a_tunnel(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let server = server::echo(&network.namespace, network.server(true));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let tunnel = std::sync::Arc::new(tunnel);
        let tasks: Vec<_> = (0..200)
            .map(|number: usize| {
                let tunnel = std::sync::Arc::clone(&tunnel);
                tokio::spawn(async move {
                    let bytes = pattern(20_000 + number);
                    let stream = tunnel.connect(server, LONG).await.unwrap();
                    echoed(stream, &bytes).await == bytes
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap(), "an echo differs");
        }
        wait_for("all connections to be over", async || {
            tunnel.stats().await.connections == 0
        })
        .await;
    });
}

fn more_connections_than_a_tunnel_may_have_wait_for_their_turn(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let server = server::echo(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            open.push(tunnel.connect(server, LONG).await.unwrap());
        }
        let busy = tunnel.connect(server, Duration::from_millis(200)).await;
        assert!(matches!(busy, Err(ConnectError::Busy(_))), "{busy:?}");
        open.pop();
        let stream = tunnel.connect(server, LONG).await.unwrap();
        assert_eq!(echoed(stream, b"my turn").await, b"my turn");
    });
}

fn what_was_written_arrives_though_the_stream_was_dropped_and_the_tunnel_drained(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let (server, told) = server::sink(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let mut stream = tunnel.connect(server, LONG).await.unwrap();
        stream.write_all(&pattern(400_000)).await.unwrap();
        assert!(!tunnel.drain(Duration::ZERO).await, "a connection is open");
        drop(stream);
        assert!(tunnel.drain(LONG).await);
    });
    assert_eq!(told.recv_timeout(LONG), Ok(400_000));
}

fn a_reader_that_waits_makes_the_writer_wait_and_nothing_is_lost(tcp: Tcp) {
    let (site, network, key, device) = admitted();
    let server = server::echo(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        let mut stream = tunnel.connect(server, LONG).await.unwrap();
        // Write without reading until nothing more is taken: every buffer on the way is full.
        let chunk = pattern(64 << 10);
        let mut written = 0;
        while let Ok(wrote) =
            tokio::time::timeout(Duration::from_secs(2), stream.write(&chunk)).await
        {
            written += wrote.unwrap();
            assert!(written < 256 << 20, "nothing makes the writer wait");
        }
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), written);
    });
}

fn one_tunnel_reaches_two_networks_and_one_of_them_may_be_down(tcp: Tcp) {
    let mut site = Site::new();
    let (first, second) = (site.network(1), site.network(2));
    let device = Device::new(2);
    let keys = [&first, &second].map(|network| site.start(network).status.public_key);
    site.on_host(async || {
        admit(&first, &[&device]).await;
        admit(&second, &[&device]).await;
    });
    let servers = [&first, &second].map(|n| server::greet(&n.namespace, n.server(false)));
    let both = [(&first, keys[0]), (&second, keys[1])];
    let config = Network::config(&device, &both, "192.0.2.1");
    site.on_client(async || {
        let tunnel = tcp.tunnel(&config).await;
        for server in servers {
            assert_eq!(fetch(&tunnel, server).await, GREETING);
        }
        rhyzome_wireguard::endpoint::stop(&second.options.dir)
            .await
            .unwrap();
        assert_eq!(fetch(&tunnel, servers[0]).await, GREETING);
    });
}
