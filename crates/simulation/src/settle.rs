//! Bringing all to rest: nothing goes wrong any more, and within a bound everything has to be as the
//! operator was told: in the database, on the hosts and in the ledgers, nothing lost, nothing left over.

use std::collections::{BTreeMap, BTreeSet};

use rhyzome_model::job::JobState;
use rhyzome_model::network::{NetworkPlacement, SegmentPlacement};
use rhyzome_model::placement::{Observed, Placement, PlacementKind, PlacementSpec};
use rhyzome_model::status::Phase;
use rhyzome_model::{ComponentId, NetworkId, PlacementId};
use rhyzome_store::placement::State;
use rhyzome_store::{job, placement};

use crate::component::Component;
use crate::core::Running;
use crate::model::{Request, Sort, Wish};
use crate::operator;
use crate::world::{World, facts};

/// How often all is let go on, at most.
const ROUNDS: u32 = 400;
/// How much time passes each time: little at first, in milliseconds.
const FIRST: (u32, i64) = (30, 1_000);
const LATER: i64 = 4_000;
/// How often the operator asks again for what was refused.
const ASK_AGAIN: u32 = 10;

impl World {
    /// Lets nothing go wrong any more until all is well.
    ///
    /// # Errors
    /// What is not well after a while.
    pub async fn rest(&mut self) -> Result<(), String> {
        self.story.tell("all comes to rest".to_owned());
        self.heal().await?;
        let mut why = String::new();
        for round in 1..=ROUNDS {
            self.pass(if round <= FIRST.0 { FIRST.1 } else { LATER });
            self.go_on().await?;
            self.sweep();
            self.check_hosts()?;
            why = match self.is_well().await {
                Ok(()) => {
                    self.story.tell(format!("all is well after {round}"));
                    return Ok(());
                }
                Err(why) => why,
            };
            if round % ASK_AGAIN == 0 {
                self.nobody_waits_in_silence().await?;
                self.ask_again().await?;
            }
        }
        Err(format!("it does not come to rest: {why}"))
    }

    async fn heal(&mut self) -> Result<(), String> {
        self.site.environment.let_live();
        self.site.clock.set_off(0);
        self.start_core().await?;
        for component in &mut self.components {
            component.cut_off = false;
            component.clock.set_off(0);
            component.host.faults().clear();
            if component.process.is_none() {
                component.start();
            }
        }
        Ok(())
    }

    /// Everybody does all there is to do now.
    async fn go_on(&mut self) -> Result<(), String> {
        let now = self.time.passed();
        for which in 0..self.components.len() {
            let component = &mut self.components[which];
            while component.notice() {}
            if let Some(process) = &mut component.process {
                process.round(now);
                process.put_due(&self.time);
                if process.session.is_none() {
                    self.connect(which);
                }
            }
            while self.components[which].work_on(&mut self.chance).await {}
            loop {
                let (messages, nearer) = self.components[which].look(&mut self.chance).await;
                self.say(which, messages);
                if !nearer {
                    break;
                }
            }
            if let Some(process) = &mut self.components[which].process {
                let mut messages = process.tell();
                messages.extend(process.heartbeat(now));
                self.say(which, messages);
            }
        }
        let numbers: Vec<u64> = self.links.keys().copied().collect();
        for number in numbers {
            while self.links.get(&number).is_some_and(|l| l.core_can_hear()) {
                self.core_hears(number).await;
            }
            self.claim(number).await;
            while self
                .links
                .get(&number)
                .is_some_and(|l| l.component_can_hear())
            {
                self.component_hears(number).await;
            }
        }
        if let Some(core) = &mut self.core {
            while !core.ended.is_empty() {
                core.note_end().await;
            }
            let looked = rhyzome_app::gone::once(&core.core).await;
            looked.map_err(|error| format!("silent components are not found: {error:?}"))?;
        }
        Ok(())
    }

    /// What waits for something that was refused says so.
    async fn nobody_waits_in_silence(&self) -> Result<(), String> {
        let core = self.core.as_ref().ok_or("the core is not there")?;
        let mut conn = core.core.store.read().await.expect("a connection");
        for component in &self.components {
            let rows = placement::of_component(&mut conn, component.id).await;
            for row in rows.expect("placements") {
                if !row.wanted || row.state != State::Pending {
                    continue;
                }
                let needs = placement::needed_by(&mut conn, row.id).await;
                let mut needs = needs.expect("needs").into_iter();
                if let Some(need) = needs.find(|need| need.state == State::Failed) {
                    return Err(format!("{row:?} waits in silence for {need:?}"));
                }
            }
        }
        Ok(())
    }

