//! What the kernel says of links, addresses, VLANs, routes and routing rules, by the command `ip`.
//!
//! busybox's, which OpenWrt has, knows neither JSON nor details; its lines are those of iproute2.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::LookError;
use crate::system::System;

/// A link, and its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Not whether it has a carrier.
    pub up: bool,
    pub mtu: u32,
    pub mac: Option<String>,
    /// The bridge that it is a port of.
    pub bridge: Option<String>,
    pub addresses: Vec<IpNet>,
}

/// A route of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub to: IpNet,
    pub device: String,
    pub table: u32,
}

/// A rule that sends what comes from a prefix to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub from: IpNet,
    pub table: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// By name.
    pub links: BTreeMap<String, Link>,
    /// The number and the lower link of those that are VLANs.
    pub vlans: BTreeMap<String, (u16, String)>,
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
}

pub(super) async fn look(system: &System) -> Result<Links, LookError> {
    let ip = async |words: &[&str]| -> Result<String, LookError> {
        Ok(system.run("ip", words).await?.good()?)
    };
    let mut links = read_links(&ip(&["-o", "link", "show"]).await?);
    for (name, address) in read_addresses(&ip(&["-o", "addr", "show"]).await?) {
        links.entry(name).or_default().addresses.push(address);
    }
    let mut found = Links {
        links,
        ..Links::default()
    };
    for family in ["-4", "-6"] {
        let routes = ip(&[family, "route", "show", "table", "all"]).await?;
        found.routes.extend(read_routes(&routes));
        let rules = ip(&[family, "rule", "show"]).await?;
        found.rules.extend(read_rules(&rules));
    }
    // There is no such file where the kernel knows no VLANs.
    let vlans = system.run("cat", &["/proc/net/vlan/config"]).await?;
    found.vlans = read_vlans(&vlans.said);
    Ok(found)
}

/// `5: rz_v100@eth2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 … link/ether 02:00:00:00:00:01 brd …`
fn read_links(text: &str) -> BTreeMap<String, Link> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let name = words.next()?.trim_end_matches(':');
            let name = name.split_once('@').map_or(name, |(name, _)| name);
            let flags = words.next()?.trim_matches(['<', '>']);
            let after = |word: &str| {
                let mut words = line.split_whitespace();
                words.find(|found| *found == word)?;
                words.next()
            };
            let link = Link {
                up: flags.split(',').any(|flag| flag == "UP"),
                mtu: after("mtu")?.parse().ok()?,
                mac: after("link/ether").map(str::to_owned),
                bridge: after("master").map(str::to_owned),
                addresses: Vec::new(),
            };
            Some((name.to_owned(), link))
        })
        .collect()
}

/// `5: rz_v100    inet 10.1.1.1/24 brd 10.1.1.255 scope global rz_v100\ …`
fn read_addresses(text: &str) -> Vec<(String, IpNet)> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let name = words.next()?.trim_end_matches(':');
            let name = name.split_once('@').map_or(name, |(name, _)| name);
            if !matches!(words.next()?, "inet" | "inet6") {
                return None;
            }
            Some((name.to_owned(), prefix(words.next()?)?))
        })
        .collect()
}

/// The word behind another one.
fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    words.find(|found| *found == word)?;
    words.next()
}

/// `10.200.0.0/16 dev rz_v100_wg table 100000100 scope link`
fn read_routes(text: &str) -> Vec<Route> {
    text.lines()
        .filter_map(|line| {
            Some(Route {
                to: prefix(line.split_whitespace().next()?)?,
                device: after(line, "dev")?.to_owned(),
                table: after(line, "table")?.parse().ok()?,
            })
        })
        .collect()
}

/// `10000: from 10.1.1.0/24 lookup 100000100`
fn read_rules(text: &str) -> Vec<Rule> {
    text.lines()
        .filter_map(|line| {
            Some(Rule {
                from: prefix(after(line, "from")?)?,
                table: after(line, "lookup")?.parse().ok()?,
            })
        })
        .collect()
}

/// `rz_v100        | 100  | eth2`, below two lines of headings.
fn read_vlans(text: &str) -> BTreeMap<String, (u16, String)> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.split('|').map(str::trim);
            let name = parts.next()?.to_owned();
            let number = parts.next()?.parse().ok()?;
            Some((name, (number, parts.next()?.to_owned())))
        })
        .collect()
}

fn prefix(text: &str) -> Option<IpNet> {
    let address = |text: &str| text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(|| address(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_says_which_bridge_it_is_in() {
        let text = "7: eth0: <BROADCAST,UP> mtu 1500 qdisc fq_codel master br-lan qlen 1000\\    link/ether 02:00:00:00:00:01\n";
        assert_eq!(read_links(text)["eth0"].bridge.as_deref(), Some("br-lan"));
    }

    #[test]
    fn links_are_read_from_busybox_and_from_iproute2() {
        for text in [
            "5: rz_v100@eth2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue qlen 1000\\    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n",
            "5: rz_v100@eth2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP mode DEFAULT group default qlen 1000\\    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n",
        ] {
            let link = &read_links(text)["rz_v100"];
            assert!(link.up && link.bridge.is_none());
            assert_eq!(
                (link.mtu, link.mac.as_deref()),
                (1450, Some("02:00:00:00:00:01"))
            );
        }
        let down =
            "6: rz_v1_wg: <POINTOPOINT,NOARP> mtu 1420 qdisc noop state DOWN\\    link/none \n";
        let link = &read_links(down)["rz_v1_wg"];
        assert!(!link.up && link.mac.is_none());
    }

    #[test]
    fn addresses_are_read_with_their_length() {
        let text = "5: rz_v100    inet 10.1.1.1/24 brd 10.1.1.255 scope global rz_v100\\       valid_lft forever\n\
                    5: rz_v100    inet6 fd00::1/64 scope global \\       valid_lft forever\n\
                    6: rz_v100_wg    inet 10.2.0.1 peer 10.2.0.2/32 scope global\n";
        let read = read_addresses(text);
        assert_eq!(
            read[0],
            ("rz_v100".to_owned(), "10.1.1.1/24".parse().unwrap())
        );
        assert_eq!(
            read[1],
            ("rz_v100".to_owned(), "fd00::1/64".parse().unwrap())
        );
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn routes_and_rules_of_tables_are_read_and_all_else_left_out() {
        let routes = "10.200.0.0/16 dev rz_v100_wg table 100000100 proto static scope link\n\
                      default via 192.0.2.254 dev eth1\n\
                      10.200.0.7 dev rz_v100_wg table 100000100\n\
                      broadcast 10.1.1.255 dev rz_v100 table local\n";
        let read = read_routes(routes);
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].to, "10.200.0.7/32".parse().unwrap());
        assert_eq!(
            (&*read[0].device, read[0].table),
            ("rz_v100_wg", 100_000_100)
        );
        let rules = "0:\tfrom all lookup local\n10000:\tfrom 10.1.1.0/24 lookup 100000100\n";
        let rule = Rule {
            from: "10.1.1.0/24".parse().unwrap(),
            table: 100_000_100,
        };
        assert_eq!(read_rules(rules), [rule]);
    }

    #[test]
    fn vlans_are_read_as_the_kernel_lists_them() {
        let text = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                    rz_v100        | 100  | eth2\n";
        assert_eq!(
            read_vlans(text),
            BTreeMap::from([("rz_v100".to_owned(), (100, "eth2".to_owned()))])
        );
    }
}
