//! People who go, or are kept out: nothing of theirs is left, and who confirmed it is said.

use rhyzome_app::{Kind, invitation, member, network, user};
use rhyzome_model::role::Role;
use rhyzome_model::user::{Cause, InvitationSpec, MemberSpec, UserSpec};

use super::members::{device, invite, is_known, join, known, mint, peers, site};
use super::site::name;

#[tokio::test]
async fn who_leaves_has_nothing_left_and_the_answer_says_what_the_endpoints_confirmed() {
    let (site, garden, _) = site().await;
    let secret = join(&site, &garden, Role::Owner, "ada").await;
    let ada = known(&site, &secret).await;
    device(&site, &ada, &garden, "laptop", 1)
        .await
        .expect("a device");
    device(&site, &ada, &garden, "phone", 2)
        .await
        .expect("a device");
    device(&site, &site.admin, &garden, "gateway", 3)
        .await
        .expect("somebody else's");
    let program = mint(&site, &ada, Some(&garden), Role::Member)
        .await
        .expect("a token");
    let other = mint(&site, &site.admin, Some(&garden), Role::Viewer)
        .await
        .expect("a token");
    site.settle().await;
    let left = member::delete(&site.core, &site.admin, &garden, &name("ada"), None)
        .await
        .expect("removed");
    assert_eq!(
        (left.cause, left.tokens, left.sessions),
        (Cause::Left, 1, 1)
    );
    assert!(
        !is_known(&site, &secret).await && !is_known(&site, &program).await,
        "at once"
    );
    assert!(is_known(&site, &other).await, "somebody else's stays");
    assert_eq!(left.peers.len(), 2);
    assert!(
        left.peers
            .iter()
            .all(|peer| peer.is_awaited && peer.confirmed_at.is_none()),
        "{left:?}"
    );
    site.clock.advance(5);
    let jobs = site.router.claim(&site.core).await;
    assert_eq!(jobs.len(), 2, "the endpoint is asked for both at once");
    site.router
        .answer(&site.core, &jobs[0], &super::site::well_done(&jobs[0]))
        .await;
    let half = member::revocation(&site.core, &site.admin, &garden, &name("ada"))
        .await
        .expect("it");
    assert_eq!(
        half.peers
            .iter()
            .filter(|peer| peer.confirmed_at.is_some())
            .count(),
        1
    );
    assert!(!half.is_confirmed());
    site.router
        .answer(&site.core, &jobs[1], &super::site::well_done(&jobs[1]))
        .await;
    let whole = member::revocation(&site.core, &site.admin, &garden, &name("ada"))
        .await
        .expect("it");
    assert!(whole.is_confirmed(), "{whole:?}");
    assert!(
        whole
            .peers
            .iter()
            .all(|peer| peer.confirmed_at == Some(left.revoked_at.plus_millis(5)))
    );
    assert_eq!(peers(&site, &garden).await, ["gateway"]);
    let gone = member::get(&site.core, &site.admin, &garden, &name("ada"))
        .await
        .expect_err("no member");
    assert_eq!(gone.kind(), Kind::NotFound);
    let again = member::delete(&site.core, &site.admin, &garden, &name("ada"), None)
        .await
        .expect_err("no member");
    assert_eq!(again.kind(), Kind::NotFound);
}

#[tokio::test]
async fn who_leaves_one_of_two_projects_keeps_the_other() {
    let (site, garden, shed) = site().await;
    let secret = join(&site, &garden, Role::Member, "ada").await;
    let code = invite(&site, &shed, Role::Member).await;
    let ada = known(&site, &secret).await;
    invitation::redeem(&site.core, Some(&ada), &code, None)
        .await
        .expect("redeemed");
    let ada = known(&site, &secret).await;
    device(&site, &ada, &garden, "laptop", 1)
        .await
        .expect("a device");
    device(&site, &ada, &shed, "laptop", 1)
        .await
        .expect("a device");
    let refused = member::delete(&site.core, &ada, &garden, &name("eve"), None)
        .await
        .expect_err("not hers to say");
    assert_eq!(refused.kind(), Kind::Forbidden);
    let left = member::delete(&site.core, &ada, &garden, &name("ada"), None)
        .await
        .expect("by herself");
    assert_eq!(left.sessions, 0);
    let ada = known(&site, &secret).await;
    let hidden = network::get(&site.core, &ada, &garden, &name("lab"))
        .await
        .expect_err("hidden");
    assert_eq!(hidden.public(), "there is no project garden");
    network::get(&site.core, &ada, &shed, &name("lab"))
        .await
        .expect("still hers");
    site.settle().await;
    assert!(peers(&site, &garden).await.is_empty());
    assert_eq!(peers(&site, &shed).await, ["laptop"]);
}

