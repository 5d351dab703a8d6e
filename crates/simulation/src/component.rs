//! A component: its host and its ledger, which stay, and its process, which does not.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt as _;
use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::jobs::{Agenda, Ended, Performer, Running, Taken};
use rhyzome_component::ledger::Ledger;
use rhyzome_component::reports::Reports;
use rhyzome_component::{Driver as _, DriverError};
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::placement::Found;
use rhyzome_model::{ComponentId, Name};
use rhyzome_proto::Version;
use rhyzome_proto::session::{FromComponent, FromCore, Hello};
use uuid::Uuid;

use crate::chance::Chance;
use crate::gate::{Gate, Gated};
use crate::time::{HostClock, Time};

/// How many placements are worked on at once.
const AT_ONCE: usize = 4;
/// How often the host is compared with the ledger, in milliseconds.
const ROUND: i64 = 60_000;
/// How long an inventory waits for everything to come up, in milliseconds.
const UP_WITHIN: i64 = 30_000;
/// The least time between two inventories of one session, in milliseconds.
const BETWEEN_INVENTORIES: i64 = 60_000;
/// How often a sign of life is due, in milliseconds.
const HEARTBEAT: i64 = 5_000;

/// What outlives the process.
pub struct Component {
    pub name: Name,
    pub id: ComponentId,
    pub host: Arc<FakeDriver>,
    pub gate: Arc<Gate>,
    pub clock: HostClock,
    /// What was done to the host behind everybody's back since all was last well.
    pub disturbed: bool,
    /// Nothing gets through to the core, or back.
    pub cut_off: bool,
    ledger: PathBuf,
    time: Time,
    pub process: Option<Process>,
}

/// What does not.
pub struct Process {
    pub performer: Performer,
    agenda: Agenda,
    /// What has begun and hangs somewhere.
    work: Vec<Running>,
    next_round: i64,
    pub session: Option<Session>,
}

type Inventory = Pin<Box<dyn Future<Output = Result<Taken, DriverError>> + Send>>;

/// A session, from the component's side.
pub struct Session {
    pub link: u64,
    pub began: i64,
    pub welcomed: bool,
    /// A look at the host that is under way.
    inventory: Option<Inventory>,
    last_inventory: Option<i64>,
    last_heartbeat: i64,
}

impl Component {
    pub fn new(
        (name, id, kind): (Name, ComponentId, ComponentKind),
        facts: HostFacts,
        ledger: PathBuf,
        time: &Time,
    ) -> Self {
        let clock = HostClock::new(time);
        let options = Options {
            facts,
            clock: clock.clock(),
            ..Options::default()
        };
        let host = match kind {
            ComponentKind::Libvirt => FakeDriver::libvirt(options),
            ComponentKind::Linux | ComponentKind::Openwrt => FakeDriver::linux(options),
        };
        Self {
            name,
            id,
            host: host.expect("a host in memory"),
            gate: Arc::default(),
            clock,
            disturbed: false,
            cut_off: false,
            ledger,
            time: time.clone(),
            process: None,
        }
    }

    pub fn start(&mut self) {
        let (ledger, corrupt) = Ledger::open(&self.ledger).expect("a ledger");
        assert!(corrupt.is_empty(), "{corrupt:?}");
        let performer = Performer {
            driver: Arc::new(Gated {
                host: Arc::clone(&self.host),
                gate: Arc::clone(&self.gate),
            }),
            ledger: Arc::new(ledger),
            reports: Arc::new(Reports::default()),
            clock: self.clock.clock(),
        };
        let mut process = Process {
            agenda: Agenda::new(performer.clone(), AT_ONCE),
            performer,
            work: Vec::new(),
            next_round: 0,
            session: None,
        };
        process.round(self.time.passed());
        self.process = Some(process);
    }