    /// The operator asks again for what was refused.
    async fn ask_again(&mut self) -> Result<(), String> {
        let known: Vec<_> = self.model.things.iter().collect();
        let mut requests = Vec::new();
        for (key, thing) in known {
            let core = self.core.as_ref().ok_or("the core is not there")?;
            let seen = operator::read(&core.core, key).await?;
            if seen.is_some_and(|shown| shown.refused) {
                requests.push(Request::Change(key.clone(), thing.wish.clone()));
            }
        }
        for request in requests {
            self.request(request).await?;
        }
        Ok(())
    }

    /// Compares everything with everything.
    async fn is_well(&mut self) -> Result<(), String> {
        self.is_quiet()?;
        let core = self.core.as_ref().ok_or("the core is not there")?;
        no_jobs(core).await?;
        promised(core).await?;
        for (key, _) in self.model.things.clone() {
            let seen = operator::read(&core.core, &key).await?;
            if let Some(shown) = &seen
                && shown.phase != Phase::Ready
            {
                return Err(format!("{key} is {:?}", shown.phase));
            }
            self.model.see(&key, seen.map(|shown| shown.thing))?;
        }
        let mut all = Vec::new();
        let mut tunnels = Tunnels::default();
        for component in &mut self.components {
            let on_host = component.host.contents();
            compare(core, component, &on_host).await?;
            tunnels.look(component, &on_host);
            all.extend(on_host);
            component.disturbed = false;
        }
        tunnels.check()?;
        self.compare_with_model(&all)
    }

    fn is_quiet(&self) -> Result<(), String> {
        let core = self.core.as_ref().ok_or("the core is not there")?;
        if core.talks.len() < self.components.len() {
            return Err("not everybody has a session".to_owned());
        }
        if let Some((number, _)) = self.links.iter().find(|(_, link)| !link.is_quiet()) {
            return Err(format!("there is something under way on link {number}"));
        }
        for component in &self.components {
            if !component.process.as_ref().is_some_and(|p| p.is_idle()) {
                return Err(format!("{} has something to do", component.name));
            }
        }
        Ok(())
    }

    /// What is on all hosts is what the operator was told, and nothing else.
    fn compare_with_model(&self, all: &[(Placement, Observed)]) -> Result<(), String> {
        let count = |kind: PlacementKind| {
            let of_kind = all.iter().filter(|(made, _)| made.spec.kind() == kind);
            of_kind.count()
        };
        let wanted = |sort: Sort| {
            let things = self.model.things.iter();
            things.filter(move |(key, _)| key.sort == sort)
        };
        let networks_of = |sort: Sort| -> usize {
            let lengths = wanted(sort).map(|(_, thing)| match &thing.wish {
                Wish::Network { .. } => 0,
                Wish::Instance { networks, .. } | Wish::Peer { networks } => networks.len(),
            });
            lengths.sum()
        };
        for (kind, expected) in [
            (PlacementKind::Network, wanted(Sort::Network).count()),
            (PlacementKind::Instance, wanted(Sort::Instance).count()),
            (PlacementKind::Lease, networks_of(Sort::Instance)),
            (PlacementKind::Peer, networks_of(Sort::Peer)),
        ] {
            let there = count(kind);
            if there != expected {
                return Err(format!("{there} of {kind} are there, not {expected}"));
            }
        }
        for (key, thing) in &self.model.things {
            let own = all
                .iter()
                .find(|(made, _)| made.spec.resource() == thing.id);
            let as_wanted = match (&thing.wish, own.map(|(made, _)| &made.spec)) {
                (Wish::Network { egress }, Some(PlacementSpec::Network(made))) => {
                    *egress == made.egress
                }
                (Wish::Network { .. }, Some(PlacementSpec::Segment(_))) => true,
                (Wish::Instance { power, memory, .. }, Some(PlacementSpec::Instance(made))) => {
                    *power == made.power && *memory == made.memory.as_bytes() >> 20
                }
                (Wish::Peer { networks }, None) => networks.is_empty(),
                (Wish::Peer { .. }, Some(PlacementSpec::Peer(_))) => true,
                _ => false,
            };
            if !as_wanted {
                return Err(format!("{key} is not made as wanted: {thing:?}, {own:?}"));
            }
        }
        Ok(())
    }
}

