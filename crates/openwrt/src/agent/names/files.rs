//! What hosts(5) and resolv.conf(5) say. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// More servers than this are not asked (`MAXNS`).
const MOST_SERVERS: usize = 3;

/// The addresses of a host, in the file's order.
pub fn hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let named = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|name| name.eq_ignore_ascii_case(host))
            .then_some(address)
    });
    named.collect()
}

/// Who is asked, and for what names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Each with the number of its interface, which is 0 unless its address is of a link.
    pub servers: Vec<(IpAddr, u32)>,
    search: Vec<String>,
}

impl Asked {
    /// What cannot be understood says nothing. Where no server is named, this machine is asked, as libc does.
    pub fn read(text: &str) -> Self {
        let (mut servers, mut search) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                // The last one counts.
                Some("search" | "domain") => search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        servers.truncate(MOST_SERVERS);
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST.into(), 0));
        }
        Self { servers, search }
    }

    /// What a name may stand for: one without a dot is looked for in the search list first.
    pub fn candidates(&self, host: &str) -> Vec<String> {
        let searched = self.search.iter().filter(|_| !host.contains('.'));
        let searched = searched.map(|suffix| format!("{host}.{suffix}"));
        searched.chain([host.to_owned()]).collect()
    }
}

/// An address, with the interface behind a percent sign where it is of a link.
fn server(word: &str) -> Option<(IpAddr, u32)> {
    let (address, interface) = word.split_once('%').unwrap_or((word, ""));
    let index = nix::net::if_::if_nametoindex(interface).unwrap_or(0);
    Some((address.parse().ok()?, index))
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the DNS server at ")?;
        for (number, (address, _)) in self.servers.iter().enumerate() {
            let before = if number > 0 { " or " } else { "" };
            write!(f, "{before}{address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_hosts_file_gives_all_addresses_of_a_name_or_an_alias() {
        let text = "127.0.0.1 localhost\n# 192.0.2.9 core\n192.0.2.1\tCore.Example core # not other\n\
            nonsense core\n2001:db8::1 core\n\n";
        assert_eq!(hosts(text, "core"), [ip("192.0.2.1"), ip("2001:db8::1")]);
        assert_eq!(hosts(text, "core.example"), [ip("192.0.2.1")]);
        for nobody in ["other", "not", "192.0.2.1", ""] {
            assert_eq!(hosts(text, nobody), Vec::<IpAddr>::new(), "{nobody}");
        }
    }

    #[test]
    fn servers_and_search_lists_are_read_and_the_rest_says_nothing() {
        let text = "# by hand\nsearch old\nnameserver 192.0.2.1\nnameserver\nnameserver x\noptions ndots:5\n\
            nameserver fe80::1%lo\n search lan example.org \nnameserver ::1\nnameserver 192.0.2.4\n";
        let asked = Asked::read(text);
        let expect = [(ip("192.0.2.1"), 0), (ip("fe80::1"), 1), (ip("::1"), 0)];
        assert_eq!(asked.servers, expect);
        assert_eq!(
            asked.candidates("core"),
            ["core.lan", "core.example.org", "core"]
        );
        assert_eq!(asked.candidates("core.example"), ["core.example"]);
        assert_eq!(
            asked.to_string(),
            "the DNS server at 192.0.2.1 or fe80::1 or ::1"
        );
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        assert_eq!(Asked::read("").servers, [(ip("127.0.0.1"), 0)]);
    }
}
