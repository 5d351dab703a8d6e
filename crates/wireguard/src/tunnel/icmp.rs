//! What a network says about a destination that cannot be reached.
//!
//! The stack does not listen to ICMP, and without it a stopped instance would look like a slow one.
//! Only reports on TCP are read (RFC 792 and RFC 4443, section 3.1), and only a connection that is
//! not there yet is ended by one, as RFC 5461, section 4 describes: later they may be passing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The destination, or a firewall in its name, refuses that port.
    Refused,
    /// There is no way to the destination, or none that is allowed.
    NoRoute,
}

/// A report on one connection of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) verdict: Verdict,
}

const TCP: u8 = 6;

/// The report in an IP packet, if it is one.
pub(super) fn read(packet: &[u8]) -> Option<Report> {
    match packet.first()? >> 4 {
        4 => read_v4(packet),
        6 => read_v6(packet),
        _ => None,
    }
}

fn read_v4(packet: &[u8]) -> Option<Report> {
    const ICMP: u8 = 1;
    const UNREACHABLE: u8 = 3;
    const PORT: u8 = 3;
    const FRAGMENTATION_NEEDED: u8 = 4;
    let icmp = packet.get(header_v4(packet)?..)?;
    let (kind, code) = (*icmp.first()?, *icmp.get(1)?);
    if *packet.get(9)? != ICMP || kind != UNREACHABLE || code == FRAGMENTATION_NEEDED {
        return None;
    }
    let quoted = icmp.get(8..)?;
    if *quoted.get(9)? != TCP {
        return None;
    }
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 4] = quoted.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes).into())
    };
    let ports = quoted.get(header_v4(quoted)?..)?;
    report(address(12)?, address(16)?, ports, code == PORT)
}

fn read_v6(packet: &[u8]) -> Option<Report> {
    const ICMP: u8 = 58;
    const UNREACHABLE: u8 = 1;
    const PORT: u8 = 4;
    const HEADER: usize = 40;
    let icmp = packet.get(HEADER..)?;
    if *packet.get(6)? != ICMP || *icmp.first()? != UNREACHABLE {
        return None;
    }
    let quoted = icmp.get(8..)?;
    if *quoted.get(6)? != TCP {
        return None;
    }
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = quoted.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(bytes).into())
    };
    let ports = quoted.get(HEADER..)?;
    report(address(8)?, address(24)?, ports, *icmp.get(1)? == PORT)
}

/// The length of an IPv4 header with its options, in bytes.
fn header_v4(packet: &[u8]) -> Option<usize> {
    Some(usize::from(packet.first()? & 0x0f) * 4)
}

fn report(local: IpAddr, remote: IpAddr, ports: &[u8], refused: bool) -> Option<Report> {
    let port = |at: usize| -> Option<u16> {
        Some(u16::from_be_bytes([*ports.get(at)?, *ports.get(at + 1)?]))
    };
    Some(Report {
        local: SocketAddr::new(local, port(0)?),
        remote: SocketAddr::new(remote, port(2)?),
        verdict: match refused {
            true => Verdict::Refused,
            false => Verdict::NoRoute,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A report from 10.1.0.1 on a connection from 10.9.0.2:50000 to 10.1.0.7:22.
    fn v4(code: u8, protocol: u8) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[9] = 1;
        packet.extend([3, code, 0, 0, 0, 0, 0, 0]);
        let mut quoted = vec![0; 20];
        quoted[0] = 0x45;
        quoted[9] = protocol;
        quoted[12..16].copy_from_slice(&[10, 9, 0, 2]);
        quoted[16..20].copy_from_slice(&[10, 1, 0, 7]);
        packet.extend(quoted);
        packet.extend(50000u16.to_be_bytes());
        packet.extend(22u16.to_be_bytes());
        packet
    }

    #[test]
    fn a_report_names_the_connection_and_says_what_is_wrong() {
        let check = |code, expected| {
            let report = read(&v4(code, TCP)).unwrap();
            assert_eq!(report.local, "10.9.0.2:50000".parse().unwrap());
            assert_eq!(report.remote, "10.1.0.7:22".parse().unwrap());
            assert_eq!(report.verdict, expected, "code {code}");
        };
        check(0, Verdict::NoRoute);
        check(1, Verdict::NoRoute);
        check(3, Verdict::Refused);
        check(13, Verdict::NoRoute);
    }

    #[test]
    fn other_messages_and_halves_of_one_are_no_reports() {
        assert_eq!(read(&v4(4, TCP)), None, "a packet that was too large");
        assert_eq!(read(&v4(1, 17)), None, "a report on UDP");
        let whole = v4(1, TCP);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length} bytes of it");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            first in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
            rest in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut packet = vec![first];
            packet.extend(&rest);
            // A report carries ports, which are the last bytes that are looked at.
            prop_assert!(read(&packet).is_none() || packet.len() >= 20 + 8 + 4);
        }
    }
}
