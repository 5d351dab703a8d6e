//! People in projects: how they come in, and what they may while they are there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rhyzome_app::{
    Caller, Kind, authenticate, invitation, login, member, network, peer, project, token, user,
};
use rhyzome_model::Name;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::role::Role;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_model::user::{InvitationSpec, MemberSpec};

use super::site::{Site, name};

const DAY: i64 = 24 * 3_600_000;

/// Two projects with a network each.
pub async fn site() -> (Site, Name, Name) {
    let site = Site::new().await;
    let (garden, shed) = (name("garden"), name("shed"));
    for of in [&garden, &shed] {
        project::create(&site.core, &site.admin, of.clone())
            .await
            .expect("a project");
        let made = network::create(
            &site.core,
            &site.admin,
            of,
            name("lab"),
            NetworkSpec::default(),
        )
        .await;
        made.expect("a network");
    }
    site.settle().await;
    (site, garden, shed)
}

pub async fn invite(site: &Site, project: &Name, role: Role) -> String {
    let spec = InvitationSpec {
        role,
        expires_in: None,
    };
    let minted = invitation::create(&site.core, &site.admin, project, spec).await;
    minted.expect("an invitation").code.reveal()
}

/// Somebody new in a project: their session.
pub async fn join(site: &Site, project: &Name, role: Role, called: &str) -> String {
    let code = invite(site, project, role).await;
    let redeemed = invitation::redeem(&site.core, None, &code, Some(&name(called))).await;
    let (secret, _) = redeemed.expect("redeemed").session.expect("somebody new");
    secret.reveal()
}

pub async fn known(site: &Site, secret: &str) -> Caller {
    authenticate(&site.core, Some(secret))
        .await
        .expect("somebody known")
}

pub async fn is_known(site: &Site, secret: &str) -> bool {
    match authenticate(&site.core, Some(secret)).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), Kind::Unauthenticated);
            false
        }
    }
}

pub async fn device(
    site: &Site,
    caller: &Caller,
    project: &Name,
    called: &str,
    byte: u8,
) -> rhyzome_app::Result<()> {
    let spec = PeerSpec {
        public_key: STANDARD.encode([byte; 32]),
        networks: vec![name("lab")],
    };
    peer::create(&site.core, caller, project, name(called), spec)
        .await
        .map(drop)
}

pub async fn peers(site: &Site, project: &Name) -> Vec<String> {
    let (rows, _) = peer::list(&site.core, &site.admin, project, &Default::default())
        .await
        .expect("peers");
    rows.iter().map(|row| row.meta.name.to_string()).collect()
}

pub async fn mint(
    site: &Site,
    caller: &Caller,
    project: Option<&Name>,
    role: Role,
) -> rhyzome_app::Result<String> {
    let spec = ApiTokenSpec {
        role,
        expires_in: None,
    };
    let minted = token::create(
        &site.core,
        caller,
        project,
        name(&format!("t-{role}")),
        spec,
    )
    .await?;
    Ok(minted.secret.reveal())
}

#[tokio::test]
async fn an_invitation_is_good_once_and_until_it_expires() {
    let (site, garden, _) = site().await;
    let code = invite(&site, &garden, Role::Member).await;
    let redeem = async |code: &str, called: &str| {
        invitation::redeem(&site.core, None, code, Some(&name(called))).await
    };
    let ada = redeem(&code, "ada").await.expect("redeemed");
    assert_eq!((ada.project.as_str(), ada.user.as_str()), ("garden", "ada"));
    let again = redeem(&code, "eve").await.expect_err("it was redeemed");
    assert_eq!(again.kind(), Kind::NotFound);
    let made_up = redeem(&format!("rzi_{}", "A".repeat(43)), "eve")
        .await
        .expect_err("made up");
    assert_eq!(
        made_up.public(),
        again.public(),
        "the same as one that never was"
    );
    let late = invite(&site, &garden, Role::Member).await;
    let taken = redeem(&late, "ada").await.expect_err("the name is taken");
    assert_eq!(taken.kind(), Kind::NameTaken);
    site.clock.advance(7 * DAY);
    assert_eq!(
        redeem(&late, "eve").await.expect_err("too late").kind(),
        Kind::NotFound
    );
    let back = invite(&site, &garden, Role::Member).await;
    let (rows, _) = invitation::list(&site.core, &site.admin, &garden, &Default::default())
        .await
        .expect("a list");
    let last = rows
        .iter()
        .max_by_key(|row| row.expires_at)
        .expect("one")
        .meta
        .name
        .clone();
    invitation::delete(&site.core, &site.admin, &garden, &last, None)
        .await
        .expect("taken back");
    assert_eq!(
        redeem(&back, "eve").await.expect_err("taken back").kind(),
        Kind::NotFound
    );
    let wrong = invitation::redeem(&site.core, None, "rz_x", None)
        .await
        .expect_err("no code");
    assert_eq!(wrong.field(), Some("code"));
}

#[tokio::test]
async fn of_many_who_redeem_one_invitation_at_once_one_is_in() {
    let (site, garden, _) = site().await;
    let code = invite(&site, &garden, Role::Owner).await;
    let mut all = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (core, code) = (site.core.clone(), code.clone());
        all.spawn(async move {
            let called = name(&format!("p{number}"));
            invitation::redeem(&core, None, &code, Some(&called))
                .await
                .is_ok()
        });
    }
    let inside = all
        .join_all()
        .await
        .into_iter()
        .filter(|inside| *inside)
        .count();
    assert_eq!(inside, 1);
    let (users, _) = user::list(&site.core, &site.admin, &Default::default())
        .await
        .expect("users");
    assert_eq!(users.len(), 1, "nobody is half-made");
}

