//! The texts that dnsmasq reads (dnsmasq(8)). Pure.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::NetworkPlacement;
use sha2::{Digest, Sha256};

use crate::layout::SEGMENT_LINK;

/// How long a client may use its address before it asks again.
const LEASE_TIME: &str = "1h";
/// The same for IPv6: shorter, as dnsmasq holds an IPv6 address for the system that had it (by DUID), and
/// another one on the same interface waits until that is over. Long enough for a router to be restarted.
const LEASE_TIME_IPV6: &str = "10m";
/// Seconds between router advertisements, and how long one holds.
const ADVERTISEMENT: (u32, u32) = (60, 1800);

/// The metadata service, which is on the link: each instance's own hypervisor.
const METADATA: &str = "169.254.169.254/32";

pub(super) fn dhcp_hosts(folder: &Path) -> PathBuf {
    folder.join("dhcp.hosts")
}

pub(super) fn dns_hosts(folder: &Path) -> PathBuf {
    folder.join("dns.hosts")
}

pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("handed-out")
}

pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("dnsmasq.log")
}

/// 16 hexadecimal digits that name a text.
pub(super) fn fingerprint(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

/// The configuration: what does not change while leases come and go.
pub(super) fn text(spec: &NetworkPlacement, folder: &Path, upstream: &[IpAddr]) -> String {
    let folder_text = |path: PathBuf| path.display().to_string();
    let (router4, router6, domain) = (spec.router_ipv4(), spec.router_ipv6(), &spec.domain);
    let mut lines = vec![
        format!(
            "# The network {} of the project {}. Written by rhyzome-linux.",
            spec.name, spec.project
        ),
        "user=root".to_owned(),
        "group=root".to_owned(),
        "pid-file=".to_owned(),
        format!("log-facility={}", folder_text(log(folder))),
        "quiet-dhcp".to_owned(),
        "quiet-dhcp6".to_owned(),
        "quiet-ra".to_owned(),
        format!("interface={SEGMENT_LINK}"),
        "except-interface=lo".to_owned(),
        "bind-interfaces".to_owned(),
        // DNS.
        "no-hosts".to_owned(),
        "no-resolv".to_owned(),
        "no-poll".to_owned(),
        format!("addn-hosts={}", folder_text(dns_hosts(folder))),
        format!("domain={domain}"),
        format!("local=/{domain}/"),
        "domain-needed".to_owned(),
        "bogus-priv".to_owned(),
    ];
    lines.extend(upstream.iter().map(|server| format!("server={server}")));
    lines.extend([
        // DHCP: those in the file, and nobody else.
        "dhcp-authoritative".to_owned(),
        "dhcp-ignore-names".to_owned(),
        "no-ping".to_owned(),
        "dhcp-lease-max=200000".to_owned(),
        format!("dhcp-leasefile={}", folder_text(database(folder))),
        format!("dhcp-hostsfile={}", folder_text(dhcp_hosts(folder))),
        format!(
            "dhcp-range={},static,{},{LEASE_TIME}",
            spec.ipv4.network(),
            spec.ipv4.netmask()
        ),
        format!(
            "dhcp-range={},static,{},{LEASE_TIME_IPV6}",
            spec.ipv6.network(),
            spec.ipv6.prefix_len()
        ),
        format!("dhcp-option=option:mtu,{}", spec.mtu),
        format!("dhcp-option=option:router,{router4}"),
        format!("dhcp-option=option:dns-server,{router4}"),
        format!("dhcp-option=option:domain-search,{domain}"),
        format!("dhcp-option=option6:dns-server,[{router6}]"),
        format!("dhcp-option=option6:domain-search,{domain}"),
    ]);
    // Who knows this option takes its routes alone, not the router's of above (RFC 3442).
    let way_out = match spec.egress {
        true => "0.0.0.0/0".to_owned(),
        false => spec.peers_ipv4.to_string(),
    };
    lines.push(format!(
        "dhcp-option=option:classless-static-route,{way_out},{router4},{METADATA},0.0.0.0"
    ));
    let (interval, lifetime) = ADVERTISEMENT;
    lines.extend([
        "enable-ra".to_owned(),
        // dnsmasq can advertise no route but the default one, and without it instances could not
        // answer peers over IPv6. Low preference: any other router's goes first (RFC 4191).
        format!(
            "ra-param={SEGMENT_LINK},mtu:{},low,{interval},{lifetime}",
            spec.mtu
        ),
    ]);
    lines.push(String::new());
    lines.join("\n")
}

/// The files that are read again on SIGHUP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// Who gets which addresses.
    pub dhcp: String,
    /// Names and their addresses.
    pub dns: String,
    /// A name among them that stands for exactly these files; its address is the router's.
    pub name: String,
}

