//! What the operator decides of the site as a whole: its name, and the pools that addresses are out of.

use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_app::SiteSettings;
use rhyzome_model::Name;
use rhyzome_model::segment::VlanId;
use rhyzome_settings::Complaint;
use serde::{Deserialize, Serialize};

/// The shortest and the longest silence that may count as an end, in seconds.
const GONE_AFTER: (u32, u32) = (10, 3600);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// What people call it.
    pub name: String,
    /// The DNS domain that networks' domains are under.
    pub domain: String,
    /// From which all addresses follow; drawn at the first start where none is given, and kept.
    pub seed: Option<String>,
    /// Networks' IPv4 prefixes are out of this.
    pub ipv4_pool: Ipv4Net,
    /// Networks' IPv6 prefixes are out of this /48; it follows from the seed where none is given.
    pub ipv6_prefix: Option<Ipv6Net>,
    /// Peers' IPv4 addresses are out of this.
    pub peers_ipv4: Ipv4Net,
    /// Peers' IPv6 addresses are out of this /64; the first of the site's /48 where none is given.
    pub peers_ipv6: Option<Ipv6Net>,
    /// The UDP port at which the hosts' tunnels (VXLAN) end.
    pub tunnel_port: u16,
    /// The VLANs that networks may have on the trunks of the site's hosts, first and last.
    pub vlans: (u16, u16),
    /// How long a component may be silent before it counts as gone, in seconds.
    pub gone_after: u32,
}

impl Default for Site {
    fn default() -> Self {
        let settings = SiteSettings::default();
        Self {
            name: settings.name,
            domain: settings.domain,
            seed: settings.seed,
            ipv4_pool: settings.ipv4_pool,
            ipv6_prefix: settings.ipv6_prefix,
            peers_ipv4: settings.peers_ipv4,
            peers_ipv6: settings.peers_ipv6,
            tunnel_port: settings.tunnel_port,
            vlans: (settings.vlans.0.get(), settings.vlans.1.get()),
            gone_after: 30,
        }
    }
}

impl Site {
    /// As the core takes it.
    pub fn settings(&self) -> SiteSettings {
        SiteSettings {
            name: self.name.clone(),
            domain: self.domain.clone(),
            seed: self.seed.clone(),
            ipv4_pool: self.ipv4_pool,
            ipv6_prefix: self.ipv6_prefix,
            peers_ipv4: self.peers_ipv4,
            peers_ipv6: self.peers_ipv6,
            tunnel_port: self.tunnel_port,
            // Checked before; the default is taken for what is none.
            vlans: self.vlans().unwrap_or(SiteSettings::default().vlans),
            gone_after: Duration::from_secs(self.gone_after.into()),
            ..SiteSettings::default()
        }
    }

    fn vlans(&self) -> Option<(VlanId, VlanId)> {
        let (first, last) = self.vlans;
        let range = (first.try_into().ok()?, last.try_into().ok()?);
        (range.0 <= range.1).then_some(range)
    }

    pub fn check(&self, complaints: &mut Vec<Complaint>) {
        let mut complain = |key, wrong: Option<String>| {
            complaints.extend(wrong.map(|reason| Complaint { key, reason }));
        };
        complain(
            "site.name",
            self.name
                .parse::<Name>()
                .err()
                .map(|error| error.to_string()),
        );
        complain("site.domain", wrong_domain(&self.domain));
        complain("site.ipv4_pool", wrong_pool(self.ipv4_pool, 22));
        complain("site.peers_ipv4", wrong_pool(self.peers_ipv4, 28));
        complain(
            "site.ipv6_prefix",
            self.ipv6_prefix.and_then(|net| wrong_ipv6(net, 48)),
        );
        complain(
            "site.peers_ipv6",
            self.peers_ipv6.and_then(|net| wrong_ipv6(net, 64)),
        );
        let wrong_port = (self.tunnel_port == 0).then(|| "0 is no UDP port".to_owned());
        complain("site.tunnel_port", wrong_port);
        let no_range = || {
            let (first, last) = self.vlans;
            format!("{first} to {last} is no range of VLANs: 1 to 4094 are possible")
        };
        complain("site.vlans", self.vlans().is_none().then(no_range));
        let (least, most) = GONE_AFTER;
        let wrong = !(least..=most).contains(&self.gone_after);
        let why = || {
            format!(
                "{} s: {least} to {most} are possible; components say every 5 s that they live",
                self.gone_after
            )
        };
        complain("site.gone_after", wrong.then(why));
        let (pool, peers) = (self.ipv4_pool, self.peers_ipv4);
        if pool.contains(&peers) || peers.contains(&pool) {
            let why = format!("{peers} overlaps site.ipv4_pool {pool}; peers need their own");
            complain("site.peers_ipv4", Some(why));
        }
    }
}

fn wrong_domain(domain: &str) -> Option<String> {
    let label = |label: &str| {
        let inner = label
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    // Room for `<instance>.<network>.<project>.` with names of 40 bytes.
    let good = domain.len() <= 120 && domain.split('.').all(label);
    (!good).then(|| format!("{domain:?} is no DNS name in lower case of at most 120 bytes"))
}

fn wrong_pool(pool: Ipv4Net, longest: u8) -> Option<String> {
    if pool != pool.trunc() {
        return Some(format!(
            "{pool} has bits set behind its prefix; {} is meant?",
            pool.trunc()
        ));
    }
    (pool.prefix_len() > longest)
        .then(|| format!("{pool} is too small: at most /{longest} is possible"))
}

fn wrong_ipv6(prefix: Ipv6Net, length: u8) -> Option<String> {
    let good = prefix == prefix.trunc()
        && prefix.prefix_len() == length
        && prefix.addr().is_unique_local();
    (!good).then(|| format!("{prefix} is no /{length} out of fc00::/7"))
}
