//! The driver: what the job loop calls.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use rhyzome_component::{Driver, DriverError, Progress};
use rhyzome_model::component::{HostFacts, Trunk as TrunkFacts};
use rhyzome_model::job::Action;
use rhyzome_model::placement::{Found, Observed, Placement, PlacementKind, PlacementRef};
use rhyzome_model::segment::Segmentation;
use tokio::sync::Mutex;
use tokio::sync::oneshot::error::TryRecvError;

use crate::apply::Apply;
use crate::batch::{self, Failure, Queue, Wish};
use crate::error::Error;
use crate::inventory;
use crate::lock::{self, Lock};
use crate::record::Records;
use crate::settings::Settings;
use crate::step::Interrupt;
use crate::survey::{Survey, survey};
use crate::watch::Watch;

const KINDS: [PlacementKind; 4] = [
    PlacementKind::Network,
    PlacementKind::Vtep,
    PlacementKind::Lease,
    PlacementKind::Peer,
];

/// How long a change waits for others that are asked at the same moment: each takes a second or more.
const GATHER: Duration = Duration::from_millis(20);

/// Networks, leases and peers on an OpenWrt router.
pub struct OpenwrtDriver {
    apply: Apply,
    queue: Queue,
    /// Whose turn it is; with the records, as they are on flash.
    turn: Mutex<Option<Records>>,
    watch: Mutex<Watch>,
}

/// The router, for one at a time.
struct Turn<'a> {
    records: tokio::sync::MutexGuard<'a, Option<Records>>,
    _lock: Lock,
}

impl OpenwrtDriver {
    /// Touches nothing. What an earlier start of the component was interrupted in is put back before the first look or
    /// change.
    pub fn new(settings: Settings) -> Self {
        Self::interrupted(settings, None)
    }

    /// For tests: asks before each step what goes wrong there.
    #[must_use]
    pub fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self::interrupted(self.apply.settings, Some(interrupt))
    }

    fn interrupted(settings: Settings, interrupt: Option<Interrupt>) -> Self {
        Self {
            apply: Apply::new(settings, interrupt),
            queue: Queue::default(),
            turn: Mutex::default(),
            watch: Mutex::default(),
        }
    }

    /// Waits for the router, and puts back what was interrupted, in this process or before it.
    async fn turn(&self, progress: &Progress) -> Result<Turn<'_>, Error> {
        let mut records = self.turn.lock().await;
        let lock = lock::take(&self.apply.settings.system)
            .await
            .map_err(Error::Lock)?;
        if self.apply.recover(progress).await? || records.is_none() {
            let state_dir = &self.apply.settings.state_dir;
            *records = Some(Records::read(state_dir).map_err(Error::Records)?);
        }
        Ok(Turn {
            records,
            _lock: lock,
        })
    }

    async fn wish(&self, wish: Wish, progress: &Progress) -> Result<Option<Observed>, DriverError> {
        let failed = |error: Error| error.into_driver("cannot change the router");
        loop {
            let mut answered = self.queue.put(wish.clone());
            let mut turn = self.turn(progress).await.map_err(failed)?;
            let mut answer = answered.try_recv();
            if answer == Err(TryRecvError::Empty) {
                tokio::time::sleep(GATHER).await;
                turn.serve(&self.apply, &self.queue, progress).await;
                answer = answered.try_recv();
            }
            // Where there is none, whoever had taken it was interrupted.
            if let Ok(answer) = answer {
                answer.map_err(Failure::into_driver)?;
                return Ok(turn.observed(&self.apply, &wish));
            }
        }
    }

    async fn survey(&self) -> Result<(Records, Survey), Error> {
        let turn = self.turn(&Progress::new().0).await?;
        let records = turn.records.clone().unwrap_or_default();
        let survey = survey(&self.apply, &records).await?;
        Ok((records, survey))
    }
}

