//! Many components at once, and one that does not stop talking.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rhyzome_app as app;
use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::join::identity_folder;
use rhyzome_component::{Component, Setup};
use rhyzome_model::component::ComponentKind;
use rhyzome_pki::{Identity, IdentityFolder, NewKey};
use rhyzome_testkit::{Actor, TestCore};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::DEFAULT;

const CROWD: usize = 1000;
/// What all of them may take to be connected and at work: two minutes of two processors. It is counted in processor
/// time, of core and crowd together: what else the machine does meanwhile says nothing about them.
const ALL_WITHIN: Duration = Duration::from_secs(240);
/// What may be done while somebody waits for an answer: ten seconds of two processors.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// By then it is over on any machine, or nothing happens any more.
const AT_LAST: Duration = Duration::from_secs(900);

/// The processor time that this process has had.
fn worked() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("its own");
    let times = [usage.user_time(), usage.system_time()];
    let micros: i64 = times.iter().map(TimeValLike::num_microseconds).sum();
    Duration::from_micros(micros.try_into().expect("it does not run backwards"))
}

/// Joins without a connection, which would take longer than what is to be seen.
async fn join(core: &TestCore, number: usize, folder: &Path) {
    let kind = match number {
        0 => ComponentKind::Linux,
        _ => ComponentKind::Libvirt,
    };
    let wanted = app::component::TokenRequest {
        kind: Some(kind),
        name: None,
        expires_in: 600,
    };
    let caller = app::Caller::local();
    let minted = app::component::token_create(core.core(), &caller, wanted).await;
    let token = minted.expect("a token").token;
    let key = NewKey::make().expect("a key");
    let request = app::join::JoinRequest {
        token: &token,
        csr: &key.request().expect("a request"),
        kind,
        name: Some(format!("c{number}").parse().expect("a name")),
        hostname: "host",
    };
    let joined = app::join::join(core.core(), &request)
        .await
        .expect("joined");
    let authority = core.core().authority.certificate_pem();
    let chain = joined.certificate.pem();
    let identity = Identity::assemble(key, &chain, &authority, &core.grpc_url());
    IdentityFolder::new(identity_folder(folder))
        .save(&identity.expect("an identity"))
        .expect("saved");
}

fn run(number: usize, folder: &Path) -> AbortOnDropHandle<()> {
    let driver = match number {
        0 => FakeDriver::linux(Options::default()),
        _ => FakeDriver::libvirt(Options::default()),
    };
    let setup = Setup {
        state_dir: folder.to_owned(),
        core: None,
        software_version: "test".to_owned(),
        jobs: JobsConfig::default(),
    };
    let component = Component::open(setup).expect("opened");
    let running = component.run(driver.expect("a host"), CancellationToken::new());
    AbortOnDropHandle::new(tokio::spawn(running))
}

/// How many are connected, as somebody sees it who asks page by page; and how much was done at most while
/// one answer was waited for.
async fn connected(admin: &Actor) -> (usize, Duration) {
    let (mut count, mut slowest, mut after) = (0, Duration::ZERO, String::new());
    loop {
        let asked = worked();
        let page = admin.get(&format!("/v1/components?limit=500{after}")).await;
        slowest = slowest.max(worked() - asked);
        let page = page.good();
        let items = page["items"].as_array().expect("items");
        count += items.iter().filter(|it| it["connected"] == true).count();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (count, slowest),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_components_come_back_at_once_and_people_are_answered_meanwhile() {
    let core = TestCore::start().await;
    // A thousand identities are written faster where nothing is written to a disk.
    let shm = Path::new("/dev/shm");
    let folder = match shm.is_dir() {
        true => tempfile::tempdir_in(shm),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let own = |number: usize| folder.path().join(number.to_string());
    for number in 0..CROWD {
        join(&core, number, &own(number)).await;
    }
    let stopped = core.stop_for_now().await;
    let crowd: Vec<_> = (0..CROWD).map(|number| run(number, &own(number))).collect();
    let core = stopped.start().await;
    let admin = core.admin();
    let (began, before) = (Instant::now(), worked());
    let in_time = |what: &str| {
        let (so_far, spent) = (began.elapsed(), worked() - before);
        assert!(
            spent < ALL_WITHIN && so_far < AT_LAST,
            "{what} after {so_far:?}, {spent:?} of them at work"
        );
    };
    let mut slowest = Duration::ZERO;
    loop {
        let (count, slow) = connected(&admin).await;
        slowest = slowest.max(slow);
        if count == CROWD {
            break;
        }
        in_time(&format!("{count} are connected"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let body = json!({"name": "lab", "spec": {}});
    let networks = format!("{DEFAULT}/networks");
    admin.post(&networks).json(&body).await.good();
    loop {
        let made = admin.get(&format!("{networks}/lab")).await.good();
        if made["status"]["phase"] == "ready" {
            break;
        }
        in_time(&made.to_string());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        slowest < ANSWER_WITHIN,
        "somebody waited for {slowest:?} of work"
    );
    drop(crowd);
    core.stop().await;
}
