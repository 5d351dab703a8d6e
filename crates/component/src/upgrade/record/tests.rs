use super::*;

const ORDER: Uuid = Uuid::from_u128(7);

fn base(bytes: &[u8]) -> Base {
    Base {
        path: PathBuf::from("/usr/bin/rhyzome-linux"),
        digest: Digest::of(bytes),
    }
}

fn new() -> Which {
    Which::Sent(Digest::of(b"new"))
}

fn at(seconds: u64) -> Moment {
    Moment {
        boot: "first".to_owned(),
        seconds,
    }
}

/// The installed program is started, and all programs can be run.
fn start(record: &mut Record, seconds: u64) -> Choice {
    record.choose(base(b"installed"), at(seconds), |_| Ok(()))
}

fn on_trial() -> Record {
    let mut record = Record::new(base(b"installed"));
    record.try_out(ORDER, new(), 120);
    record
}

fn failure(record: &Record) -> &str {
    assert_eq!(record.trial, None);
    let last = record.last.as_ref().expect("an order has ended");
    assert_eq!(last.id, ORDER);
    last.failed.as_deref().expect("it failed")
}

#[test]
fn a_program_on_trial_that_settles_is_run_from_then_on_and_the_one_before_is_kept() {
    let mut record = on_trial();
    assert!(matches!(start(&mut record, 10), Choice::Trial(trial) if trial.program == new()));
    record.settle();
    assert_eq!(
        (record.current, record.previous),
        (new(), Some(Which::Installed))
    );
    assert_eq!(start(&mut record, 500), Choice::Current(new()));
    assert_eq!(
        record.last,
        Some(Ended {
            id: ORDER,
            failed: None
        })
    );
}

#[test]
fn a_program_that_is_ended_again_and_again_before_it_settles_is_not_started_any_more() {
    let mut record = on_trial();
    for seconds in [10, 12, 14] {
        assert!(matches!(start(&mut record, seconds), Choice::Trial(_)));
    }
    assert_eq!(start(&mut record, 16), Choice::Current(Which::Installed));
    assert!(failure(&record).starts_with("it ended 3 times before it had a settled session"));
    assert!(!record.needs(Digest::of(b"new")));
}

#[test]
fn a_program_whose_time_is_over_is_not_started_any_more_whatever_has_ended_it() {
    let mut record = on_trial();
    assert!(matches!(start(&mut record, 10), Choice::Trial(_)));
    assert!(
        matches!(start(&mut record, 129), Choice::Trial(trial) if trial.left(&at(129)) == Duration::from_secs(1))
    );
    assert_eq!(start(&mut record, 130), Choice::Current(Which::Installed));
    assert!(failure(&record).starts_with("it had no settled session with the core within 120 s"));
}

#[test]
fn a_trial_goes_on_with_all_of_its_time_when_the_machine_was_started_again() {
    let mut record = on_trial();
    assert!(matches!(start(&mut record, 100_000), Choice::Trial(_)));
    let second = Moment {
        boot: "second".to_owned(),
        seconds: 5,
    };
    let Choice::Trial(trial) = record.choose(base(b"installed"), second.clone(), |_| Ok(())) else {
        panic!("{record:?}")
    };
    assert_eq!(trial.starts, 2);
    assert_eq!(trial.left(&second), Duration::from_secs(120));
}

#[test]
fn a_program_on_trial_that_is_damaged_is_not_started() {
    let mut record = on_trial();
    let damaged = |_| Err("its bytes are others".to_owned());
    let choice = record.choose(base(b"installed"), at(10), damaged);
    assert_eq!(choice, Choice::Current(Which::Installed));
    assert_eq!(failure(&record), "its bytes are others");
}

#[test]
fn a_program_that_somebody_installs_wins_over_all_that_was_sent() {
    let mut record = on_trial();
    record.settle();
    record.try_out(ORDER, Which::Sent(Digest::of(b"newer")), 120);
    let choice = record.choose(base(b"package"), at(10), |_| Ok(()));
    assert_eq!(choice, Choice::Current(Which::Installed));
    assert!(failure(&record).starts_with("another program was installed"));
    assert_eq!(record.previous, None);
    assert_eq!(record.base, base(b"package"));
    assert!(!record.needs(Digest::of(b"new")));
}

#[test]
fn a_current_program_that_cannot_be_run_any_more_gives_way_to_the_installed_one() {
    let mut record = on_trial();
    record.settle();
    let gone = |_| Err("it is not there".to_owned());
    let choice = record.choose(base(b"installed"), at(10), gone);
    assert_eq!(choice, Choice::Current(Which::Installed));
    assert_eq!(
        failure(&record),
        "it cannot be run any more: it is not there"
    );
}

#[test]
fn going_back_and_forth_keeps_the_other_one() {
    let mut record = on_trial();
    record.settle();
    for (now, before) in [(Which::Installed, new()), (new(), Which::Installed)] {
        let back = record.previous.expect("there is one");
        record.try_out(ORDER, back, 120);
        assert!(matches!(start(&mut record, 10), Choice::Trial(_)));
        record.settle();
        assert_eq!((record.current, record.previous), (now, Some(before)));
        assert!(record.needs(Digest::of(b"new")));
    }
}

#[test]
fn a_record_of_another_version_is_read_with_what_it_has() {
    let text = format!(
        r#"{{"base": {{"path": "/bin/x", "digest": "{}"}}, "current": "installed", "more": 1}}"#,
        Digest::of(b"installed")
    );
    let record: Record = serde_json::from_str(&text).expect("what is missing has a meaning");
    assert_eq!(record.current, Which::Installed);
    assert_eq!(record.last, None);
}
