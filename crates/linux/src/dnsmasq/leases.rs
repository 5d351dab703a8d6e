//! dnsmasq's own record of what it handed out, and what of it does not hold any more. Pure.
//!
//! A line for each lease: `<expiry> <mac> <ipv4> <name> <client id>`; then `duid <server's id>`, and
//! for DHCPv6 `<expiry> <iaid> <ipv6> <name> <client's id>`.

use std::collections::HashSet;

/// The record without leases of addresses that are nobody's, or another's than they were handed to.
/// `before` and `after` are the files that say who gets which addresses.
pub(super) fn keep(record: &str, before: &str, after: &str) -> String {
    let now: HashSet<Host> = after.lines().filter_map(Host::parse).collect();
    let pairs: HashSet<(&str, &str)> = now.iter().map(|host| (host.mac, host.ipv4)).collect();
    let gone: HashSet<&str> = before
        .lines()
        .filter_map(Host::parse)
        .filter(|host| !now.contains(host))
        .map(|host| host.ipv6)
        .collect();
    let owners: HashSet<(&str, &str)> = now.iter().map(|host| (host.ipv6, host.name)).collect();
    let holds = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [_, mac, ipv4, _, _] if ipv4.contains('.') => pairs.contains(&(mac, ipv4)),
            [_, _, ipv6, name, _] => owners.contains(&(ipv6, name)) && !gone.contains(ipv6),
            // The server's own id.
            _ => true,
        }
    };
    let mut kept: String = record.lines().filter(holds).collect::<Vec<_>>().join("\n");
    if record.ends_with('\n') && !kept.is_empty() {
        kept.push('\n');
    }
    kept
}

/// A line of the hosts file.
#[derive(PartialEq, Eq, Hash)]
struct Host<'a> {
    mac: &'a str,
    ipv4: &'a str,
    ipv6: &'a str,
    name: &'a str,
}

impl<'a> Host<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(',');
        let (mac, _any_id, ipv4) = (fields.next()?, fields.next()?, fields.next()?);
        let ipv6 = fields.next()?.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            mac,
            ipv4,
            ipv6,
            name: fields.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "52:54:00:00:00:02,id:*,10.1.2.2,[fd00::2],web\n";
    const DB: &str = "52:54:00:00:00:03,id:*,10.1.2.3,[fd00::3],db\n";
    const RECORD: &str = "1800000000 52:54:00:00:00:02 10.1.2.2 web *\n\
                          1800000000 52:54:00:00:00:03 10.1.2.3 db *\n\
                          duid 00:01:00:01\n\
                          1800000000 7 fd00::2 web 00:03:00:01:52:54:00:00:00:02\n\
                          1800000000 8 fd00::3 db 00:03:00:01:52:54:00:00:00:03\n";

    fn check(before: &str, after: &str, expect: &[&str]) {
        let kept = keep(RECORD, before, after);
        let kept: Vec<&str> = kept
            .lines()
            .filter(|line| !line.starts_with("duid"))
            .collect();
        let kept: Vec<&str> = kept
            .iter()
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        assert_eq!(kept, expect);
    }

    #[test]
    fn only_leases_of_those_that_still_have_the_address_stay() {
        let both = format!("{WEB}{DB}");
        check(
            &both,
            &both,
            &["10.1.2.2", "10.1.2.3", "fd00::2", "fd00::3"],
        );
        check(&both, WEB, &["10.1.2.2", "fd00::2"]);
        check(&both, "", &[]);
        let moved = format!("{WEB}52:54:00:00:00:09,id:*,10.1.2.3,[fd00::3],db\n");
        check(&both, &moved, &["10.1.2.2", "fd00::2"]);
        let swapped = "52:54:00:00:00:02,id:*,10.1.2.3,[fd00::3],web\n52:54:00:00:00:03,id:*,10.1.2.2,[fd00::2],db\n";
        check(&both, swapped, &[]);
    }

    #[test]
    fn the_servers_own_id_stays() {
        assert_eq!(keep(RECORD, "", ""), "duid 00:01:00:01\n");
        assert_eq!(keep("", "", WEB), "");
    }
}