#[tokio::test]
async fn a_member_has_what_the_role_gives_and_nothing_elsewhere() {
    let (site, garden, shed) = site().await;
    let ada = known(&site, &join(&site, &garden, Role::Member, "ada").await).await;
    assert_eq!(ada.name, "@ada");
    device(&site, &ada, &garden, "laptop", 1)
        .await
        .expect("a device");
    let shown = peer::get(&site.core, &ada, &garden, &name("laptop"))
        .await
        .expect("it");
    assert_eq!(shown.user, Some(name("ada")));
    let stranger = device(&site, &ada, &shed, "laptop", 1)
        .await
        .expect_err("nothing there");
    assert_eq!(stranger.public(), "there is no project shed");
    let (seen, _) = project::list(&site.core, &ada, &Default::default())
        .await
        .expect("projects");
    assert_eq!(seen.len(), 1);
    // A second project, with the same login.
    let code = invite(&site, &shed, Role::Viewer).await;
    invitation::redeem(&site.core, Some(&ada), &code, None)
        .await
        .expect("redeemed");
    let whoami = user::get(&site.core, &site.admin, &name("ada"))
        .await
        .expect("ada");
    let roles: Vec<String> = whoami
        .projects
        .iter()
        .map(|one| format!("{} {}", one.project, one.role))
        .collect();
    assert_eq!(roles, ["garden member", "shed viewer"]);
    // A smaller role by another invitation takes nothing away.
    let code = invite(&site, &garden, Role::Viewer).await;
    invitation::redeem(&site.core, Some(&ada), &code, None)
        .await
        .expect("redeemed");
    let still = member::get(&site.core, &site.admin, &garden, &name("ada"))
        .await
        .expect("ada");
    assert_eq!(still.role, Role::Member);
    let program = mint(&site, &site.admin, Some(&garden), Role::Owner)
        .await
        .expect("a token");
    let code = invite(&site, &garden, Role::Owner).await;
    let refused =
        invitation::redeem(&site.core, Some(&known(&site, &program).await), &code, None).await;
    assert_eq!(
        refused.expect_err("a program is nobody").kind(),
        Kind::Forbidden
    );
}

#[tokio::test]
async fn a_token_can_do_no_more_than_who_made_it_can_now() {
    let (site, garden, _) = site().await;
    let secret = join(&site, &garden, Role::Owner, "ada").await;
    let program = mint(
        &site,
        &known(&site, &secret).await,
        Some(&garden),
        Role::Owner,
    )
    .await
    .expect("a token");
    device(&site, &known(&site, &program).await, &garden, "laptop", 1)
        .await
        .expect("an owner");
    site.settle().await;
    let set = async |role| {
        member::update(
            &site.core,
            &site.admin,
            &garden,
            &name("ada"),
            MemberSpec { role },
            None,
        )
        .await
    };
    set(Role::Member).await.expect("a member");
    let refused = mint(
        &site,
        &known(&site, &program).await,
        Some(&garden),
        Role::Viewer,
    )
    .await
    .expect_err("no owner");
    assert_eq!(refused.kind(), Kind::Forbidden);
    assert_eq!(peers(&site, &garden).await, ["laptop"]);
    set(Role::Viewer).await.expect("a viewer");
    site.settle().await;
    assert!(
        peers(&site, &garden).await.is_empty(),
        "viewers have no devices"
    );
    let refused = device(&site, &known(&site, &program).await, &garden, "phone", 2)
        .await
        .expect_err("a viewer");
    assert_eq!(refused.kind(), Kind::Forbidden);
    let wrong = set(Role::Admin).await.expect_err("of the site");
    assert_eq!(wrong.field(), Some("spec.role"));
}

#[tokio::test]
async fn a_login_of_the_sites_own_lasts_while_it_is_used_and_ends_when_its_owner_says_so() {
    let (site, garden, _) = site().await;
    let secret = join(&site, &garden, Role::Member, "ada").await;
    for _ in 0..4 {
        site.clock.advance(20 * DAY);
        known(&site, &secret).await;
    }
    let ada = known(&site, &secret).await;
    login::logout(&site.core, &ada).await.expect("out");
    assert!(!is_known(&site, &secret).await);
    let secret = join(&site, &garden, Role::Member, "eve").await;
    site.clock.advance(30 * DAY);
    assert!(
        !is_known(&site, &secret).await,
        "nobody used it for a month"
    );
    rhyzome_app::housekeeping::once(&site.core)
        .await
        .expect("housekeeping");
}

#[tokio::test]
async fn a_project_goes_with_its_members_and_invitations() {
    let (site, _, _) = site().await;
    let barn = name("barn");
    project::create(&site.core, &site.admin, barn.clone())
        .await
        .expect("a project");
    let secret = join(&site, &barn, Role::Owner, "ada").await;
    let code = invite(&site, &barn, Role::Member).await;
    project::delete(&site.core, &known(&site, &secret).await, &barn, None)
        .await
        .expect("deleted");
    let ada = known(&site, &secret).await;
    project::create(&site.core, &site.admin, barn.clone())
        .await
        .expect("another one");
    let hidden = project::get(&site.core, &ada, &barn)
        .await
        .expect_err("another one");
    assert_eq!(hidden.kind(), Kind::NotFound);
    let late = invitation::redeem(&site.core, Some(&ada), &code, None)
        .await
        .expect_err("of the one before");
    assert_eq!(late.kind(), Kind::NotFound);
}
