//! API tokens: how long they are good, and what who has one is told.

use rhyzome_app::{Caller, Kind, authenticate, instance, project, token};
use rhyzome_model::Name;
use rhyzome_model::role::Role;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_model::user_data::UserData;

use super::site::{Site, name};

const MINUTE: i64 = 60_000;

async fn mint(
    site: &Site,
    project: Option<&Name>,
    called: &str,
    role: Role,
    expires_in: Option<u32>,
) -> String {
    let spec = ApiTokenSpec { role, expires_in };
    let minted = token::create(&site.core, &site.admin, project, name(called), spec).await;
    minted.expect("a token").secret.reveal()
}

async fn caller(site: &Site, secret: &str) -> Caller {
    authenticate(&site.core, Some(secret))
        .await
        .expect("somebody known")
}

async fn check_refused(site: &Site, secret: &str) {
    let refused = authenticate(&site.core, Some(secret))
        .await
        .expect_err("it is good no longer");
    assert_eq!(refused.kind(), Kind::Unauthenticated);
}

#[tokio::test]
async fn a_token_is_good_until_it_expires_and_its_use_is_noted_to_the_minute() {
    let site = Site::new().await;
    let secret = mint(&site, Some(&site.default), "ci", Role::Viewer, Some(600)).await;
    let used = async || {
        let shown = token::get(&site.core, &site.admin, Some(&site.default), &name("ci")).await;
        shown.expect("the token").last_used_at
    };
    assert_eq!(used().await, None);
    caller(&site, &secret).await;
    let first = used().await.expect("it was used");
    site.clock.advance(MINUTE - 1);
    caller(&site, &secret).await;
    assert_eq!(used().await, Some(first));
    site.clock.advance(1);
    caller(&site, &secret).await;
    assert_eq!(used().await, Some(first.plus_millis(MINUTE)));
    site.clock.advance(9 * MINUTE - 1);
    caller(&site, &secret).await;
    site.clock.advance(1);
    check_refused(&site, &secret).await;
}

#[tokio::test]
async fn a_token_goes_with_its_project_and_one_of_the_same_name_is_another() {
    let site = Site::new().await;
    let garden = name("garden");
    project::create(&site.core, &site.admin, garden.clone())
        .await
        .expect("a project");
    let secret = mint(&site, Some(&garden), "ci", Role::Owner, None).await;
    let of_site = mint(&site, None, "ci", Role::Auditor, None).await;
    let owner = caller(&site, &secret).await;
    assert_eq!(owner.name, "garden/ci");
    project::delete(&site.core, &owner, &garden, None)
        .await
        .expect("it is empty");
    check_refused(&site, &secret).await;
    project::create(&site.core, &site.admin, garden.clone())
        .await
        .expect("another project");
    check_refused(&site, &secret).await;
    assert_eq!(caller(&site, &of_site).await.name, "ci");
}

#[tokio::test]
async fn user_data_is_shown_to_members_and_neither_to_viewers_nor_to_auditors() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    let spec = rhyzome_model::instance::InstanceSpec {
        user_data: Some(UserData::new("#cloud-config\npassword: hunter2\n")),
        ..super::site::spec(&["lab"])
    };
    let made = instance::create(&site.core, &site.admin, &site.default, name("web"), spec).await;
    made.expect("an instance");
    for (role, project, sees) in [
        (Role::Viewer, Some(&site.default), false),
        (Role::Member, Some(&site.default), true),
        (Role::Auditor, None, false),
        (Role::Admin, None, true),
    ] {
        let who = caller(&site, &mint(&site, project, "x", role, None).await).await;
        let shown = instance::get(&site.core, &who, &site.default, &name("web"))
            .await
            .expect("the instance");
        assert_eq!(shown.spec.user_data.is_some(), sees, "{role}");
        token::delete(&site.core, &site.admin, project, &name("x"), None)
            .await
            .expect("revoked");
    }
}
