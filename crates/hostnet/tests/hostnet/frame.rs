//! Frames made by hand, sent and caught below everything that would correct them (packet(7)).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv,
    send, socket,
};

use crate::world::Place;

pub const BROADCAST: [u8; 6] = [0xff; 6];
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// How long a frame may take to arrive before it counts as dropped.
const PATIENCE: Duration = Duration::from_millis(300);
/// So often what has to arrive is sent: a link that was just plugged in is dumb for up to a second, and the
/// machine may have other things to do.
pub const TRIES: u32 = 60;

/// A raw socket on `eth0` of the calling thread's namespace.
pub fn open() -> OwnedFd {
    let fd = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_NONBLOCK,
        SockProtocol::EthAll,
    )
    .unwrap();
    let index = nix::net::if_::if_nametoindex("eth0").unwrap();
    let mut address: nix::libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = nix::libc::AF_PACKET as u16;
    address.sll_protocol = (nix::libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index.cast_signed();
    let size = size_of::<nix::libc::sockaddr_ll>() as nix::libc::socklen_t;
    // SAFETY: the address is a sockaddr_ll of that size.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(size)) }.unwrap();
    bind(fd.as_raw_fd(), &address).unwrap();
    fd
}

/// Whether a frame that holds these bytes arrives in time. Looks at all that is there already too.
pub async fn arrives(socket: &OwnedFd, needle: &[u8]) -> bool {
    let started = Instant::now();
    let mut buffer = [0; 2048];
    loop {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(size)
                if buffer[..size]
                    .windows(needle.len())
                    .any(|part| part == needle) =>
            {
                return true;
            }
            Ok(_) => {}
            Err(Errno::EAGAIN) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            Err(Errno::EAGAIN) => return false,
            Err(e) => panic!("cannot receive: {e}"),
        }
    }
}

/// Sends a frame if there is room for it. Whether it was sent.
pub fn send_now(socket: &OwnedFd, frame: &[u8]) -> bool {
    send(socket.as_raw_fd(), frame, MsgFlags::empty()).is_ok()
}

/// The next frame that is there already.
pub fn receive_now<'b>(socket: &OwnedFd, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let size = recv(socket.as_raw_fd(), buffer, MsgFlags::empty()).ok()?;
    Some(&buffer[..size])
}

/// Sends a frame out of an instance.
pub async fn inject(from: &Place, frame: Vec<u8>) {
    from.run(move || async move {
        let socket = open();
        send(socket.as_raw_fd(), &frame, MsgFlags::empty()).unwrap();
    })
    .await;
}

fn ethernet(from: [u8; 6], to: [u8; 6], kind: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), body].concat()
}

/// An ARP packet (RFC 826): 1 asks, 2 answers.
pub fn arp(
    ethernet_from: [u8; 6],
    operation: u16,
    sender: ([u8; 6], Ipv4Addr),
    target: Ipv4Addr,
) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4];
    body.extend(operation.to_be_bytes());
    body.extend(sender.0);
    body.extend(sender.1.octets());
    body.extend([0; 6]);
    body.extend(target.octets());
    ethernet(ethernet_from, BROADCAST, ARP, &body)
}

fn sum(data: &[u8]) -> u16 {
    let mut sum: u32 = data
        .chunks(2)
        .map(|c| u32::from(u16::from_be_bytes([c[0], *c.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn udp(ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    // Without a checksum, which UDP over IPv4 allows; over IPv6 the filters do not look at it.
    let length = (8 + data.len()) as u16;
    [
        &ports.0.to_be_bytes()[..],
        &ports.1.to_be_bytes(),
        &length.to_be_bytes(),
        &[0, 0],
        data,
    ]
    .concat()
}

/// A UDP datagram over IPv4 to everybody.
pub fn udp4(mac: [u8; 6], from: Ipv4Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let body = udp(ports, data);
    let mut header = vec![0x45, 0];
    header.extend(((20 + body.len()) as u16).to_be_bytes());
    header.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    header.extend(from.octets());
    header.extend(Ipv4Addr::BROADCAST.octets());
    let checksum = sum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header.extend(body);
    ethernet(mac, BROADCAST, IPV4, &header)
}

fn ipv6(mac: [u8; 6], from: Ipv6Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend([protocol, 255]);
    packet.extend(from.octets());
    packet.extend("ff02::1".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(body);
    ethernet(mac, [0x33, 0x33, 0, 0, 0, 1], IPV6, &packet)
}

/// A UDP datagram over IPv6 to all nodes.
pub fn udp6(mac: [u8; 6], from: Ipv6Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    ipv6(mac, from, 17, &udp(ports, data))
}

/// An ICMPv6 message to all nodes. Its checksum is left out: the filters do not look at it.
pub fn icmp6(mac: [u8; 6], from: Ipv6Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
    ipv6(mac, from, 58, &[&[kind, 0, 0, 0], rest].concat())
}

/// Whether somebody on the segment says that an address is theirs, who has to, and be it late.
pub async fn is_answered(asker: &Place, mac: [u8; 6], own: &str, whose: &str) -> bool {
    for _ in 0..TRIES {
        if answers_arp(asker, mac, own, whose).await {
            return true;
        }
    }
    false
}

/// Whether anybody on the segment says that an address is theirs.
pub async fn answers_arp(asker: &Place, mac: [u8; 6], own: &str, whose: &str) -> bool {
    let (own, whose): (Ipv4Addr, Ipv4Addr) = (own.parse().unwrap(), whose.parse().unwrap());
    asker
        .run(move || async move {
            let socket = open();
            send(
                socket.as_raw_fd(),
                &arp(mac, 1, (mac, own), whose),
                MsgFlags::empty(),
            )
            .unwrap();
            // Operation 2, an answer, after the lengths of the addresses.
            arrives(&socket, &[6, 4, 0, 2]).await
        })
        .await
}
