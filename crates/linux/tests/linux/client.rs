//! Small clients as an instance has them: DHCP (RFC 2131), DHCPv6 (RFC 8415), DNS (RFC 1035), TCP.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use rhyzome_hostnet::Links;
use rhyzome_hostnet::link::Route;
use rhyzome_model::MacAddr;
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::NetworkPlacement;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use crate::site::{LONG, NEVER};
use crate::world::{Place, up};

/// What a DHCP server acknowledged.
#[derive(Debug)]
pub struct Bound {
    pub address: Ipv4Addr,
    pub options: BTreeMap<u8, Vec<u8>>,
}

const TRANSACTION: [u8; 4] = [0x72, 0x7a, 0x00, 0x01];
const COOKIE: [u8; 4] = [99, 130, 83, 99];

fn dhcp_message(mac: MacAddr, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0];
    message.extend(TRANSACTION);
    // Answers are to be broadcast: there is no address yet.
    message.extend([0, 0, 0x80, 0]);
    message.extend([0; 16]);
    message.extend(mac.octets());
    message.extend([0; 10 + 192]);
    message.extend(COOKIE);
    message.extend([53, 1, kind]);
    message.extend([55, 6, 1, 3, 6, 26, 51, 121]);
    message.extend(options);
    message.push(255);
    message
}

fn dhcp_parse(message: &[u8]) -> Option<Bound> {
    if message.get(4..8) != Some(&TRANSACTION) || message.get(236..240) != Some(&COOKIE) {
        return None;
    }
    let address = <[u8; 4]>::try_from(&message[16..20]).ok()?.into();
    let mut options = BTreeMap::new();
    let mut rest = &message[240..];
    while let [kind, length, tail @ ..] = rest {
        if *kind == 255 {
            break;
        }
        let (data, next) = tail.split_at_checked(usize::from(*length))?;
        options.insert(*kind, data.to_vec());
        rest = next;
    }
    Some(Bound { address, options })
}

/// Asks for an IPv4 address until one is acknowledged; none where nobody offers any.
pub async fn dhcp(instance: &Place, mac: MacAddr) -> Option<Bound> {
    dhcp_as(instance, mac, 1).await
}

/// Asks as one of several systems on the same interface, which call themselves differently (RFC 2132,
/// option 61).
pub async fn dhcp_as(instance: &Place, mac: MacAddr, system: u8) -> Option<Bound> {
    let id = [61, 3, 255, 0, system];
    instance
        .run(move || async move {
            let socket = bind((Ipv4Addr::UNSPECIFIED, 68).into()).await;
            socket.bind_device(Some(b"eth0")).unwrap();
            socket.set_broadcast(true).unwrap();
            let offer = dhcp_ask(&socket, dhcp_message(mac, 1, &id)).await?;
            let mut wanted = id.to_vec();
            wanted.extend([50, 4]);
            wanted.extend(offer.address.octets());
            wanted.extend([54, 4]);
            wanted.extend(&offer.options[&54]);
            let bound = dhcp_ask(&socket, dhcp_message(mac, 3, &wanted)).await?;
            (bound.options[&53] == [5]).then_some(bound)
        })
        .await
}

/// A socket at a client's port, which the one before may not have left: a program that another test is
/// starting has a copy of it for a moment.
async fn bind(address: SocketAddr) -> UdpSocket {
    let began = Instant::now();
    loop {
        match UdpSocket::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && began.elapsed() < LONG => {
                sleep(Duration::from_millis(5)).await;
            }
            bound => return bound.unwrap(),
        }
    }
}

async fn dhcp_ask(socket: &UdpSocket, message: Vec<u8>) -> Option<Bound> {
    let server = (Ipv4Addr::BROADCAST, 67).into();
    dhcp_parse(&exchange(socket, server, &message).await?)
}

/// Asks, and asks again where nothing comes back: a link that was just plugged in may still be dumb.
async fn exchange(socket: &UdpSocket, to: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    for _ in 0..3 {
        socket.send_to(message, to).await.ok()?;
        let mut buffer = vec![0; 1500];
        if let Ok(size) = timeout(NEVER, socket.recv(&mut buffer)).await {
            buffer.truncate(size.ok()?);
            return Some(buffer);
        }
    }
    None
}

fn option6(kind: u16, data: &[u8]) -> Vec<u8> {
    [
        &kind.to_be_bytes()[..],
        &(data.len() as u16).to_be_bytes(),
        data,
    ]
    .concat()
}

fn options6(mut rest: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    let mut options = BTreeMap::new();
    while let Some((head, tail)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some((data, next)) = tail.split_at_checked(length) else {
            break;
        };
        options.insert(u16::from_be_bytes([head[0], head[1]]), data.to_vec());
        rest = next;
    }
    options
}