impl Files {
    /// Both files from the leases, in the order of their addresses.
    pub fn of<'a>(
        spec: &NetworkPlacement,
        leases: impl Iterator<Item = &'a LeasePlacement>,
    ) -> Self {
        let mut leases: Vec<&LeasePlacement> = leases.collect();
        leases.sort_by_key(|lease| (lease.ipv4, lease.lease));
        let (mut dhcp, mut dns) = (String::new(), String::new());
        for lease in leases {
            let LeasePlacement {
                hostname,
                mac,
                ipv4,
                ipv6,
                ..
            } = lease;
            // Writing to a String cannot fail.
            // The interface counts, whatever system on it says of itself: one that starts from a
            // network or is installed anew has another id and the same address.
            let _ = writeln!(dhcp, "{mac},id:*,{ipv4},[{ipv6}],{hostname}");
            let _ = writeln!(dns, "{ipv4} {hostname}.{} {hostname}", spec.domain);
            let _ = writeln!(dns, "{ipv6} {hostname}.{} {hostname}", spec.domain);
        }
        let name = format!("_{}.{}", fingerprint(&format!("{dhcp}{dns}")), spec.domain);
        let _ = writeln!(dns, "{} {name}", spec.router_ipv4());
        Self { dhcp, dns, name }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::samples::network as spec;
    use rhyzome_model::{LeaseId, NetworkId};
    use uuid::Uuid;

    fn lease(number: u8, name: &str) -> LeasePlacement {
        LeasePlacement {
            lease: LeaseId(Uuid::from_u128(number.into())),
            network: NetworkId(Uuid::nil()),
            hostname: name.parse().unwrap(),
            mac: rhyzome_model::MacAddr::qemu([0, 0, number]),
            ipv4: [10, 1, 2, number].into(),
            ipv6: format!("fd00:1:2:3::{number:x}").parse().unwrap(),
        }
    }

    #[test]
    fn a_closed_network_asks_nobody_outside_and_routes_to_peers_only() {
        insta::assert_snapshot!(text(&spec(false), Path::new("/state/networks/0"), &[]));
    }

    #[test]
    fn a_network_with_egress_asks_the_servers_above() {
        let text = text(&spec(true), Path::new("/state"), &[[192, 0, 2, 1].into()]);
        assert!(text.contains("\nserver=192.0.2.1\n"));
        assert!(text.contains("\ndhcp-option=option:router,10.1.2.1\n"));
        let routes = "0.0.0.0/0,10.1.2.1,169.254.169.254/32,0.0.0.0";
        assert!(text.contains(&format!(
            "\ndhcp-option=option:classless-static-route,{routes}\n"
        )));
    }

    #[test]
    fn the_files_follow_from_the_leases_and_not_from_their_order() {
        let (two, three) = (lease(2, "web"), lease(3, "db"));
        let files = Files::of(&spec(false), [&three, &two].into_iter());
        assert_eq!(files, Files::of(&spec(false), [&two, &three].into_iter()));
        insta::assert_snapshot!(format!("{}--\n{}", files.dhcp, files.dns));
        assert_ne!(files.name, Files::of(&spec(false), [&two].into_iter()).name);
    }
}
