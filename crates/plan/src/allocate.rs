//! Addresses, ports and MACs from the site's seed and the identity of what they are for.
//!
//! Each function gives candidates in a fixed order: the first follows from a hash of the identity, the
//! others from counting on. Whoever allocates takes the first that is free. So the same descriptions
//! applied in the same order to an empty site give the same addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_model::address::{nth_ipv4, nth_ipv6, usable_ipv4};
use rhyzome_model::segment::Vni;
use rhyzome_model::{MacAddr, Name};
use sha2::{Digest, Sha256};

/// The site's secret-free random text, from which all allocations follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed(pub String);

/// How many candidates are tried before a pool counts as exhausted: every one of small pools, enough
/// of large ones.
const TRIES: u64 = 4096;

impl Seed {
    /// 64 bits that follow from the seed, a purpose and the parts of an identity.
    fn hash(&self, purpose: &str, parts: &[&str]) -> u64 {
        let mut hash = Sha256::new();
        for part in [self.0.as_str(), purpose].iter().chain(parts) {
            // With its length, so that ("ab", "c") and ("a", "bc") differ.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        u64::from_be_bytes(
            digest[..8]
                .try_into()
                .expect("a SHA-256 digest has 32 bytes"),
        )
    }

    fn probe(
        &self,
        purpose: &str,
        parts: &[&str],
        count: u64,
    ) -> impl Iterator<Item = u64> + use<> {
        let start = self.hash(purpose, parts);
        (0..count.min(TRIES)).map(move |step| (start.wrapping_add(step)) % count.max(1))
    }

    /// The site's IPv6 prefix where none is configured: a /48 out of fd00::/8 (RFC 4193).
    pub fn site_ipv6(&self) -> Ipv6Net {
        let global = u128::from(self.hash("site-ipv6", &[]) >> 24);
        let address = Ipv6Addr::from((0xfd_u128 << 120) | (global << 80));
        Ipv6Net::new(address, 48).expect("48 is a prefix length")
    }

    /// /24s of the site's pool for a network.
    pub fn network_ipv4(
        &self,
        pool: Ipv4Net,
        project: &Name,
        network: &Name,
    ) -> impl Iterator<Item = Ipv4Net> + use<> {
        let length = pool.prefix_len().max(24);
        let count = 1u64 << (length - pool.prefix_len());
        self.probe("network-ipv4", &[project.as_str(), network.as_str()], count)
            .map(move |n| {
                let step =
                    u32::try_from(n << (32 - u32::from(length))).expect("inside a 32-bit pool");
                Ipv4Net::new(nth_ipv4(pool, step), length).expect("24 to 32 is a prefix length")
            })
    }

    /// /64s of the site's /48 for a network. Number 0 is the peers'.
    pub fn network_ipv6(
        &self,
        site: Ipv6Net,
        project: &Name,
        network: &Name,
    ) -> impl Iterator<Item = Ipv6Net> + use<> {
        let count = (1u64 << (64 - u32::from(site.prefix_len().min(64)))) - 1;
        self.probe("network-ipv6", &[project.as_str(), network.as_str()], count)
            .map(move |n| {
                let address = nth_ipv6(site, u128::from(n + 1) << 64);
                Ipv6Net::new(address, 64).expect("64 is a prefix length")
            })
    }

    /// UDP ports of a router's range for a network's endpoint.
    pub fn endpoint_port(
        &self,
        (first, last): (u16, u16),
        project: &Name,
        network: &Name,
    ) -> impl Iterator<Item = u16> + use<> {
        let count = u64::from(last.saturating_sub(first)) + 1;
        self.probe(
            "endpoint-port",
            &[project.as_str(), network.as_str()],
            count,
        )
        .map(move |n| first + u16::try_from(n).expect("inside a 16-bit range"))
    }

    /// Numbers on the wire for a network, site-wide: 24 bits, without the first ones, which people give
    /// to networks of their own.
    pub fn network_vni(&self, project: &Name, network: &Name) -> impl Iterator<Item = Vni> + use<> {
        const FIRST: u32 = 0x1000;
        let count = u64::from((1u32 << 24) - FIRST);
        self.probe("network-vni", &[project.as_str(), network.as_str()], count)
            .map(|n| {
                let number = FIRST + u32::try_from(n).expect("inside 24 bits");
                number.try_into().expect("inside 24 bits, and not 0")
            })
    }

