//! What waits and what runs: pure state, without time or I/O.
//!
//! One placement's work is done one after the other, in the order it came; different placements'
//! work at once, up to a limit. A newer generation takes the place of older work that has not begun.

use std::collections::{HashMap, VecDeque};

use rhyzome_model::job::{Job, Task};
use rhyzome_model::{JobId, PlacementId};

/// Something to do about one placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// What the core said.
    Job(Box<Job>),
    /// Look at it: nobody asked for what it is now.
    Look(PlacementId),
    /// Bring it back to what the ledger says.
    Repair(PlacementId),
}

impl Work {
    fn placement(&self) -> PlacementId {
        match self {
            Self::Job(job) => job.task.target().id,
            Self::Look(id) | Self::Repair(id) => *id,
        }
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    limit: usize,
    slots: HashMap<PlacementId, Slot>,
    /// Placements with waiting work and none running, the longest waiting first.
    ready: VecDeque<PlacementId>,
    running: usize,
}

#[derive(Debug, Default)]
struct Slot {
    /// The job that runs, if what runs is one.
    running: Option<Option<JobId>>,
    waiting: VecDeque<Work>,
}

/// What became of a job that was put into the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    Waits,
    /// It runs already: its outcome is for the newer fence.
    Runs,
    /// It waits, and these older jobs never begin.
    Replaces(Vec<Job>),
    /// A newer generation waits already.
    Late(Box<Job>),
}

impl Queue {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            slots: HashMap::new(),
            ready: VecDeque::new(),
            running: 0,
        }
    }

    /// Adds a job.
    pub fn put_job(&mut self, job: Job) -> Put {
        let id = job.task.target().id;
        let slot = self.slots.entry(id).or_default();
        if slot.running == Some(Some(job.id)) {
            return Put::Runs;
        }
        slot.waiting
            .retain(|work| !matches!(work, Work::Job(other) if other.id == job.id));
        let mut replaced = Vec::new();
        if let Some(generation) = generation(&job.task) {
            let newest = slot.waiting.iter().filter_map(waiting_generation).max();
            if newest.is_some_and(|newest| newest > generation) {
                return Put::Late(Box::new(job));
            }
            slot.waiting.retain(|work| match work {
                Work::Job(older) if waiting_generation(work).is_some() => {
                    replaced.push((**older).clone());
                    false
                }
                Work::Job(_) => true,
                // The job does what they would have done.
                Work::Look(_) | Work::Repair(_) => false,
            });
        }
        self.push(Work::Job(Box::new(job)));
        if replaced.is_empty() {
            Put::Waits
        } else {
            Put::Replaces(replaced)
        }
    }

    /// Adds work of our own, unless there is some waiting for that placement.
    pub fn put(&mut self, work: Work) {
        let slot = self.slots.entry(work.placement()).or_default();
        if slot.waiting.is_empty() {
            self.push(work);
        }
    }

    /// Takes the next work that may begin.
    pub fn start(&mut self) -> Option<(PlacementId, Work)> {
        if self.running >= self.limit {
            return None;
        }
        let id = self.ready.pop_front()?;
        let slot = self.slots.get_mut(&id).expect("what is ready has a slot");
        let work = slot.waiting.pop_front().expect("what is ready has work");
        slot.running = Some(match &work {
            Work::Job(job) => Some(job.id),
            Work::Look(_) | Work::Repair(_) => None,
        });
        self.running += 1;
        Some((id, work))
    }

    /// What ran for a placement has ended.
    pub fn finished(&mut self, id: PlacementId) {
        let slot = self.slots.get_mut(&id).expect("what ran has a slot");
        slot.running = None;
        self.running -= 1;
        if slot.waiting.is_empty() {
            self.slots.remove(&id);
        } else {
            self.ready.push_back(id);
        }
    }

    /// Whether nothing waits or runs for a placement.
    pub fn idle(&self, id: PlacementId) -> bool {
        !self.slots.contains_key(&id)
    }

    pub fn running(&self) -> usize {
        self.running
    }

    fn push(&mut self, work: Work) {
        let id = work.placement();
        let slot = self.slots.entry(id).or_default();
        slot.waiting.push_back(work);
        if slot.running.is_none() && !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
    }
}

fn generation(task: &Task) -> Option<u64> {
    match task {
        Task::Ensure { placement } => Some(placement.generation),
        Task::Remove { generation, .. } => Some(*generation),
        Task::Act { .. } => None,
    }
}

fn waiting_generation(work: &Work) -> Option<u64> {
    match work {
        Work::Job(job) => generation(&job.task),
        Work::Look(_) | Work::Repair(_) => None,
    }
}

#[cfg(test)]
mod tests;
