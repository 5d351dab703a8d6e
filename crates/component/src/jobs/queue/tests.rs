use super::*;
use crate::samples::{ensure, generation, job, remove, segment};
use proptest::collection::vec;
use proptest::prelude::*;
use rhyzome_model::job::Action;

fn job_of(work: Work) -> Job {
    match work {
        Work::Job(job) => *job,
        other => panic!("{other:?} is no job"),
    }
}

#[test]
fn one_placements_work_waits_for_its_own_and_others_run_up_to_the_limit() {
    let mut queue = Queue::new(2);
    let act = Task::Act {
        target: segment(1).reference(),
        action: Action::Reboot,
    };
    queue.put_job(job(1, ensure(&segment(1))));
    queue.put_job(job(2, act));
    queue.put_job(job(3, ensure(&segment(2))));
    queue.put_job(job(4, ensure(&segment(3))));
    let mut begun = Vec::new();
    while let Some((id, work)) = queue.start() {
        begun.push((id, job_of(work).id.0.as_u128()));
    }
    assert_eq!(begun, [(segment(1).id, 1), (segment(2).id, 3)]);
    queue.finished(segment(2).id);
    assert_eq!(queue.start().map(|(id, _)| id), Some(segment(3).id));
    queue.finished(segment(1).id);
    assert_eq!(
        queue.start().map(|(_, work)| job_of(work).id.0.as_u128()),
        Some(2)
    );
    queue.finished(segment(1).id);
    queue.finished(segment(3).id);
    assert!(
        [1, 2, 3]
            .iter()
            .all(|number| queue.idle(segment(*number).id))
    );
    assert_eq!(queue.running(), 0);
}

#[test]
fn a_newer_generation_takes_the_place_of_older_work_that_has_not_begun() {
    let mut queue = Queue::new(1);
    queue.put(Work::Repair(segment(9).id));
    queue.start().expect("something else runs");
    let first = job(1, ensure(&segment(1)));
    assert_eq!(queue.put_job(first.clone()), Put::Waits);
    queue.put(Work::Look(segment(1).id));
    let newer = job(2, remove(&segment(1), 3));
    assert_eq!(queue.put_job(newer.clone()), Put::Replaces(vec![first]));
    let late = job(3, ensure(&generation(2, segment(1))));
    assert_eq!(queue.put_job(late.clone()), Put::Late(Box::new(late)));
    queue.finished(segment(9).id);
    assert_eq!(queue.start().map(|(_, work)| job_of(work)), Some(newer));
    queue.finished(segment(1).id);
    assert_eq!(queue.start(), None, "the older job is done as well");
}

#[test]
fn a_job_that_comes_again_runs_once() {
    let mut queue = Queue::new(1);
    let first = job(1, ensure(&segment(1)));
    let again = Job {
        fence: 2,
        ..first.clone()
    };
    queue.put_job(first.clone());
    assert_eq!(queue.put_job(again.clone()), Put::Waits);
    assert_eq!(
        queue.start().map(|(_, work)| job_of(work)),
        Some(again.clone())
    );
    assert_eq!(queue.put_job(again), Put::Runs);
    queue.finished(segment(1).id);
    assert_eq!(queue.start(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        placement: u128,
        job: u128,
        generation: u64,
    },
    Repair {
        placement: u128,
    },
    Start,
    Finish {
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let put = (1..4_u128, 1..8_u128, 1..6_u64);
    prop_oneof![
        put.prop_map(|(placement, job, generation)| Step::Put {
            placement,
            job,
            generation
        }),
        (1..4_u128).prop_map(|placement| Step::Repair { placement }),
        Just(Step::Start),
        (0..4_usize).prop_map(|which| Step::Finish { which }),
    ]
}

/// What is begun, as a placement with the generation of its job.
fn start(queue: &mut Queue) -> Option<(PlacementId, Option<u64>)> {
    let (id, work) = queue.start()?;
    let generation = waiting_generation(&work);
    Some((id, generation))
}

proptest! {
    /// One at a time for each placement, no more than the limit, always the generation that was taken
    /// last, and in the end all is done.
    #[test]
    fn whatever_comes_is_done_one_at_a_time_and_the_last_that_was_taken(steps in vec(step(), 0..60)) {
        let mut queue = Queue::new(2);
        let mut running: Vec<PlacementId> = Vec::new();
        let mut newest: HashMap<PlacementId, u64> = HashMap::new();
        let began = |queue: &mut Queue, running: &mut Vec<PlacementId>,
                         newest: &HashMap<PlacementId, u64>| {
            let Some((id, generation)) = start(queue) else { return Ok(false) };
            prop_assert!(!running.contains(&id), "two at once for one placement");
            running.push(id);
            prop_assert!(running.len() <= 2, "more at once than the limit");
            if let Some(generation) = generation {
                prop_assert_eq!(Some(&generation), newest.get(&id));
            }
            Ok(true)
        };
        for step in steps {
            match step {
                Step::Put { placement, job: number, generation: new } => {
                    let placement = generation(new, segment(placement));
                    // A job is about one placement in one generation.
                    let number = number + (placement.id.0.as_u128() << 8) + (u128::from(new) << 4);
                    let put = queue.put_job(job(number, ensure(&placement)));
                    let waits = matches!(put, Put::Waits | Put::Replaces(_));
                    if waits {
                        newest.insert(placement.id, new);
                    }
                }
                Step::Repair { placement } => queue.put(Work::Repair(segment(placement).id)),
                Step::Start => {
                    began(&mut queue, &mut running, &newest)?;
                }
                Step::Finish { which } if which < running.len() => {
                    queue.finished(running.remove(which));
                }
                Step::Finish { .. } => {}
            }
            prop_assert_eq!(queue.running(), running.len());
        }
        loop {
            let more = began(&mut queue, &mut running, &newest)?;
            match running.pop() {
                Some(id) => queue.finished(id),
                None if !more => break,
                None => {}
            }
        }
        prop_assert!((1..4).all(|number| queue.idle(segment(number).id)), "something is left");
    }
}
