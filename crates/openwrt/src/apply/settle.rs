//! From what the files say to what runs: reloading, looking, and doing something about what differs.
//!
//! Nothing that reloads says whether it did; so it is looked until all runs as meant, or the time is over. What a reload
//! does not do by itself is done one by one: setting a tunnel at once, what disturbs more only after a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::draft::Digests;
use super::{Apply, Planned, Request};
use crate::cards;
use crate::desired::PRIORITY;
use crate::error::{Error, lines};
use crate::live::{self, Wanted};
use crate::names::Names;
use crate::router::Network;
use crate::running::{self, End, Interface, Running};
use crate::ubus;
use crate::verify::{self, Difference, Meant, Remedy, What};

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(150);
/// How long a reload, or what is done about a difference, is given before more is done.
const GRACE: Duration = Duration::from_secs(4);

/// The rules that fw4 made last, and of what: it takes a second on a small router.
#[derive(Default)]
pub(crate) struct MeantCache(Mutex<Option<(Key, Arc<Meant>)>>);

type Key = (Digests, BTreeMap<String, Interface>);

/// What was seen at one moment.
pub(crate) struct Look {
    running: Running,
    /// What fw4 makes of the files while that runs.
    meant: OnceCell<Arc<Meant>>,
}

impl Look {
    pub fn new(running: Running) -> Self {
        Self {
            running,
            meant: OnceCell::new(),
        }
    }
}

/// What was done about something, and when.
#[derive(Default)]
struct Done {
    /// Whether files were changed: then what is set on devices at first is what was asked, and nobody's mistake.
    is_change: bool,
    reloaded: Option<Instant>,
    remedies: BTreeMap<Remedy, Instant>,
}

impl Apply {
    /// Tells the services of packages that those were changed.
    pub(super) async fn reload(&self, packages: &[&str]) -> Result<(), Error> {
        for package in packages {
            ubus::changed(&self.settings.system, package)
                .await
                .map_err(Error::Reload)?;
        }
        Ok(())
    }

    /// Waits until all of the networks runs as meant, and what else ran before a change still does.
    pub(super) async fn settle(
        &self,
        request: &Request<'_>,
        planned: &Planned,
        before: &Running,
        reloaded: &[&str],
    ) -> Result<(), Error> {
        let began = Instant::now();
        let mut done = Done {
            is_change: !planned.drafts.is_empty(),
            reloaded: (!reloaded.is_empty()).then_some(began),
            ..Done::default()
        };
        let networks: Vec<&Network> = planned
            .goal
            .networks
            .iter()
            .filter(|network| request.networks.contains(&network.spec.network))
            .collect();
        loop {
            let look = Look::new(self.look().await?);
            let running = &look.running;
            let mut found = Vec::new();
            for network in &networks {
                found.extend(self.differences(network, &look).await?);
            }
            let gone = gone(&planned.names, &networks);
            for name in &gone {
                found.extend(verify::gone(name, running));
            }
            if found.is_empty() && !gone.is_empty() {
                let meant = self.meant(&look).await?;
                found.extend(verify::strangers(running, meant));
            }
            let ours = |text: &str| planned.names.iter().any(|name| verify::names(name, text));
            found.extend(verify::harmed(before, running, ours));
            if found.is_empty() {
                return Ok(());
            }
            let is_hopeless = |difference: &Difference| matches!(difference.what, What::Skipped(_));
            if began.elapsed() > self.settings.times.settle || found.iter().any(is_hopeless) {
                return Err(Error::NotAsMeant(lines(&found)));
            }
            self.mend(&found, &networks, running, &mut done).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What of a network differs, all of it where its links are as they should be.
    pub(crate) async fn differences(
        &self,
        network: &Network,
        look: &Look,
    ) -> Result<Vec<Difference>, Error> {
        let (router, running) = (&self.settings.router, &look.running);
        let mut found = verify::links(network, router, running);
        // What fw4 makes follows from what is up.
        if found.is_empty() {
            let meant = self.meant(look).await?;
            found.extend(verify::rules(network, running, meant));
        }
        if found.is_empty() {
            found.extend(self.unanswered(network).await?);
        }
        Ok(found)
    }

    async fn meant<'a>(&self, look: &'a Look) -> Result<&'a Meant, Error> {
        let meant = look
            .meant
            .get_or_try_init(|| self.meant_while(&look.running));
        meant.await.map(Arc::as_ref)
    }

    async fn meant_while(&self, running: &Running) -> Result<Arc<Meant>, Error> {
        let key = (self.digests()?, running.interfaces.clone());
        if let Some((of, meant)) = &*self.meant.0.lock().unwrap_or_else(PoisonError::into_inner)
            && *of == key
        {
            return Ok(Arc::clone(meant));
        }
        let (rules, skipped) = running::meant_rules(&self.settings.system)
            .await
            .map_err(Error::Look)?;
        let meant = Arc::new(Meant { rules, skipped });
        let mut cache = self.meant.0.lock().unwrap_or_else(PoisonError::into_inner);
        *cache = Some((key, Arc::clone(&meant)));
        Ok(meant)
    }

    /// What dnsmasq does not answer of a network: one of its names, or anything where it has none.
    async fn unanswered(&self, network: &Network) -> Result<Option<Difference>, Error> {
        let server = network.spec.router_ipv4();
        let newest = network.leases.last();
        let domain = &network.spec.domain;
        let name = match newest {
            Some(lease) => format!("{}.{domain}", lease.hostname),
            None => domain.clone(),
        };
        let answer = running::ask(&self.settings.system, server, &name)
            .await
            .map_err(Error::Ask)?;
        let what = match (answer, newest) {
            (None, _) => What::Silent(server),
            (Some(found), Some(lease)) if !found.contains(&lease.ipv4) => What::Unnamed {
                name,
                address: lease.ipv4,
            },
            (Some(_), _) => return Ok(None),
        };
        let about = verify::About::Network;
        Ok(Some(Difference { about, what }))
    }

