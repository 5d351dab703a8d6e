use super::*;
use crate::samples::{ensure, generation, job, remove, segment};
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
