//! The port rules of a hypervisor: what an instance may send and be sent, at its tap.
//!
//! One table of nftables' bridge family for each component, with sets of tuples (tap, MAC, address).
//! An instance sends only as itself: its MAC, its IPv4 and IPv6 address and the link-local address of
//! its MAC, in ARP and neighbour discovery too. It is no DHCP server and no router. It reaches the
//! other ports of its own bridge and nothing of the host. Spoofed frames are dropped before the bridge
//! learns from them.
//!
//! A tap's tuples are there before the tap is: what is not in them is dropped by default. Adding and
//! removing a port changes its own elements only, in one transaction.

mod ruleset;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rhyzome_model::MacAddr;
use serde_json::Value;

use crate::link::{LinkError, Links, NAME_MAX};
use crate::lock::{self, LockError};
use crate::mark::Mark;
use crate::nft::{self, Listing, NftError, Ruleset};
use ruleset::{SETS, guard_chain};

#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("{0:?} is no name of a tap: 1 to {NAME_MAX} letters and digits")]
    Name(String),
    #[error("the tap {0} is still there, and would be without rules")]
    StillThere(String),
    #[error("cannot look for the tap {0}")]
    Link(String, #[source] LinkError),
    #[error("cannot change the port rules")]
    Rules(#[source] NftError),
    #[error("cannot have the port rules for itself")]
    Lock(#[source] LockError),
    #[error("the rules of the tap {0} are not as they were just written")]
    NotApplied(String),
}

/// A tap and who may speak through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub tap: String,
    pub mac: MacAddr,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
}

/// The link-local address that follows from a MAC (RFC 4291, appendix A).
pub fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets();
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

/// The port rules of one component.
#[derive(Clone, Debug)]
pub struct Ports {
    mark: Mark,
}

impl Ports {
    pub fn of(mark: Mark) -> Self {
        Self { mark }
    }

    /// `rhyzome_89abcdef`: two components on one host do not share a table.
    pub fn table(&self) -> String {
        format!("rhyzome_{}", self.mark)
    }

    fn ruleset(&self) -> Ruleset {
        ruleset::build(&self.table())
    }

    async fn lock(&self) -> Result<lock::Lock, PortError> {
        lock::take("ports").await.map_err(PortError::Lock)
    }

    async fn listing(&self) -> Result<Option<Listing>, PortError> {
        nft::list("bridge", &self.table())
            .await
            .map_err(PortError::Rules)
    }

    /// Lets a tap be used by exactly this MAC with exactly these addresses. Verified.
    pub async fn ensure(&self, port: &Port) -> Result<(), PortError> {
        check_name(&port.tap)?;
        let _lock = self.lock().await?;
        let ruleset = self.ruleset();
        let listing = self.listing().await?;
        if ruleset.differs(listing.as_ref()).is_some() {
            self.rebuild(&ruleset, listing.as_ref()).await?;
        }
        let have = self.listing().await?;
        let commands = ruleset::plan(&ruleset, have.as_ref(), &port.tap, Some(port));
        if !commands.is_empty() {
            nft::apply(commands).await.map_err(PortError::Rules)?;
        }
        let ports = ports_of(self.listing().await?.as_ref());
        if ports.contains(port) {
            Ok(())
        } else {
            Err(PortError::NotApplied(port.tap.clone()))
        }
    }

    /// Puts the table there whole, with the ports that it had: where it was changed by somebody or
    /// comes from an earlier version.
    async fn rebuild(&self, ruleset: &Ruleset, before: Option<&Listing>) -> Result<(), PortError> {
        let mut commands = ruleset.commands();
        for port in ports_of(before) {
            commands.extend(ruleset::plan(ruleset, None, &port.tap, Some(&port)));
        }
        nft::apply(commands).await.map_err(PortError::Rules)
    }

    /// Forgets a tap; the table goes with the last one. Fine where there is nothing.
    ///
    /// # Errors
    /// [`PortError::StillThere`] where the tap itself is: without rules it would be free to do anything.
    pub async fn remove(&self, tap: &str) -> Result<(), PortError> {
        check_name(tap)?;
        let _lock = self.lock().await?;
        let Some(listing) = self.listing().await? else {
            return Ok(());
        };
        let failed = |e| PortError::Link(tap.to_owned(), e);
        if Links::open()
            .map_err(failed)?
            .find(tap)
            .await
            .map_err(failed)?
            .is_some()
        {
            return Err(PortError::StillThere(tap.to_owned()));
        }
        let ruleset = self.ruleset();
        let commands = ruleset::plan(&ruleset, Some(&listing), tap, None);
        if !commands.is_empty() {
            nft::apply(commands).await.map_err(PortError::Rules)?;
        }
        let left = self.listing().await?;
        if left
            .as_ref()
            .is_some_and(|left| ruleset::mentions(left, tap))
        {
            return Err(PortError::NotApplied(tap.to_owned()));
        }
        if left.is_some_and(|left| left.elements("set", "taps").is_empty()) {
            nft::delete("bridge", &self.table())
                .await
                .map_err(PortError::Rules)?;
        }
        Ok(())
    }

    /// The ports that there are rules for, each with all of its tuples.
    pub async fn list(&self) -> Result<Vec<Port>, PortError> {
        Ok(ports_of(self.listing().await?.as_ref()))
    }

    /// What of the rules is not as it should be apart from the tuples; none where nothing is.
    pub async fn check(&self) -> Result<Option<String>, PortError> {
        Ok(self.ruleset().differs(self.listing().await?.as_ref()))
    }

    /// Removes all rules, whether or not taps are there. For taking a component off its host, after
    /// its instances.
    pub async fn remove_all(&self) -> Result<(), PortError> {
        let _lock = self.lock().await?;
        nft::delete("bridge", &self.table())
            .await
            .map_err(PortError::Rules)?;
        Ok(())
    }
}

fn check_name(tap: &str) -> Result<(), PortError> {
    let fits =
        (1..=NAME_MAX).contains(&tap.len()) && tap.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits {
        Ok(())
    } else {
        Err(PortError::Name(tap.to_owned()))
    }
}

/// A port is what has an element in every set.
fn ports_of(listing: Option<&Listing>) -> Vec<Port> {
    let Some(listing) = listing else {
        return Vec::new();
    };
    let elements: Vec<Vec<Value>> = SETS
        .iter()
        .map(|(kind, name)| listing.elements(kind, name))
        .collect();
    let [taps, macs, four, six, guards] = &elements[..] else {
        return Vec::new();
    };
    let mut ports = Vec::new();
    for tap in taps.iter().filter_map(Value::as_str) {
        let guarded = guards.iter().any(|element| element[0] == tap)
            && listing
                .objects("chain")
                .any(|chain| chain["name"] == guard_chain(tap));
        let port = find(macs, tap, 1)
            .zip(find(four, tap, 2))
            .and_then(|(mac, ipv4)| {
                let mac: MacAddr = mac.parse().ok()?;
                let own = link_local(mac);
                let addresses: Vec<Ipv6Addr> = all(six, tap, 2)
                    .filter_map(|text| text.parse().ok())
                    .collect();
                let ipv6 = addresses.iter().find(|address| **address != own)?;
                let whole = addresses.len() == 2 && addresses.contains(&own);
                let ipv4: IpAddr = ipv4.parse().ok()?;
                match ipv4 {
                    IpAddr::V4(ipv4) if whole => Some(Port {
                        tap: tap.to_owned(),
                        mac,
                        ipv4,
                        ipv6: *ipv6,
                    }),
                    _ => None,
                }
            });
        ports.extend(port.filter(|_| guarded));
    }
    ports
}

fn all<'a>(elements: &'a [Value], tap: &'a str, part: usize) -> impl Iterator<Item = &'a str> {
    let tuples = elements.iter().map(|element| &element["concat"]);
    tuples
        .filter(move |tuple| tuple[0] == tap)
        .filter_map(move |tuple| tuple[part].as_str())
}

/// The one element of a tap; none where there are several.
fn find<'a>(elements: &'a [Value], tap: &'a str, part: usize) -> Option<&'a str> {
    let mut found = all(elements, tap, part);
    let first = found.next();
    if found.next().is_some() { None } else { first }
}
