//! Many components at once, and one that does not stop talking.

use std::path::Path;
use std::time::{Duration, Instant};

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
/// How long all of them may take to be connected.
const ALL_WITHIN: Duration = Duration::from_secs(120);
/// How long somebody may wait for an answer meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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

/// How many are connected, as somebody sees it who asks page by page; and how long one answer took at most.
async fn connected(admin: &Actor) -> (usize, Duration) {
    let (mut count, mut slowest, mut after) = (0, Duration::ZERO, String::new());
    loop {
        let asked = Instant::now();
        let page = admin.get(&format!("/v1/components?limit=500{after}")).await;
        slowest = slowest.max(asked.elapsed());
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
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    loop {
        let (count, slow) = connected(&admin).await;
        slowest = slowest.max(slow);
        if count == CROWD {
            break;
        }
        let so_far = began.elapsed();
        assert!(
            so_far < ALL_WITHIN,
            "{count} are connected after {so_far:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let body = json!({"name": "lab", "spec": {}});
    let made = admin
        .post(&format!("{DEFAULT}/networks?wait=120s"))
        .json(&body);
    let made = made.await.good();
    assert_eq!(made["status"]["phase"], "ready", "{made}");
    assert!(slowest < ANSWER_WITHIN, "somebody waited {slowest:?}");
    drop(crowd);
    core.stop().await;
}
