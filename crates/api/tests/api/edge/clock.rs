//! A component whose host's clock says another time than it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::{Clock, Component, Surroundings};
use rhyzome_model::component::ComponentKind;
use rhyzome_pki::issue::ComponentRequest;
use rhyzome_pki::{IdentityFolder, NewKey};
use tokio_util::sync::CancellationToken;

use super::site::{Site, ensure, network, setup, wait_for};
use crate::raw::identity;

const YEAR: i64 = 365 * 86_400;

/// A clock that is so many seconds ahead, and counts who looks at it.
#[derive(Clone, Default)]
struct Ahead(Arc<(AtomicI64, AtomicUsize)>);

impl Ahead {
    fn set(&self, seconds: i64) {
        self.0.0.store(seconds, Ordering::Relaxed);
    }

    fn looks(&self) -> usize {
        self.0.1.load(Ordering::Relaxed)
    }

    fn clock(&self) -> Clock {
        let ahead = self.clone();
        Clock::of(move || {
            ahead.0.1.fetch_add(1, Ordering::Relaxed);
            let ahead = ahead.0.0.load(Ordering::Relaxed);
            let by = Duration::from_secs(ahead.unsigned_abs());
            match ahead < 0 {
                true => SystemTime::now() - by,
                false => SystemTime::now() + by,
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_whose_clock_says_1970_or_2040_is_told_and_connects_when_it_is_right() {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let since = i64::try_from(since.as_secs()).expect("a time");
    for (ahead, says) in [(-since, "1970-01-01T"), (14 * YEAR, "20")] {
        let site = Site::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let id = site.join(folder.path(), ComponentKind::Linux).await;
        let off = Ahead::default();
        off.set(ahead);
        let surroundings = Surroundings {
            clock: off.clock(),
            ..Surroundings::default()
        };
        let component = Component::open_from(setup(folder.path()), surroundings).expect("opened");
        let link = component.link();
        let told = link.connect().await.expect_err("the clock is wrong");
        let told = told.to_string();
        for part in [&site.url(), says, "one of the two clocks is wrong"] {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
        let stop = CancellationToken::new();
        let driver = FakeDriver::linux(Options::default()).expect("a fake");
        let running = tokio::spawn(component.run(driver.clone(), stop.clone()));
        let job = site.gateway.put(id, ensure(&network(1)));
        // It tries in vain, to connect or to renew.
        let before = off.looks();
        wait_for("tries", || (off.looks() > before + 10).then_some(())).await;
        assert!(site.gateway.state().sessions.is_empty());
        let before = identity(folder.path());
        off.set(0);
        wait_for("the outcome", || site.gateway.outcome_of(job)).await;
        let after = identity(folder.path());
        assert_eq!(
            after.certificate().serial,
            before.certificate().serial,
            "it renewed a certificate that was good"
        );
        stop.cancel();
        running.await.expect("the component ended");
    }
}

/// As a core leaves it whose clock was ahead: nothing is joined anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_core_whose_clock_was_ahead_is_renewed_when_it_is_right() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let id = site.join(folder.path(), ComponentKind::Linux).await;
    let me = identity(folder.path());
    let key = NewKey::make().expect("a key");
    let request = ComponentRequest {
        csr: &key.request().expect("a request"),
        component_id: &id.to_string(),
        validity: Duration::from_secs(86_400),
    };
    let ahead = SystemTime::now() + Duration::from_secs(365 * 86_400);
    let authority = &site.gateway.authority;
    let issued = authority.issue_component(request, ahead, &mut rand::rng());
    let issued = issued.expect("issued");
    let serial = issued.serial.clone();
    {
        let mut state = site.gateway.state();
        let known = state.components.get_mut(&id).expect("known");
        known.serials.insert(serial);
    }
    let later = me.renewed(key, &issued.pem(), &authority.certificate_pem());
    IdentityFolder::new(folder.path().join("identity"))
        .save(&later.expect("an identity"))
        .expect("saved");
    let driver = FakeDriver::linux(Options::default()).expect("a fake");
    let component = super::site::Running::start(id, folder, driver);
    let job = site.gateway.put(id, ensure(&network(1)));
    wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    let now = identity(component.folder.path());
    assert!(now.certificate().not_before <= SystemTime::now());
    component.stop().await;
}
