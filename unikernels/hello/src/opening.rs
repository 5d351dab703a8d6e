//! Connections that are opening, so that a client's repeated SYN opens no second one.
//!
//! The stack hands a segment to the first of its sockets that takes it, and every listening socket takes any SYN. A client
//! repeats its SYN when the answer is late, as it is while the stack looks for its gateway: a second socket would then
//! open the same connection with a sequence number of its own, and the two would make the client reset it. Such a SYN is
//! dropped: the socket that took the first one repeats its answer anyway.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// More are not remembered, and their SYNs pass.
const MOST: usize = 64;

const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Who is opening a connection.
pub struct Opening {
    from: [SocketAddr; MOST],
    len: usize,
}

impl Default for Opening {
    fn default() -> Self {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            from: [nobody; MOST],
            len: 0,
        }
    }
}

impl Opening {
    /// Remembers these alone.
    pub fn set(&mut self, from: impl Iterator<Item = SocketAddr>) {
        self.len = 0;
        from.for_each(|from| self.add(from));
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a frame may go on to the stack; takes note of those that open a connection.
    pub fn admits(&mut self, frame: &[u8]) -> bool {
        let Some(from) = opens(frame) else {
            return true;
        };
        if self.from[..self.len].contains(&from) {
            return false;
        }
        self.add(from);
        true
    }

    fn add(&mut self, from: SocketAddr) {
        if let Some(slot) = self.from.get_mut(self.len) {
            *slot = from;
            self.len += 1;
        }
    }
}

/// Who a frame is from, if it opens a TCP connection (RFC 9293, 3.1; RFC 791, 3.1; RFC 8200, 3).
fn opens(frame: &[u8]) -> Option<SocketAddr> {
    let packet = frame.get(ETHERNET_HEADER..)?;
    let (from, segment) = match frame.get(12..ETHERNET_HEADER)? {
        [0x08, 0x00] => ipv4(packet)?,
        [0x86, 0xdd] => ipv6(packet)?,
        _ => return None,
    };
    let flags = *segment.get(13)?;
    let port = u16::from_be_bytes([segment[0], segment[1]]);
    (flags & (SYN | ACK) == SYN).then_some(SocketAddr::new(from, port))
}

fn ipv4(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let segment = packet.get(header..)?;
    (packet[9] == TCP).then_some((IpAddr::V4(Ipv4Addr::from(from)), segment))
}

/// A segment behind extension headers is not looked for: no client sends any.
fn ipv6(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let from: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
    let segment = packet.get(IPV6_HEADER..)?;
    (packet[6] == TCP).then_some((IpAddr::V6(Ipv6Addr::from(from)), segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(port: u16, flags: u8) -> Vec<u8> {
        let mut segment = vec![0; 20];
        segment[..2].copy_from_slice(&port.to_be_bytes());
        segment[13] = flags;
        segment
    }

    fn frame(kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
        [&[0; 12][..], &kind, packet].concat()
    }

    fn over_ipv4(from: [u8; 4], port: u16, flags: u8) -> Vec<u8> {
        // With one word of options.
        let mut packet = vec![0; 24];
        packet[0] = 0x46;
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&from);
        packet.extend(segment(port, flags));
        frame([0x08, 0x00], &packet)
    }

    fn over_ipv6(from: &str, port: u16, flags: u8) -> Vec<u8> {
        let mut packet = vec![0; IPV6_HEADER];
        packet[0] = 0x60;
        packet[6] = TCP;
        packet[8..24].copy_from_slice(&from.parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(segment(port, flags));
        frame([0x86, 0xdd], &packet)
    }

    #[test]
    fn a_syn_passes_once_while_its_connection_opens() {
        let mut opening = Opening::default();
        let first = over_ipv4([10, 0, 0, 5], 4000, SYN);
        assert!(opening.admits(&first));
        assert!(!opening.admits(&first));
        assert!(opening.admits(&over_ipv4([10, 0, 0, 5], 4001, SYN)));
        assert!(opening.admits(&over_ipv4([10, 0, 0, 6], 4000, SYN)));
        let sixth = over_ipv6("fd00::5", 4000, SYN);
        assert!(opening.admits(&sixth));
        assert!(!opening.admits(&sixth));
        // It has opened, or was given up.
        opening.set(["10.0.0.6:4000".parse().unwrap()].into_iter());
        assert!(opening.admits(&first));
        assert!(!opening.admits(&over_ipv4([10, 0, 0, 6], 4000, SYN)));
    }

    #[test]
    fn what_opens_no_connection_passes_always() {
        let mut opening = Opening::default();
        let answer = over_ipv4([10, 0, 0, 5], 4000, SYN | ACK);
        let data = over_ipv6("fd00::5", 4000, ACK);
        let mut datagram = over_ipv4([10, 0, 0, 5], 4000, SYN);
        datagram[ETHERNET_HEADER + 9] = 17;
        for frame in [answer, data, datagram, frame([0x08, 0x06], &[1; 28])] {
            assert!(opening.admits(&frame) && opening.admits(&frame));
        }
        assert!(opening.is_empty());
    }

    #[test]
    fn a_frame_that_is_cut_off_anywhere_is_no_trouble() {
        for whole in [
            over_ipv4([10, 0, 0, 5], 4000, SYN),
            over_ipv6("fd00::5", 4000, SYN),
        ] {
            let flags = whole.len() - 6;
            for len in 0..whole.len() {
                assert_eq!(opens(&whole[..len]).is_some(), len > flags - 1);
            }
        }
    }

    #[test]
    fn more_than_can_be_remembered_pass() {
        let mut opening = Opening::default();
        for port in 1..=100 {
            assert!(opening.admits(&over_ipv4([10, 0, 0, 5], port, SYN)));
        }
        assert!(!opening.admits(&over_ipv4([10, 0, 0, 5], 1, SYN)));
        assert!(opening.admits(&over_ipv4([10, 0, 0, 5], 100, SYN)));
    }
}