    async fn mend(
        &self,
        found: &[Difference],
        networks: &[&Network],
        running: &Running,
        done: &mut Done,
    ) -> Result<(), Error> {
        let remedies: BTreeSet<Remedy> = found.iter().map(|one| one.what.remedy()).collect();
        for remedy in remedies {
            let waits = !matches!(remedy, Remedy::Tunnel(_) | Remedy::Ends(_) | Remedy::Cards);
            let last = done.remedies.get(&remedy).copied();
            let last = last.max(done.reloaded.filter(|_| waits));
            if last.is_some_and(|last| last.elapsed() < GRACE) {
                continue;
            }
            if self.remedy(&remedy, networks, running).await? {
                let why = found.iter().filter(|one| one.what.remedy() == remedy);
                let why: Vec<&Difference> = why.collect();
                match done.is_change && !waits && last.is_none() {
                    true => tracing::debug!(?remedy, why = lines(&why), "setting what was asked"),
                    false => tracing::info!(?remedy, why = lines(&why), "mending the router"),
                }
                done.remedies.insert(remedy, Instant::now());
            }
        }
        Ok(())
    }

    /// Returns whether anything was done.
    async fn remedy(
        &self,
        remedy: &Remedy,
        networks: &[&Network],
        running: &Running,
    ) -> Result<bool, Error> {
        let system = &self.settings.system;
        match remedy {
            Remedy::None => return Ok(false),
            Remedy::Tunnel(device) => {
                let is_own =
                    |network: &&&Network| Names::new(network.spec.segment).tunnel() == *device;
                let network = networks.iter().find(|network| is_own(network));
                let (Some(network), Some(have)) = (network, running.tunnels.get(device)) else {
                    return Ok(false);
                };
                let wanted = Wanted {
                    key: &network.endpoint_key,
                    port: network.spec.endpoint_port,
                    peers: verify::peers(network),
                };
                live::sync(system, device, have, &wanted)
                    .await
                    .map_err(Error::Live)?;
            }
            Remedy::Ends(device) => {
                let is_own =
                    |network: &&&Network| Names::new(network.spec.segment).vxlan() == *device;
                let network = networks.iter().find(|network| is_own(network));
                let (Some(network), Some(have)) = (network, &running.ends) else {
                    return Ok(false);
                };
                if !running.links.links.contains_key(device) {
                    return Ok(false);
                }
                let have = have.get(device).cloned().unwrap_or_default();
                let wanted: BTreeSet<End> = verify::ends(network).into_keys().collect();
                self.send(device, "del", have.difference(&wanted)).await?;
                self.send(device, "append", wanted.difference(&have))
                    .await?;
            }
            Remedy::Cards => {
                // Whether it did is seen by their names.
                let named = system.run(cards::SCRIPT, &["start"]).await;
                named.map_err(|e| Error::Look(e.into()))?;
            }
            Remedy::Firewall => self.reload(&["firewall"]).await?,
            Remedy::Network => self.reload(&["network"]).await?,
            Remedy::Route { to, device, table } => {
                let (to, table) = (to.to_string(), table.to_string());
                let words = ["route", "replace", &to, "dev", device, "table", &table];
                self.ip(to.contains(':'), &words).await?;
            }
            Remedy::Rule { from, table } => {
                let (from, table) = (from.to_string(), table.to_string());
                let priority = PRIORITY.to_string();
                let words = ["rule", "add", "from", &from, "lookup", &table];
                let words = [&words[..], &["priority", &priority]].concat();
                self.ip(from.contains(':'), &words).await?;
            }
            Remedy::Interface(name) => {
                if !running.interfaces.contains_key(name) {
                    self.reload(&["network"]).await?;
                    return Ok(true);
                }
                ubus::restart_interface(system, name)
                    .await
                    .map_err(Error::Reload)?;
            }
            Remedy::Server => {
                let restarted = system.run("/etc/init.d/dnsmasq", &["restart"]).await;
                // Whether it did is seen by its process.
                restarted.map_err(|e| Error::Look(e.into()))?;
            }
        }
        Ok(true)
    }
}

impl Apply {
    /// Whether it did is seen by looking.
    async fn send(
        &self,
        device: &str,
        how: &str,
        ends: impl Iterator<Item = &End>,
    ) -> Result<(), Error> {
        for (mac, address) in ends {
            let address = address.to_string();
            let words = ["fdb", how, mac, "dev", device, "dst", &address];
            let done = self.settings.system.run("bridge", &words).await;
            done.map(drop).map_err(|e| Error::Look(e.into()))?;
        }
        Ok(())
    }

    /// The same, of routing.
    async fn ip(&self, is_ipv6: bool, words: &[&str]) -> Result<(), Error> {
        let family = if is_ipv6 { "-6" } else { "-4" };
        let words = [&[family], words].concat();
        let done = self.settings.system.run("ip", &words).await;
        done.map(drop).map_err(|e| Error::Look(e.into()))
    }
}

/// Those whose names are to go.
fn gone(names: &BTreeSet<String>, networks: &[&Network]) -> Vec<String> {
    let stays: BTreeSet<String> = networks
        .iter()
        .map(|network| Names::new(network.spec.segment).network())
        .collect();
    names.difference(&stays).cloned().collect()
}