#[tokio::test]
async fn who_is_disabled_is_out_everywhere_at_once_and_may_come_back() {
    let (site, garden, shed) = site().await;
    let secret = join(&site, &garden, Role::Owner, "ada").await;
    let code = invite(&site, &shed, Role::Member).await;
    invitation::redeem(&site.core, Some(&known(&site, &secret).await), &code, None)
        .await
        .expect("redeemed");
    let ada = known(&site, &secret).await;
    device(&site, &ada, &garden, "laptop", 1)
        .await
        .expect("a device");
    device(&site, &ada, &shed, "laptop", 1)
        .await
        .expect("a device");
    let program = mint(&site, &ada, Some(&garden), Role::Viewer)
        .await
        .expect("a token");
    site.settle().await;
    let off = UserSpec { disabled: true };
    let disabled = user::update(&site.core, &site.admin, &name("ada"), off.clone(), None)
        .await
        .expect("disabled");
    assert_eq!(disabled.revocations.len(), 2);
    assert!(!is_known(&site, &secret).await && !is_known(&site, &program).await);
    site.settle().await;
    let shown = user::get(&site.core, &site.admin, &name("ada"))
        .await
        .expect("ada");
    assert!(
        shown
            .revocations
            .iter()
            .all(|one| one.is_confirmed() && one.cause == Cause::Disabled)
    );
    assert!(peers(&site, &garden).await.is_empty() && peers(&site, &shed).await.is_empty());
    let back = user::update(
        &site.core,
        &site.admin,
        &name("ada"),
        UserSpec::default(),
        None,
    )
    .await
    .expect("enabled");
    assert_eq!(back.projects.len(), 2, "what they are stays");
    assert!(
        !is_known(&site, &secret).await,
        "what they showed does not come back"
    );
    user::delete(&site.core, &site.admin, &name("ada"), None)
        .await
        .expect("deleted");
    let gone = user::get(&site.core, &site.admin, &name("ada"))
        .await
        .expect_err("gone");
    assert_eq!(gone.kind(), Kind::NotFound);
}

#[tokio::test]
async fn who_may_not_invite_any_more_has_left_no_door_open() {
    let (site, garden, _) = site().await;
    let ada = known(&site, &join(&site, &garden, Role::Owner, "ada").await).await;
    let invited = async || {
        let spec = InvitationSpec {
            role: Role::Owner,
            expires_in: None,
        };
        let minted = invitation::create(&site.core, &ada, &garden, spec).await;
        minted.expect("an invitation").code.reveal()
    };
    let codes = [invited().await, invited().await, invited().await];
    let redeem = async |code: &str, called: &str| {
        invitation::redeem(&site.core, None, code, Some(&name(called))).await
    };
    redeem(&codes[0], "bob").await.expect("she is an owner");
    let spec = MemberSpec { role: Role::Member };
    member::update(&site.core, &site.admin, &garden, &name("ada"), spec, None)
        .await
        .expect("lowered");
    let lowered = redeem(&codes[1], "eve").await.expect_err("she is none now");
    member::delete(&site.core, &site.admin, &garden, &name("ada"), None)
        .await
        .expect("removed");
    let gone = redeem(&codes[2], "eve").await.expect_err("she is gone");
    for refused in [lowered, gone] {
        assert_eq!(refused.kind(), Kind::NotFound, "{refused}");
    }
}
