//! Upgrades of components: what is asked, told, fetched and noted.

use rhyzome_app::upgrade::{self, Source, UpgradeRequest};
use rhyzome_app::{Kind, Result, session};
use rhyzome_model::resource::Component;
use rhyzome_model::upgrade::{Program, Upgrade, UpgradeOrder, UpgradePhase, UpgradeReport};
use rhyzome_model::{ComponentId, Digest};
use uuid::Uuid;

use super::site::{Site, name};

fn runs(bytes: &[u8], previous: Option<&[u8]>) -> Option<Program> {
    Some(Program {
        digest: Digest::of(bytes),
        machine: "x86_64".to_owned(),
        previous: previous.map(Digest::of),
    })
}

fn report(id: Uuid, phase: UpgradePhase) -> UpgradeReport {
    UpgradeReport {
        id,
        phase,
        reason: "because".to_owned(),
        amount: None,
    }
}

impl Site {
    /// The router says what it runs.
    async fn introduced(&self, program: Option<Program>, report: Option<UpgradeReport>) {
        let told = upgrade::introduced(&self.core, self.router.id, program, report);
        told.await.expect("noted");
    }

    async fn reported(&self, id: Uuid, phase: UpgradePhase) -> Upgrade {
        let told = upgrade::reported(&self.core, self.router.id, report(id, phase));
        told.await.expect("noted");
        let gate = name("gate");
        let gate = rhyzome_app::component::get(&self.core, &self.admin, &gate).await;
        let upgrade = gate.expect("it is there").upgrade;
        upgrade.expect("it was asked")
    }

    async fn ask(&self, source: Source) -> Result<Component> {
        let request = UpgradeRequest {
            source,
            within: 120,
        };
        upgrade::begin(&self.core, &self.admin, &name("gate"), request).await
    }

    async fn order(&self, of: ComponentId) -> Option<UpgradeOrder> {
        upgrade::order(&self.core, of).await.expect("a look")
    }

    async fn may_fetch(&self, of: ComponentId, digest: Digest) -> bool {
        match session::blob(&self.core, of, digest).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), Kind::NotFound);
                false
            }
        }
    }
}

fn blob(site: &Site, digest: Digest) -> Source {
    Source::Blob {
        project: site.default.clone(),
        digest,
    }
}

#[tokio::test]
async fn an_upgrade_is_its_components_to_hear_of_and_fetch_until_it_has_ended() {
    let site = Site::new().await;
    site.introduced(runs(b"old", None), None).await;
    let digest = site.upload(b"new").await;
    let (gate, node) = (site.router.id, site.hypervisor.id);
    assert!(!site.may_fetch(gate, digest).await);
    let asked = site.ask(blob(&site, digest)).await.expect("asked");
    let id = asked.upgrade.expect("it was asked").id;
    let again = site.ask(blob(&site, digest)).await.expect("asked again");
    assert_eq!(again.upgrade.map(|upgrade| upgrade.id), Some(id));
    assert_eq!(site.order(gate).await.map(|order| order.id), Some(id));
    assert_eq!(site.order(node).await, None);
    assert!(site.may_fetch(gate, digest).await);
    assert!(!site.may_fetch(node, digest).await);

    assert_eq!(
        site.reported(id, UpgradePhase::Trying).await.phase,
        UpgradePhase::Trying
    );
    assert!(site.order(gate).await.is_some(), "it may have been lost");
    let ended = site.reported(id, UpgradePhase::Done).await;
    assert_eq!((ended.phase, ended.reason), (UpgradePhase::Done, None));
    assert_eq!(site.order(gate).await, None);
    assert!(!site.may_fetch(gate, digest).await);
}

#[tokio::test]
async fn what_is_said_of_an_upgrade_late_or_of_another_one_changes_nothing() {
    let site = Site::new().await;
    site.introduced(runs(b"old", None), None).await;
    let digest = site.upload(b"new").await;
    let asked = site.ask(blob(&site, digest)).await.expect("asked");
    let id = asked.upgrade.expect("it was asked").id;
    let other = site.reported(Uuid::nil(), UpgradePhase::Done).await;
    assert_eq!(other.phase, UpgradePhase::Asked);
    let failed = site.reported(id, UpgradePhase::Failed).await;
    assert_eq!(failed.reason.as_deref(), Some("because"));
    let late = site.reported(id, UpgradePhase::Fetching).await;
    assert_eq!(late, failed);
    // What ran once and does not any more is told by the session after.
    site.reported(id, UpgradePhase::Done).await;
    let trouble = report(id, UpgradePhase::Failed);
    site.introduced(runs(b"old", None), Some(trouble)).await;
    assert_eq!(
        site.reported(Uuid::nil(), UpgradePhase::Done).await.phase,
        UpgradePhase::Failed
    );
}

#[tokio::test]
async fn bytes_that_are_asked_for_are_kept_until_the_upgrade_has_ended() {
    let site = Site::new().await;
    site.introduced(runs(b"old", None), None).await;
    let digest = site.upload(b"new").await;
    let asked = site.ask(blob(&site, digest)).await.expect("asked");
    let id = asked.upgrade.expect("it was asked").id;
    let week = 7 * 24 * 3600 * 1000;
    for _ in 0..3 {
        rhyzome_app::housekeeping::once(&site.core)
            .await
            .expect("clean");
        site.clock.advance(week);
    }
    assert!(site.may_fetch(site.router.id, digest).await);
    site.reported(id, UpgradePhase::Done).await;
    for _ in 0..3 {
        rhyzome_app::housekeeping::once(&site.core)
            .await
            .expect("clean");
        site.clock.advance(week);
    }
    let refused = site
        .ask(blob(&site, digest))
        .await
        .expect_err("they are gone");
    assert_eq!(refused.kind(), Kind::Invalid);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused() {
    let site = Site::new().await;
    let digest = site.upload(b"new").await;
    let refused = site
        .ask(blob(&site, digest))
        .await
        .expect_err("it never said");
    assert_eq!(refused.kind(), Kind::WrongState);
    site.introduced(runs(b"old", None), None).await;
    let refused = site.ask(Source::Previous).await.expect_err("there is none");
    assert_eq!(refused.kind(), Kind::WrongState);
    let unknown = Digest::of(b"unknown");
    let refused = site
        .ask(blob(&site, unknown))
        .await
        .expect_err("nobody has it");
    assert_eq!(refused.field(), Some("to.program.digest"));
    let request = UpgradeRequest {
        source: blob(&site, digest),
        within: 4,
    };
    let refused = upgrade::begin(&site.core, &site.admin, &name("gate"), request).await;
    assert_eq!(refused.expect_err("too short").field(), Some("within"));

    site.introduced(runs(b"old", Some(b"older")), None).await;
    let asked = site.ask(Source::Previous).await.expect("there is one");
    let id = asked.upgrade.expect("it was asked").id;
    // An old program runs, which knows nothing of upgrades.
    site.introduced(None, None).await;
    let failed = site.reported(Uuid::nil(), UpgradePhase::Done).await;
    assert_eq!((failed.id, failed.phase), (id, UpgradePhase::Failed));

    let gate = name("gate");
    let revoked = rhyzome_app::component::revoke(&site.core, &site.admin, &gate);
    revoked.await.expect("revoked");
    let refused = site
        .ask(blob(&site, digest))
        .await
        .expect_err("never again");
    assert_eq!(refused.kind(), Kind::WrongState);
}