    /// IPv4 addresses of a network for an instance's interface.
    pub fn lease_ipv4(
        &self,
        prefix: Ipv4Net,
        project: &Name,
        network: &Name,
        instance: &Name,
    ) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let parts = [project.as_str(), network.as_str(), instance.as_str()];
        self.probe("lease-ipv4", &parts, u64::from(usable_ipv4(prefix)))
            .map(move |n| {
                nth_ipv4(
                    prefix,
                    u32::try_from(n).expect("inside a 32-bit prefix") + 2,
                )
            })
    }

    /// IPv6 addresses of a network for an instance's interface: 32 bits behind the prefix, so that
    /// people can still read them; never the router's.
    pub fn lease_ipv6(
        &self,
        prefix: Ipv6Net,
        project: &Name,
        network: &Name,
        instance: &Name,
    ) -> impl Iterator<Item = Ipv6Addr> + use<> {
        let parts = [project.as_str(), network.as_str(), instance.as_str()];
        self.probe("lease-ipv6", &parts, (1 << 32) - 16)
            .map(move |n| nth_ipv6(prefix, u128::from(n) + 16))
    }

    /// Ethernet addresses for an instance's interface.
    pub fn lease_mac(
        &self,
        project: &Name,
        network: &Name,
        instance: &Name,
    ) -> impl Iterator<Item = MacAddr> + use<> {
        let parts = [project.as_str(), network.as_str(), instance.as_str()];
        self.probe("lease-mac", &parts, 1 << 24).map(|n| {
            let [.., a, b, c] = n.to_be_bytes();
            MacAddr::qemu([a, b, c])
        })
    }

    /// Address numbers for a peer, the same in the peers' IPv4 and IPv6 prefixes; number 0 is unused.
    pub fn peer(
        &self,
        (ipv4, ipv6): (Ipv4Net, Ipv6Net),
        project: &Name,
        peer: &Name,
    ) -> impl Iterator<Item = (Ipv4Addr, Ipv6Addr)> + use<> {
        let count = u64::from(usable_ipv4(ipv4));
        self.probe("peer", &[project.as_str(), peer.as_str()], count)
            .map(move |n| {
                let n = u32::try_from(n).expect("inside a 32-bit prefix") + 2;
                (nth_ipv4(ipv4, n), nth_ipv6(ipv6, u128::from(n)))
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn the_same_identity_gives_the_same_addresses_and_another_one_others() {
        let seed = Seed("site".to_owned());
        let pool: Ipv4Net = "10.64.0.0/10".parse().expect("a prefix");
        let first = |project, network| {
            seed.network_ipv4(pool, &name(project), &name(network))
                .next()
                .expect("a candidate")
        };
        assert_eq!(first("default", "lab"), first("default", "lab"));
        assert_ne!(first("default", "lab"), first("garden", "lab"));
        assert_ne!(first("ab", "c"), first("a", "bc"));
        insta::assert_snapshot!(first("default", "lab"), @"10.122.168.0/24");
    }

    proptest! {
        #[test]
        fn every_candidate_is_inside_its_pool_and_none_comes_twice(
            seed in "[a-z]{1,8}", length in 16u8..=29, project in "[a-z]{1,9}", instance in "[a-z]{1,9}",
        ) {
            let seed = Seed(seed);
            let prefix = Ipv4Net::new(Ipv4Addr::new(10, 9, 0, 0), length).expect("a prefix");
            let (project, instance) = (name(&project), name(&instance));
            let network = name("net");
            let all: Vec<_> = seed.lease_ipv4(prefix, &project, &network, &instance).collect();
            let mut unique = all.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), all.len());
            prop_assert_eq!(all.len(), usize::try_from(u64::from(usable_ipv4(prefix)).min(TRIES)).expect("small"));
            for address in all {
                prop_assert!(prefix.contains(&address));
                prop_assert!(address > rhyzome_model::address::router_ipv4(prefix));
                prop_assert!(address < prefix.broadcast());
            }
        }

        #[test]
        fn prefixes_stay_inside_the_site(seed in "[a-z]{1,8}", network in "[a-z]{1,9}") {
            let seed = Seed(seed);
            let (project, network) = (name("default"), name(&network));
            let site = seed.site_ipv6();
            prop_assert!(site.addr().is_unique_local());
            let peers = Ipv6Net::new(site.addr(), 64).expect("a prefix");
            for prefix in seed.network_ipv6(site, &project, &network).take(50) {
                prop_assert!(site.contains(&prefix));
                prop_assert_ne!(prefix, peers);
            }
            let pool: Ipv4Net = "10.64.0.0/10".parse().expect("a prefix");
            for prefix in seed.network_ipv4(pool, &project, &network).take(50) {
                prop_assert!(pool.contains(&prefix));
                prop_assert_eq!(prefix, prefix.trunc());
            }
            for port in seed.endpoint_port((51820, 51830), &project, &network) {
                prop_assert!((51820..=51830).contains(&port));
            }
        }
    }
}