/// Asks for an IPv6 address; none where nobody advertises any.
pub async fn dhcp6(instance: &Place, mac: MacAddr) -> Option<Ipv6Addr> {
    instance
        .run(move || async move {
            let index = Links::open()
                .unwrap()
                .find("eth0")
                .await
                .unwrap()
                .unwrap()
                .index;
            let socket = bind((Ipv6Addr::UNSPECIFIED, 546).into()).await;
            let to = SocketAddrV6::new("ff02::1:2".parse().unwrap(), 547, 0, index);
            // Who asks: by its MAC; and one address wanted.
            let client = option6(1, &[&[0, 3, 0, 1][..], &mac.octets()].concat());
            let address = option6(3, &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
            let solicit = [&[1, 0, 0, 1][..], &client, &address, &option6(8, &[0, 0])].concat();
            let advertised = dhcp6_ask(&socket, to, &solicit).await?;
            let server = option6(2, advertised.get(&2)?);
            let wanted = option6(3, advertised.get(&3)?);
            let request = [
                &[3, 0, 0, 1][..],
                &client,
                &server,
                &wanted,
                &option6(8, &[0, 0]),
            ]
            .concat();
            let reply = dhcp6_ask(&socket, to, &request).await?;
            let inner = options6(&reply.get(&3)?[12..]);
            let octets: [u8; 16] = inner.get(&5)?[..16].try_into().ok()?;
            Some(octets.into())
        })
        .await
}

async fn dhcp6_ask(
    socket: &UdpSocket,
    to: SocketAddrV6,
    message: &[u8],
) -> Option<BTreeMap<u16, Vec<u8>>> {
    let answer = exchange(socket, to.into(), message).await?;
    Some(options6(&answer[4..]))
}

/// Gives an instance the addresses of its lease, and its router as the way to everywhere.
pub async fn configure(instance: &Place, network: &NetworkPlacement, lease: &LeasePlacement) {
    let (four, six) = (format!("{}/24", lease.ipv4), format!("{}/64", lease.ipv6));
    let routers = [
        IpAddr::from(network.router_ipv4()),
        network.router_ipv6().into(),
    ];
    instance
        .run(move || async move {
            let (links, eth0) = up("eth0").await;
            let addresses = [four.parse().unwrap(), six.parse().unwrap()];
            links.ensure_addresses(eth0, &addresses).await.unwrap();
            for (to, via) in ["0.0.0.0/0", "::/0"].iter().zip(routers) {
                let route = Route {
                    to: to.parse().unwrap(),
                    via: Some(via),
                    link: eth0,
                };
                links.add_route(route).await.unwrap();
            }
        })
        .await;
    // Until it is known to be plugged in, that nothing gets through would prove nothing.
    for router in routers {
        let name = format!("router.{}", network.domain);
        assert!(resolve(instance, router, &name, A).await.is_some());
    }
}

/// The answer's code and its records' data (RFC 1035, section 4.1); none where nobody answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u8,
    pub data: Vec<Vec<u8>>,
}

pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;

pub async fn resolve(asker: &Place, server: IpAddr, name: &str, kind: u16) -> Option<Answer> {
    let mut question = vec![0x72, 0x7a, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(label.len() as u8);
        question.extend(label.bytes());
    }
    question.push(0);
    question.extend(kind.to_be_bytes());
    question.extend([0, 1]);
    asker
        .run(move || async move {
            let any: IpAddr = if server.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0)).await.unwrap();
            let answer = exchange(&socket, (server, 53).into(), &question).await?;
            let code = answer[3] & 15;
            let mut rest = answer.get(question.len()..).unwrap_or_default();
            let mut data = Vec::new();
            while rest.len() > 12 {
                let length = usize::from(u16::from_be_bytes([rest[10], rest[11]]));
                data.push(rest[12..12 + length].to_vec());
                rest = &rest[12 + length..];
            }
            Some(Answer { code, data })
        })
        .await
}

/// Whether a TCP connection can be made, in a short time.
pub async fn connects(from: &Place, to: SocketAddr) -> bool {
    from.run(move || connects_here(to)).await
}

/// Whether a TCP connection can be made that has to be, and be it late: a link that was just plugged in loses
/// its first packets, which the kernel sends again after a second.
pub async fn comes_to_connect(from: &Place, to: SocketAddr) -> bool {
    from.run(move || async move {
        let until = Instant::now() + LONG;
        while Instant::now() < until {
            if connects_here(to).await {
                return true;
            }
        }
        false
    })
    .await
}

/// As [`connects`], from the calling thread's namespace.
pub async fn connects_here(to: SocketAddr) -> bool {
    let work = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        (text == GREETING).then_some(())
    };
    timeout(NEVER, work).await.is_ok_and(|done| done.is_some())
}

pub const GREETING: &str = "hello from inside";

/// Greets whoever connects, until dropped.
pub struct Server(
    #[expect(dead_code, reason = "ends the server when dropped")] tokio::sync::oneshot::Sender<()>,
);

impl Server {
    pub async fn in_place(place: &Place, port: u16) -> Self {
        let namespace = place.0.clone();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        tokio::task::spawn_local(async move {
            namespace
                .run(move || Self::serve(port, ready, stopped))
                .await
                .unwrap();
        });
        is_ready.await.unwrap();
        Self(stop)
    }

    /// In the calling thread's namespace.
    pub async fn here(port: u16) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        tokio::task::spawn_local(Self::serve(port, ready, stopped));
        is_ready.await.unwrap();
        Self(stop)
    }

    async fn serve(
        port: u16,
        ready: tokio::sync::oneshot::Sender<()>,
        mut stopped: tokio::sync::oneshot::Receiver<()>,
    ) {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .await
            .unwrap();
        ready.send(()).unwrap();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut stream, _) = accepted.unwrap();
                    // Whoever connected may be gone.
                    let _ = timeout(Duration::from_secs(1), stream.write_all(GREETING.as_bytes())).await;
                }
                _ = &mut stopped => return,
            }
        }
    }
}
