//! The task that watches over all instances: events leave their signs, and whoever ended is looked
//! after. A tick is the net under lost events and the clock of restarts.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rhyzome_model::InstanceId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::MissedTickBehavior;

use super::{Instances, Slot, lock, now, ports_of};
use crate::hypervisor::event::{Event, What};
use crate::record::Phase;

const TICK: Duration = Duration::from_millis(250);
/// Every so many ticks libvirt is asked what runs.
const NET: u32 = 20;
/// Every so many ticks the port rules are looked at.
const RULES: u32 = 40;

/// Every so many ticks guests are looked into that may have crashed without an end.
const CRASHED: u32 = 4;

/// Runs until the events end, which is when the hypervisor's handle is dropped.
pub async fn supervise(instances: Arc<Instances>, mut events: UnboundedReceiver<Event>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0;
    let mut unruly = HashSet::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => sign(&instances, event),
                None => return,
            },
            _ = tick.tick() => {
                ticks += 1;
                for slot in instances.all() {
                    if is_due(&slot) {
                        look_after(&instances, slot);
                    }
                }
                if ticks % NET == 0 {
                    look_for_ended(&instances).await;
                }
                if ticks % CRASHED == 0 {
                    look_for_crashed(&instances);
                }
                if ticks % RULES == 0 {
                    look_for_unruly(&instances, &mut unruly).await;
                }
            }
        }
    }
}

fn sign(instances: &Arc<Instances>, event: Event) {
    let slot = lock(&instances.slots).get(&InstanceId(event.uuid)).cloned();
    let Some(slot) = slot else { return };
    let stopped = matches!(event.what, What::Stopped(_));
    lock(&slot.signs).add(event.run, event.what);
    slot.woken.notify_waiters();
    if stopped {
        let instances = instances.clone();
        tokio::spawn(async move {
            let _working = slot.work().await;
            looked_after(&instances, &slot).await;
        });
    }
}

fn is_due(slot: &Slot) -> bool {
    let phase = lock(&slot.record).as_ref().map(|record| record.phase);
    matches!(phase, Some(Phase::Waiting { until, .. }) if until <= now())
}

/// Looks after an instance in a task of its own; whoever works on it already sees for himself.
fn look_after(instances: &Arc<Instances>, slot: Arc<Slot>) {
    let instances = instances.clone();
    tokio::spawn(async move {
        if let Ok(_working) = slot.busy.try_lock() {
            looked_after(&instances, &slot).await;
        }
    });
}

async fn looked_after(instances: &Instances, slot: &Slot) {
    if let Err(error) = instances.look_after(slot).await {
        tracing::warn!(instance = %slot.id, error = error.chain(), "an instance could not be looked after");
    }
}

async fn look_for_ended(instances: &Arc<Instances>) {
    let running = match instances.hypervisor.list(instances.component.clone()).await {
        Ok(running) => running,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "libvirt could not be asked"
            );
            return;
        }
    };
    for slot in instances.all() {
        let is_running = running.iter().any(|seen| seen.uuid == slot.uuid());
        let phase = lock(&slot.record).as_ref().map(|record| record.phase);
        if phase == Some(Phase::Running) && !is_running {
            look_after(instances, slot);
        }
    }
}

/// Looks into guests that may have crashed without an end: silent ones, and those that reset for ever.
fn look_for_crashed(instances: &Arc<Instances>) {
    for slot in instances.all() {
        let resets = lock(&slot.signs).reset_loop().is_some();
        if resets || slot.is_newly_silent() {
            let instances = instances.clone();
            tokio::spawn(async move {
                if let Ok(_working) = slot.busy.try_lock()
                    && let Err(error) = instances.end_if_crashed(&slot).await
                {
                    tracing::warn!(instance = %slot.id, error = error.chain(), "an instance could not be looked into");
                }
            });
        }
    }
}

/// Tells of running guests whose port rules somebody took away, once until they are there again.
async fn look_for_unruly(instances: &Arc<Instances>, known: &mut HashSet<InstanceId>) {
    let running: Vec<_> = instances
        .all()
        .into_iter()
        .filter(|slot| slot.is_idle())
        .filter_map(|slot| slot.record())
        .filter(|record| record.phase == Phase::Running && !record.wanted.interfaces.is_empty())
        .collect();
    if running.is_empty() {
        known.clear();
        return;
    }
    let ports = match instances.rules().await {
        Ok(ports) => ports,
        Err(error) => {
            tracing::warn!(error = error.chain(), "the port rules cannot be looked at");
            return;
        }
    };
    for record in running {
        let id = record.wanted.instance;
        if ports_of(&record.wanted)
            .iter()
            .all(|port| ports.contains(port))
        {
            known.remove(&id);
        } else if known.insert(id) {
            tracing::warn!(instance = %id, "the port rules of a running guest are not as they should be");
            let _ = instances.changes.send(record.reference());
        }
    }
}