    /// What the driver noticed of its host by itself, as far as somebody is there to hear it.
    pub fn notice(&mut self) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        if let Some(target) = self.host.changed().now_or_never() {
            process.agenda.look(target.id);
            process.begin();
            return true;
        }
        if !process.agenda.in_round() && self.host.disturbed().now_or_never().is_some() {
            process.next_round = 0;
            process.round(self.time.passed());
            return true;
        }
        false
    }

    /// How a session begins.
    pub fn hello(&self, facts: HostFacts) -> FromComponent {
        FromComponent::Hello(Box::new(Hello {
            protocol: Version::CURRENT,
            software_version: "1".to_owned(),
            kinds: self.host.kinds().to_vec(),
            capabilities: Vec::new(),
            facts,
            epoch: Uuid::nil(),
            program: None,
            upgrade: None,
            jobs_at_once: None,
        }))
    }

    /// Lets a piece of work on. False where there is none.
    pub async fn work_on(&mut self, chance: &mut Chance) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        if process.work.is_empty() {
            return false;
        }
        let which = chance.below(process.work.len());
        if let Some(ended) = self.gate.let_on(&mut process.work[which]).await {
            drop(process.work.swap_remove(which));
            process.ended(ended, &self.time);
        }
        true
    }

    /// Says what is on the host, as far as that is due. What is to be said, and whether it came nearer.
    pub async fn look(&mut self, chance: &mut Chance) -> (Vec<FromComponent>, bool) {
        let now = self.time.passed();
        let Some(process) = &mut self.process else {
            return (Vec::new(), false);
        };
        let Some(session) = process.session.as_mut().filter(|s| s.welcomed) else {
            return (Vec::new(), false);
        };
        if session.inventory.is_none() {
            let due = match session.last_inventory {
                None => process.agenda.is_up() || now - session.began >= UP_WITHIN,
                Some(last) if now - last < BETWEEN_INVENTORIES => false,
                Some(_) => {
                    let reports = &process.performer.reports;
                    reports.inventory_wanted().now_or_never().is_some()
                }
            };
            if !due {
                return (Vec::new(), false);
            }
            let performer = process.performer.clone();
            session.inventory = Some(Box::pin(async move { performer.take_inventory().await }));
        }
        let looking = session.inventory.as_mut().expect("it has just begun");
        let Some(taken) = self.gate.let_on(looking).await else {
            return (Vec::new(), true);
        };
        session.inventory = None;
        session.last_inventory = Some(now);
        let found = taken.expect("a simulated host can be looked at").found;
        (parts(found, chance), true)
    }
}

/// An inventory in messages.
fn parts(mut found: Vec<Found>, chance: &mut Chance) -> Vec<FromComponent> {
    let mut messages = Vec::new();
    loop {
        let most = 1 + chance.below(20);
        let rest = found.split_off(found.len().min(most));
        let last = rest.is_empty();
        messages.push(FromComponent::Inventory { found, last });
        if last {
            return messages;
        }
        found = rest;
    }
}

impl Session {
    pub fn new(link: u64, now: i64) -> Self {
        Self {
            link,
            began: now,
            welcomed: false,
            inventory: None,
            last_inventory: None,
            last_heartbeat: now - HEARTBEAT,
        }
    }
}

impl Process {
    /// Begins what may begin.
    fn begin(&mut self) {
        while let Some(work) = self.agenda.start() {
            self.work.push(work);
        }
    }

    fn ended(&mut self, ended: Ended, time: &Time) {
        self.agenda.ended(ended, time.instant());
        self.begin();
    }

    /// Compares the host with the ledger, where that is due.
    pub fn round(&mut self, now: i64) -> bool {
        if now < self.next_round {
            return false;
        }
        self.next_round = now + ROUND;
        let Some(round) = self.agenda.begin_round() else {
            return false;
        };
        self.work.push(round);
        true
    }

    /// Begins the repairs whose pause is over.
    pub fn put_due(&mut self, time: &Time) -> bool {
        let now = time.instant();
        let due = self.agenda.next_due().is_some_and(|at| at <= now);
        if due {
            self.agenda.put_due(now);
            self.begin();
        }
        due
    }

    pub fn is_idle(&self) -> bool {
        self.work.is_empty() && self.agenda.next_due().is_none()
    }

    pub fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// What is to be said at once.
    pub fn tell(&mut self) -> Vec<FromComponent> {
        match self.session.as_ref().filter(|session| session.welcomed) {
            Some(_) => self.performer.reports.take(),
            None => Vec::new(),
        }
    }

    pub fn tell_progress(&mut self) -> Vec<FromComponent> {
        match self.session.as_ref().filter(|session| session.welcomed) {
            Some(_) => self.performer.reports.take_progress(),
            None => Vec::new(),
        }
    }

    /// A sign of life, where one is due.
    pub fn heartbeat(&mut self, now: i64) -> Option<FromComponent> {
        let session = self.session.as_mut()?;
        if !session.welcomed || now - session.last_heartbeat < HEARTBEAT {
            return None;
        }
        session.last_heartbeat = now;
        Some(FromComponent::Heartbeat {
            time: self.performer.clock.now(),
            ledger: self.performer.ledger.counts(),
        })
    }

    /// Takes what the core says. False where that ends the session.
    pub async fn hear(&mut self, message: FromCore) -> bool {
        match message {
            FromCore::Welcome(_) => {
                if let Some(session) = &mut self.session {
                    session.welcomed = true;
                }
                self.performer.reports.begin_session();
            }
            FromCore::Job(job) => {
                self.agenda.take(*job);
                self.begin();
            }
            FromCore::OutcomeRecorded { job, fence } => {
                if let Some(placement) = self.performer.reports.recorded(job, fence) {
                    self.performer.recorded(job, placement).await;
                }
            }
            FromCore::Goodbye { .. } => return false,
            FromCore::OpenConsole(_) | FromCore::Upgrade(_) | FromCore::UpgradeNoted { .. } => {}
        }
        true
    }
}