impl Turn<'_> {
    async fn serve(&mut self, apply: &Apply, queue: &Queue, progress: &Progress) {
        let records = self.records.get_or_insert_default();
        batch::serve(apply, queue, records, progress).await;
    }

    fn observed(&self, apply: &Apply, wish: &Wish) -> Option<Observed> {
        let Wish::Ensure(placement) = wish else {
            return None;
        };
        match placement.spec.kind() {
            PlacementKind::Lease => Some(Observed::Lease),
            PlacementKind::Peer => Some(Observed::Peer),
            PlacementKind::Vtep => Some(Observed::Vtep),
            _ => {
                let records = self.records.as_ref()?;
                let kept = records.networks.get(&placement.spec.network()?)?;
                Some(inventory::observed(&apply.settings.system, kept))
            }
        }
    }
}

#[async_trait]
impl Driver for OpenwrtDriver {
    fn kinds(&self) -> &'static [PlacementKind] {
        &KINDS
    }

    async fn facts(&self) -> Result<HostFacts, DriverError> {
        let settings = &self.apply.settings;
        let mut details = BTreeMap::from([
            (
                "uplink_zone".to_owned(),
                settings.router.uplink_zone.clone(),
            ),
            (
                "trunk".to_owned(),
                match &settings.router.trunk {
                    Some(trunk) => trunk.device().to_owned(),
                    None => "none: networks cannot be VLANs".to_owned(),
                },
            ),
        ]);
        let mut segmentations = settings.router.segmentations();
        if settings.router.ports
            && let Some(why) = crate::cards::unfit(&settings.system)
        {
            segmentations.retain(|one| *one != Segmentation::Port);
            details.insert("segmentation".to_owned(), why);
        }
        let release = crate::release::read(&settings.system);
        details.extend(release.map(|release| ("release".to_owned(), release)));
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        Ok(HostFacts {
            hostname: hostname.to_string_lossy().into_owned(),
            public_address: settings.public_address.clone(),
            endpoint_ports: Some(settings.endpoint_ports),
            mtu: Some(settings.mtu),
            host: crate::release::host_id(),
            tunnel_address: settings.router.tunnel.map(|(address, _)| address),
            segmentations,
            trunk: settings.router.trunk.as_ref().map(|trunk| TrunkFacts {
                device: trunk.device().to_owned(),
                mtu: settings.mtu,
            }),
            machine: crate::release::machine(),
            // All networks are of one routing domain.
            overlapping_prefixes: false,
            details,
            ..HostFacts::default()
        })
    }

    async fn ensure(
        &self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        let kind = placement.spec.kind();
        if !KINDS.contains(&kind) {
            let message = format!("this component does not make any {kind}");
            return Err(DriverError::unsupported(message));
        }
        let observed = self.wish(Wish::Ensure(placement.clone()), progress).await?;
        observed.ok_or_else(|| DriverError::transient("the network is not on this router any more"))
    }

    async fn remove(&self, target: &PlacementRef, progress: &Progress) -> Result<(), DriverError> {
        // What is of no network was never made here.
        if !KINDS.contains(&target.kind) || target.network.is_none() {
            return Ok(());
        }
        self.wish(Wish::Remove(target.clone()), progress)
            .await
            .map(drop)
    }

    async fn act(&self, target: &PlacementRef, action: &Action) -> Result<Vec<u8>, DriverError> {
        Err(DriverError::unsupported(format!(
            "nothing can be done to a {} like {action:?}",
            target.kind
        )))
    }

    async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError> {
        let (records, survey) = self
            .survey()
            .await
            .map_err(|e| e.into_driver("cannot look at the networks here"))?;
        let system = &self.apply.settings.system;
        Ok(inventory::found(system, &records, &survey, accepted))
    }

    async fn changed(&self) -> PlacementRef {
        let mut watch = self.watch.lock().await;
        loop {
            if let Some(news) = watch.next() {
                return news;
            }
            tokio::time::sleep(self.apply.settings.times.look).await;
            match self.survey().await {
                Ok((records, survey)) => watch.note(&records, &survey),
                Err(error) => {
                    tracing::warn!(
                        why = &error as &dyn std::error::Error,
                        "cannot look at the router"
                    );
                }
            }
        }
    }
}
