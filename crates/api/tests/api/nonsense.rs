//! A component that says what is not so, or cannot be, or does not stop talking: it harms nobody else.

mod inventory;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rhyzome_model::component::ComponentKind;
use rhyzome_model::instance::{InstanceObserved, InstanceState, SshIdentity};
use rhyzome_model::job::{FailureKind, Outcome};
use rhyzome_model::placement::{Found, Observed, PlacementKind, PlacementRef};
use rhyzome_model::{ComponentId, JobId, NetworkId, PlacementId, Timestamp};
use rhyzome_proto::pb;
use rhyzome_proto::session::{
    Changed, FromComponent, FromCore, GoodbyeReason, JobOutcome, JobProgress, LedgerCounts,
};
use rhyzome_testkit::{BOUND, Simulated};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::binary::Running;
use crate::raw::{Raw, joined};
use crate::{DEFAULT, Site};

/// As many messages as somebody sends who floods the core.
const FLOOD: usize = 100_000;

impl Site {
    /// What is not to change.
    async fn seen(&self) -> Value {
        let mut seen = Vec::new();
        for path in ["networks/lab", "instances/first"] {
            let shown = self.core.admin().get(&format!("{DEFAULT}/{path}")).await;
            let shown = shown.good();
            seen.push(json!([shown["spec"], shown["status"]]));
        }
        seen.into()
    }

    /// All jobs that there were, and all placements that there are.
    async fn known(&self) -> (Vec<JobId>, Vec<PlacementRef>) {
        let admin = self.core.admin();
        let mut conn = self.core.core().store.read().await.expect("a connection");
        let jobs = rhyzome_store::job::list(&mut conn, None, None, ("", 100)).await;
        let jobs = jobs.expect("jobs").into_iter().map(|job| job.id).collect();
        let mut placements = Vec::new();
        let components = admin.get("/v1/components").await.good();
        for component in components["items"].as_array().expect("items") {
            let id = component["id"].as_str().expect("an id");
            let id: ComponentId = id.parse().expect("an id");
            let rows = rhyzome_store::placement::of_component(&mut conn, id).await;
            placements.extend(rows.expect("rows").iter().map(|row| row.reference()));
        }
        (jobs, placements)
    }
}

fn crashed() -> Observed {
    Observed::Instance(InstanceObserved {
        state: InstanceState::Crashed,
        reason: "\0 a lie".to_owned(),
        since: Timestamp::from_millis(i64::MAX),
        restarts: u32::MAX,
        needs_restart: true,
        accelerator: String::new(),
        ssh: SshIdentity::default(),
    })
}

/// All that may be said of a job.
fn of_job(job: JobId) -> Vec<FromComponent> {
    let failed = Outcome::Failed {
        kind: FailureKind::Permanent,
        message: "\0".to_owned(),
    };
    let ensured = Outcome::Ensured {
        observed: crashed(),
    };
    let mut said = Vec::new();
    for fence in [0, 1, 2, u64::MAX] {
        said.push(FromComponent::Progress(JobProgress {
            job,
            fence,
            step: "\0 lying".to_owned(),
            amount: Some((u64::MAX, 0)),
        }));
        for outcome in [Outcome::Removed, ensured.clone(), failed.clone()] {
            let outcome = JobOutcome {
                job,
                fence,
                outcome,
            };
            said.push(FromComponent::Outcome(outcome));
        }
    }
    said
}

/// All that may be said of a placement.
fn of_placement(placement: &PlacementRef) -> Vec<FromComponent> {
    let mut said = Vec::new();
    for generation in [0, 1, 2, u64::MAX] {
        for observed in [crashed(), Observed::Lease] {
            said.push(FromComponent::Changed(Changed {
                placement: placement.id,
                generation,
                observed,
                mended: "nothing".to_owned(),
            }));
        }
        let found = Found {
            placement: placement.clone(),
            generation,
            observed: None,
            differs: String::new(),
        };
        said.push(FromComponent::Inventory {
            found: vec![found],
            last: true,
        });
    }
    said
}

fn nobodys() -> PlacementRef {
    PlacementRef {
        id: PlacementId(Uuid::new_v4()),
        kind: PlacementKind::Instance,
        resource: Uuid::nil(),
        network: Some(NetworkId(Uuid::max())),
    }
}

