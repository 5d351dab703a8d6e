use std::path::PathBuf;

use async_trait::async_trait;
use rhyzome_proto::session::FromComponent;
use tempfile::TempDir;

use super::super::record::Base;
use super::*;

const ORDER: Uuid = Uuid::from_u128(7);

/// A core that has these bytes, or none.
struct Sent(Option<Vec<u8>>);

#[async_trait]
impl Blobs for Sent {
    async fn fetch(&self, _: BlobPin, to: PathBuf, _: &Progress) -> Result<(), DriverError> {
        match &self.0 {
            Some(bytes) => {
                std::fs::write(to, bytes).unwrap();
                Ok(())
            }
            None => Err(DriverError::permanent("the core does not have it")),
        }
    }
}

/// A component whose program is this test's own.
struct Component {
    _state: TempDir,
    upgrader: Upgrader,
    reports: Arc<Reports>,
    leave: CancellationToken,
}

fn own() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn trial(program: Which, within: u32) -> Trial {
    Trial {
        id: ORDER,
        program,
        within,
        starts: 1,
        began: Some(moment().unwrap()),
    }
}

impl Component {
    fn new(trial: Option<Trial>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut record = Record::new(Base {
            path: own(),
            digest: candidate::digest(&own()).unwrap(),
        });
        record.trial.clone_from(&trial);
        let launched = Launched {
            folder: Folder::of(state.path()),
            record,
            name: "rhyzome-test",
            machine: candidate::machine(&own()).unwrap(),
            running: trial
                .as_ref()
                .map_or(Which::Installed, |trial| trial.program),
            trial,
        };
        Self {
            _state: state,
            upgrader: Upgrader::new(launched),
            reports: Arc::default(),
            leave: CancellationToken::new(),
        }
    }

    /// How an order to run these bytes ends.
    async fn ordered(&self, bytes: Option<&[u8]>, digest: Digest, size: Size) -> UpgradeReport {
        self.upgrader.order(UpgradeOrder {
            id: ORDER,
            to: UpgradeTo::Program { digest, size },
            within: 60,
        });
        self.ended(bytes).await
    }

    async fn ended(&self, bytes: Option<&[u8]>) -> UpgradeReport {
        let blobs = Arc::new(Sent(bytes.map(<[u8]>::to_vec)));
        let reports = Arc::clone(&self.reports);
        let running = self.upgrader.run(blobs, reports, self.leave.clone());
        let heard = async {
            loop {
                self.reports.woken().await;
                for message in self.reports.take() {
                    if let FromComponent::Upgrade(report) = message
                        && report.phase.ended()
                    {
                        return report;
                    }
                }
            }
        };
        tokio::select! {
            () = running => panic!("the component leaves"),
            report = heard => report,
        }
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.upgrader.folder().path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn what_is_no_program_of_this_component_is_refused_and_nothing_of_it_is_kept() {
    let component = Component::new(None);
    let text = b"this is no program".as_slice();
    let (digest, size) = (Digest::of(text), Size::bytes(text.len() as u64));
    let report = component.ordered(Some(text), digest, size).await;
    assert_eq!(report.phase, UpgradePhase::Failed);
    assert!(
        report.reason.starts_with("it is no program"),
        "{}",
        report.reason
    );
    assert_eq!(component.upgrader.latest(), Some(report));
    assert_eq!(component.files(), ["record.json"]);
}

#[tokio::test]
async fn bytes_that_are_not_those_that_were_ordered_are_refused() {
    let component = Component::new(None);
    let bytes = std::fs::read(own()).unwrap();
    let digest = Digest::of(b"others");
    let size = Size::bytes(bytes.len() as u64);
    let report = component.ordered(Some(&bytes), digest, size).await;
    assert!(
        report
            .reason
            .starts_with("its bytes are not those that were sent"),
        "{}",
        report.reason
    );
}

#[tokio::test]
async fn a_program_that_there_is_no_room_for_is_not_even_fetched() {
    let component = Component::new(None);
    let report = component
        .ordered(None, Digest::of(b"large"), Size::bytes(1 << 60))
        .await;
    let reason = &report.reason;
    assert!(
        reason.starts_with("there is no room for a program of "),
        "{reason}"
    );
    assert!(reason.contains(" free: make room there"), "{reason}");
}

#[tokio::test]
async fn what_the_core_does_not_have_is_told() {
    let component = Component::new(None);
    let report = component
        .ordered(None, Digest::of(b"unknown"), Size::bytes(7))
        .await;
    assert_eq!(
        report.reason,
        "it was not fetched: the core does not have it"
    );
}

#[tokio::test]
async fn an_order_to_run_what_runs_already_is_done_at_once() {
    let component = Component::new(None);
    let digest = candidate::digest(&own()).unwrap();
    let report = component.ordered(None, digest, Size::bytes(1)).await;
    assert_eq!(report.phase, UpgradePhase::Done);
    assert!(!component.leave.is_cancelled());
}

#[tokio::test]
async fn a_program_on_trial_is_the_current_one_once_the_core_has_heard_it() {
    let new = Which::Sent(Digest::of(b"new"));
    let component = Component::new(Some(trial(new, 60)));
    assert_eq!(
        component.upgrader.on_trial().map(|report| report.phase),
        Some(UpgradePhase::Trying)
    );
    component.upgrader.noted(Uuid::nil());
    assert!(component.upgrader.on_trial().is_some(), "another order");
    component.upgrader.noted(ORDER);
    let report = component.ended(None).await;
    assert_eq!((report.id, report.phase), (ORDER, UpgradePhase::Done));
    let record = component.upgrader.folder().load().unwrap().unwrap();
    assert_eq!(record.current, new);
    assert_eq!(record.previous, Some(Which::Installed));
    assert_eq!(component.upgrader.on_trial(), None);
}

#[tokio::test]
async fn a_program_on_trial_that_has_no_session_in_its_time_leaves_and_says_why() {
    let new = Which::Sent(Digest::of(b"new"));
    let component = Component::new(Some(trial(new, 1)));
    component.upgrader.note_trouble("the core is away");
    let blobs = Arc::new(Sent(None));
    let reports = Arc::clone(&component.reports);
    component
        .upgrader
        .run(blobs, reports, component.leave.clone())
        .await;
    // It is this test that would be ended.
    alarm::cancel();
    assert!(component.leave.is_cancelled() && component.upgrader.leaves());
    let record = component.upgrader.folder().load().unwrap().unwrap();
    assert_eq!(record.current, Which::Installed);
    assert_eq!(
        record.last.unwrap().failed.as_deref(),
        Some("it had no settled session with the core within 1 s: the core is away")
    );
}

#[tokio::test]
async fn one_waits_for_the_newest_order_alone() {
    let component = Component::new(None);
    let first = UpgradeOrder {
        id: Uuid::nil(),
        to: UpgradeTo::Previous,
        within: 60,
    };
    component.upgrader.order(first);
    let report = component
        .ordered(None, Digest::of(b"unknown"), Size::bytes(7))
        .await;
    assert_eq!(report.id, ORDER);
}
