//! Joining: a token lets one component in, and in again where it did not hear of it.

use rhyzome_app::join::{JoinRequest, Joined, join, renew};
use rhyzome_app::session::{self, Allowed};
use rhyzome_app::{Kind, component};
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_pki::identity::NewKey;
use rhyzome_pki::token::JoinToken;

use super::site::{Site, name};

const USED: &str = "this join token was used already; make another one";

fn request() -> Vec<u8> {
    NewKey::make().expect("a key").request().expect("a request")
}

/// One of a minute.
async fn token(site: &Site, kind: Option<ComponentKind>, called: Option<&str>) -> JoinToken {
    let wanted = component::TokenRequest {
        kind,
        name: called.map(name),
        expires_in: 60,
    };
    let minted = component::token_create(&site.core, &site.admin, wanted).await;
    minted.expect("a token").token
}

/// As a router that asks for no name.
fn asks<'a>(token: &'a JoinToken, csr: &'a [u8]) -> JoinRequest<'a> {
    JoinRequest {
        token,
        csr,
        kind: ComponentKind::Linux,
        name: None,
        hostname: "gate",
    }
}

/// Why somebody is not let in.
fn refused(result: rhyzome_app::Result<Joined>) -> String {
    let error = result.err().expect("refused");
    assert_eq!(error.kind(), Kind::Unauthenticated);
    error.public().to_owned()
}

async fn components(site: &Site) -> usize {
    let mut conn = site.core.store.read().await.expect("a connection");
    let all = rhyzome_store::After {
        limit: 100,
        name: String::new(),
    };
    let listed = rhyzome_store::component::list(&mut conn, &all).await;
    listed.expect("components").len()
}

#[tokio::test]
async fn a_token_lets_one_component_of_its_kind_in_once() {
    let site = Site::new().await;
    let csr = request();
    let minted = token(&site, Some(ComponentKind::Linux), None).await;
    let wrong = JoinRequest {
        kind: ComponentKind::Libvirt,
        ..asks(&minted, &csr)
    };
    assert_eq!(
        refused(join(&site.core, &wrong).await),
        "this join token is for another kind of component"
    );
    let joined = join(&site.core, &asks(&minted, &csr)).await;
    assert_eq!(joined.expect("joined").name.as_str(), "gate-linux");
    let other = request();
    assert_eq!(
        refused(join(&site.core, &asks(&minted, &other)).await),
        USED
    );
    let late = token(&site, Some(ComponentKind::Linux), None).await;
    site.clock.advance(61_000);
    assert_eq!(
        refused(join(&site.core, &asks(&late, &csr)).await),
        "this join token has expired; make another one"
    );
}

#[tokio::test]
async fn who_lost_the_answer_asks_again_with_the_same_key_and_is_the_same_component() {
    let site = Site::new().await;
    let before = components(&site).await;
    let csr = request();
    // Its kind is not in the token.
    let minted = token(&site, None, Some("edge")).await;
    let first = join(&site.core, &asks(&minted, &csr))
        .await
        .expect("joined");
    site.clock.advance(50_000);
    for _ in 0..2 {
        let again = join(&site.core, &asks(&minted, &csr)).await;
        let again = again.expect("joined again");
        assert_eq!((again.id, &again.name), (first.id, &first.name));
        assert_ne!(again.certificate.serial, first.certificate.serial);
        // The answer that counts may be any of them.
        for serial in [&first.certificate.serial, &again.certificate.serial] {
            let allowed = session::allowed(&site.core, first.id, serial).await;
            assert_eq!(allowed.expect("an answer"), Allowed::Good);
        }
    }
    assert_eq!(components(&site).await, before + 1);

    // A stranger who has seen the token, and one that is something else, hear what they always heard.
    let strangers = request();
    let stranger = join(&site.core, &asks(&minted, &strangers)).await;
    assert_eq!(refused(stranger), USED);
    let other = JoinRequest {
        kind: ComponentKind::Libvirt,
        ..asks(&minted, &csr)
    };
    assert_eq!(
        refused(join(&site.core, &other).await),
        "this join token is for another kind of component"
    );
    // With another token the same key is another component.
    let second = token(&site, None, Some("brink")).await;
    let second = join(&site.core, &asks(&second, &csr))
        .await
        .expect("joined");
    assert_ne!(second.id, first.id);
    // It does not live longer than the token.
    site.clock.advance(11_000);
    assert_eq!(
        refused(join(&site.core, &asks(&minted, &csr)).await),
        "this join token has expired; make another one"
    );
}

#[tokio::test]
async fn nobody_joins_again_as_one_that_has_connected_or_is_revoked_or_deleted() {
    let site = Site::new().await;
    let (core, admin) = (&site.core, &site.admin);
    for what in ["connected", "revoked", "deleted"] {
        let csr = request();
        let minted = token(&site, None, Some(what)).await;
        let joined = join(core, &asks(&minted, &csr)).await.expect("joined");
        match what {
            "connected" => {
                let facts = HostFacts::default();
                let session = session::connected(core, joined.id, &facts, "1", None).await;
                let session = session.expect("a session");
                // Whether or not it has one now.
                session::disconnected(core, joined.id, session)
                    .await
                    .expect("ended");
            }
            "revoked" => {
                let revoked = component::revoke(core, admin, &name(what)).await;
                revoked.expect("revoked");
            }
            _ => component::delete(core, admin, &name(what), None)
                .await
                .expect("deleted"),
        }
        let again = join(core, &asks(&minted, &csr)).await;
        assert_eq!(refused(again), USED, "{what}");
    }
}

#[tokio::test]
async fn an_expired_certificate_may_be_renewed_and_a_revoked_one_may_nothing() {
    let site = Site::new().await;
    let csr = request();
    let minted = token(&site, None, Some("edge")).await;
    let joined = join(&site.core, &asks(&minted, &csr))
        .await
        .expect("joined");
    let serial = joined.certificate.serial;
    let core = &site.core;
    let allowed = |serial: String| async move {
        session::allowed(core, joined.id, &serial)
            .await
            .expect("an answer")
    };
    assert_eq!(allowed(serial.clone()).await, Allowed::Good);
    assert_eq!(allowed("00".to_owned()).await, Allowed::Unknown);
    site.clock.advance(25 * 3600 * 1000);
    assert_eq!(allowed(serial.clone()).await, Allowed::Expired);
    let fresh = renew(&site.core, joined.id, &serial, &csr)
        .await
        .expect("renewed");
    assert_eq!(allowed(fresh.serial.clone()).await, Allowed::Good);
    component::revoke(&site.core, &site.admin, &name("edge"))
        .await
        .expect("revoked");
    assert_eq!(allowed(fresh.serial.clone()).await, Allowed::Revoked);
    let refused = renew(&site.core, joined.id, &fresh.serial, &csr).await;
    assert_eq!(refused.expect_err("revoked").kind(), Kind::Forbidden);
}