/// Between the machines of a network there are tunnels, both ways, and nowhere else.
#[derive(Default)]
struct Tunnels {
    /// By network: who is in it, and on which machine.
    members: BTreeMap<NetworkId, Vec<(ComponentId, String)>>,
    /// Who has a tunnel to whom.
    there: BTreeSet<(NetworkId, ComponentId, ComponentId)>,
}

impl Tunnels {
    fn look(&mut self, component: &Component, on_host: &[(Placement, Observed)]) {
        let machine = facts(component.name.as_str()).host;
        for (made, _) in on_host {
            match &made.spec {
                PlacementSpec::Network(NetworkPlacement { network, .. })
                | PlacementSpec::Segment(SegmentPlacement { network, .. }) => {
                    let members = self.members.entry(*network).or_default();
                    members.push((component.id, machine.clone()));
                }
                PlacementSpec::Vtep(vtep) => {
                    self.there.insert((vtep.network, component.id, vtep.host));
                }
                PlacementSpec::Lease(_) | PlacementSpec::Peer(_) | PlacementSpec::Instance(_) => {}
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut wanted = BTreeSet::new();
        for (network, members) in &self.members {
            for (who, here) in members {
                let others = members.iter().filter(|(_, there)| there != here);
                wanted.extend(others.map(|(whom, _)| (*network, *who, *whom)));
            }
        }
        let different: Vec<_> = wanted.symmetric_difference(&self.there).collect();
        match different.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "these tunnels are missing or left over: {different:?}"
            )),
        }
    }
}

async fn no_jobs(core: &Running) -> Result<(), String> {
    let mut conn = core.core.store.read().await.expect("a connection");
    for state in [JobState::Queued, JobState::Leased] {
        let count = job::count(&mut conn, state).await.expect("a count");
        if count > 0 {
            let jobs = job::list(&mut conn, None, None, ("", 200)).await;
            let open = jobs
                .expect("jobs")
                .into_iter()
                .find(|job| job.state == state);
            let target = open.as_ref().map(|job| job.target.id);
            let waits_for = match target {
                Some(id) => placement::needed_by(&mut conn, id).await.expect("needs"),
                None => Vec::new(),
            };
            return Err(format!(
                "{count} jobs are {}: {open:?}, for: {waits_for:?}",
                state.as_str()
            ));
        }
    }
    Ok(())
}

/// What is noted as promised on hosts is what their instances sum up to.
async fn promised(core: &Running) -> Result<(), String> {
    let mut conn = core.core.store.read().await.expect("a connection");
    let wrong = rhyzome_store::component::mispromised(&mut conn).await;
    let wrong = wrong.expect("a comparison");
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("another sum is promised on {wrong:?}")),
    }
}

/// One host, its ledger and what the database says of it.
async fn compare(
    core: &Running,
    component: &Component,
    on_host: &[(Placement, Observed)],
) -> Result<(), String> {
    let on = &component.name;
    let mut conn = core.core.store.read().await.expect("a connection");
    let rows = placement::of_component(&mut conn, component.id).await;
    let rows = rows.expect("placements");
    drop(conn);
    let there: BTreeMap<PlacementId, &(Placement, Observed)> =
        on_host.iter().map(|made| (made.0.id, made)).collect();
    for row in &rows {
        if !row.wanted || row.state != State::Ready {
            return Err(format!("on {on} is not as it should be: {row:?}"));
        }
        let Some((made, observed)) = there.get(&row.id) else {
            return Err(format!("on {on} is not there: {row:?}"));
        };
        if row.placement().as_ref() != Some(made) || row.observed.as_ref() != Some(observed) {
            return Err(format!(
                "on {on} is {made:?}, {observed:?}, and not {row:?}"
            ));
        }
        if component.gate.made(row.id) < Some(row.observed_generation) {
            return Err(format!("on {on} was never made: {row:?}"));
        }
    }
    if let Some((made, _)) = on_host
        .iter()
        .find(|(made, _)| rows.iter().all(|row| row.id != made.id))
    {
        return Err(format!("on {on} is left over: {made:?}"));
    }
    let process = component.process.as_ref().ok_or("it does not run")?;
    let mut accepted = process.performer.ledger.placements();
    accepted.sort_by_key(|placement| placement.id);
    let made: Vec<_> = on_host.iter().map(|(made, _)| made.clone()).collect();
    if accepted != made {
        return Err(format!(
            "the ledger of {on} is not as its host: {accepted:?}, {made:?}"
        ));
    }
    Ok(())
}
