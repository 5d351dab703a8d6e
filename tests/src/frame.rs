//! Frames made by hand and caught below everything that would look at them (packet(7)).

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv,
    send, socket,
};

use crate::wait::eventually;

const BROADCAST: [u8; 6] = [0xff; 6];
const IPV4: [u8; 2] = [0x08, 0x00];

/// A socket that sends and sees all frames of a link of the calling thread's namespace.
pub struct Frames(OwnedFd);

impl Frames {
    /// # Panics
    /// Where there is no such link, or the rights are missing.
    pub fn open(link: &str) -> Self {
        let (kind, flags) = (SockType::Raw, SockFlag::SOCK_NONBLOCK);
        let fd = socket(AddressFamily::Packet, kind, flags, SockProtocol::EthAll);
        let fd = fd.expect("needs root");
        let index = nix::net::if_::if_nametoindex(link);
        let index = index.unwrap_or_else(|error| panic!("the link {link}: {error}"));
        // SAFETY: all zeroes are a good sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("17");
        address.sll_protocol = u16::try_from(libc::ETH_P_ALL).expect("3").to_be();
        address.sll_ifindex = index.cast_signed();
        let size = u32::try_from(size_of::<libc::sockaddr_ll>()).expect("20");
        // SAFETY: the address is a sockaddr_ll of that size.
        let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(size)) };
        let address = address.expect("it is one of a link");
        bind(fd.as_raw_fd(), &address).unwrap_or_else(|error| panic!("the link {link}: {error}"));
        Self(fd)
    }

    /// # Panics
    /// Where the link is down.
    pub fn send(&self, frame: &[u8]) {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()));
    }

    /// Hands over all frames that passed since this was opened, until one with these bytes passes.
    /// Says whether it did within the bound.
    pub fn collect_until(&self, last: &[u8], bound: Duration, mut take: impl FnMut(&[u8])) -> bool {
        let mut buffer = [0; 4096];
        eventually(bound, || {
            while let Ok(size) = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                let frame = &buffer[..size];
                if frame.windows(last.len()).any(|part| part == last) {
                    return true;
                }
                take(frame);
            }
            false
        })
    }
}

/// A UDP datagram over IPv4 (RFC 791, RFC 768) to everybody, without the checksum that UDP may omit.
pub fn udp_to_all(mac: [u8; 6], from: Ipv4Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| {
        u16::try_from(bytes)
            .expect("a short datagram")
            .to_be_bytes()
    };
    let mut header = vec![0x45, 0];
    header.extend(length(28 + data.len()));
    header.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    header.extend(from.octets());
    header.extend(Ipv4Addr::BROADCAST.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&BROADCAST[..], &mac, &IPV4, &header].concat();
    frame.extend(ports.0.to_be_bytes());
    frame.extend(ports.1.to_be_bytes());
    frame.extend(length(8 + data.len()));
    frame.extend([0, 0]);
    frame.extend(data);
    frame
}

/// That of the Internet (RFC 1071), of an even number of bytes.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("16 bits")
}