fn heartbeat(time: i64) -> FromComponent {
    let most = LedgerCounts {
        accepted: u32::MAX,
        ensured: u32::MAX,
        removing: u32::MAX,
    };
    FromComponent::Heartbeat {
        time: Timestamp::from_millis(time),
        ledger: most,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_component_makes_up_of_others_changes_nothing() {
    let site = Site::start().await;
    site.network("lab").await;
    site.image("hello").await;
    site.instance("first", "lab").await;
    let (seen, (jobs, placements)) = (site.seen().await, site.known().await);
    assert!(jobs.len() >= 4 && placements.len() >= 4);
    let count = site.hypervisor.driver.count();

    let folder = tempfile::tempdir().expect("a folder");
    let (admin, core) = (site.core.admin(), site.core.grpc_url());
    let mut liar = Raw::join(&admin, &core, "liar", folder.path()).await;
    let unknown = JobId(Uuid::new_v4());
    let mut said: Vec<_> = jobs.into_iter().chain([unknown]).flat_map(of_job).collect();
    said.extend(placements.iter().chain([&nobodys()]).flat_map(of_placement));
    said.extend([i64::MIN, 0, i64::MAX].map(heartbeat));
    for message in said {
        assert!(liar.say(message).await, "the session ended");
    }
    // When this one is answered, all before it was heard.
    let last = JobId(Uuid::new_v4());
    liar.say(of_job(last).remove(1)).await;
    let heard = async {
        loop {
            match liar.hear().await.expect("the session goes on") {
                FromCore::OutcomeRecorded { job, .. } if job == last => return,
                FromCore::Job(job) => {
                    // What it has that nobody knows is to go, and nothing else.
                    assert_eq!(job.task.target().resource, Uuid::nil(), "{job:?}");
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(BOUND, heard)
        .await
        .expect("it is heard");
    assert_eq!(site.seen().await, seen);
    assert_eq!(site.hypervisor.driver.count(), count);
    let listed = admin.get("/v1/components").await.good();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(3));
    admin.get("/v1/components/liar").await.good();
    admin.get(&format!("{DEFAULT}/jobs")).await.good();
    site.instance("second", "lab").await;
}

/// Whether a session ends with what is wrong with a message.
fn says(end: &FromCore, wrong: &str) -> bool {
    matches!(
        end,
        FromCore::Goodbye { reason: GoodbyeReason::Malformed, message } if message.starts_with(wrong)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_none_ends_its_session_with_what_is_wrong_and_no_other() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (admin, core) = (site.core.admin(), site.core.grpc_url());
    let me = joined(&admin, &core, "liar", folder.path()).await;
    let changed = |placement: &str, what: Option<pb::observed::What>| {
        pb::from_component::Message::Changed(pb::Changed {
            placement: placement.to_owned(),
            generation: 1,
            observed: Some(pb::Observed { what }),
            mended: String::new(),
        })
    };
    let id = Uuid::new_v4().to_string();
    let instance = pb::observed::What::Instance(pb::InstanceObserved {
        state: 77,
        ..pb::InstanceObserved::default()
    });
    for (message, wrong) in [
        (changed("no id", None), "changed.placement: "),
        (changed(&id, None), "changed.observed.what: is missing"),
        (
            changed(&id, Some(instance)),
            "changed.observed.instance.state: ",
        ),
        (
            pb::from_component::Message::Outcome(pb::JobOutcome::default()),
            "outcome.result: is missing",
        ),
    ] {
        let mut liar = Raw::open(&core, &me).await;
        let message = Some(message);
        liar.say(pb::FromComponent { message }).await;
        let end = liar.end().await.expect("a goodbye");
        assert!(says(&end, wrong), "{end:?}");
    }
    // One of more than any message may have is not read to its end.
    let mut liar = Raw::open(&core, &me).await;
    let step = "x".repeat(17 << 20);
    let job = JobId(Uuid::new_v4());
    let progress = JobProgress {
        job,
        fence: 1,
        step,
        amount: None,
    };
    liar.say(FromComponent::Progress(progress)).await;
    let end = liar.end().await.expect("a goodbye");
    assert!(
        says(&end, "a message has at most 16777216 bytes"),
        "{end:?}"
    );
    let mut liar = Raw::open(&core, &me).await;
    site.network("lab").await;
    liar.say(of_job(job).remove(1)).await;
    let heard = liar.hear().await.expect("it is welcome again");
    assert!(
        matches!(heard, FromCore::OutcomeRecorded { .. }),
        "{heard:?}"
    );
}

/// What the process has in memory, in MiB.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.expect("a size").split_whitespace();
    words
        .nth(1)
        .expect("a number")
        .parse::<usize>()
        .expect("a number")
        >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_floods_the_core_starves_nobody_and_fills_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = |name: &str| folder.path().join(name);
    let core = Running::start_logging(&own("core"), "info").await;
    let (admin, url) = (core.admin.clone(), core.grpc_url.clone());
    let _router =
        Simulated::join(&admin, &url, ComponentKind::Linux, "router", own("router")).await;
    let flooding = Raw::join(&admin, &url, "flood", &own("flood")).await;
    let before = resident(core.pid());

    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let flood = tokio::spawn(async move {
        let (job, placement) = (JobId(Uuid::new_v4()), nobodys());
        let said = [of_job(job), of_placement(&placement)].concat();
        for message in said.iter().cycle().take(FLOOD) {
            if !flooding.say(message.clone()).await {
                break;
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
        flooding
    });
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for number in 0.. {
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
        let asked = Instant::now();
        let body = json!({"name": format!("lab{number}"), "spec": {}});
        let made = admin
            .post(&format!("{DEFAULT}/networks?wait=30s"))
            .json(&body);
        let made = made.await.good();
        assert_eq!(made["status"]["phase"], "ready", "{made}");
        slowest = slowest.max(asked.elapsed());
    }
    let sent = sent.load(Ordering::Relaxed);
    assert!(
        slowest < Duration::from_secs(10),
        "somebody waited {slowest:?}"
    );
    assert!(sent > 5000, "it was no flood: {sent}");
    let after = resident(core.pid());
    assert!(after < before + 64, "from {before} to {after} MiB");
    assert!(!flood.is_finished(), "all of the flood was listened to");
    flood.abort();
}
