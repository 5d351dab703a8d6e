//! People who log in at a real OpenID Connect provider, and tokens of all kinds that nobody should take.

use std::future::IntoFuture;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rhyzome_client::{IdTokens, Provider};
use rhyzome_model::user::OidcMethod;
use rhyzome_testkit::{Actor, Answer, Issuer, TestCore};
use serde_json::{Value, json};

use crate::Site;
use crate::roles::owner_until;

const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// A core whose people are an issuer's, with a project that a group of theirs is in.
async fn site() -> (Issuer, TestCore) {
    let issuer = Issuer::start();
    let core = TestCore::start_with(|configuration| {
        configuration.tls.mode = rhyzome_api::configuration::TlsMode::Off;
        let oidc = &mut configuration.oidc;
        oidc.issuer = Some(issuer.url().to_owned());
        oidc.client_id = Some("rhyzome".to_owned());
        for (claim, role) in [
            ("groups=ops", "admin"),
            ("groups=gardeners", "garden/member"),
            ("groups=heads", "garden/owner"),
        ] {
            oidc.roles.insert(claim.to_owned(), role.to_owned());
        }
    })
    .await;
    core.admin()
        .post("/v1/projects")
        .json(&json!({"name": "garden"}))
        .await
        .good();
    (issuer, core)
}

async fn provider(issuer: &Issuer, client_id: &str) -> Provider {
    let method = OidcMethod {
        issuer: issuer.url().to_owned(),
        client_id: client_id.to_owned(),
        scopes: ["openid", "profile", "email", "offline_access"]
            .map(str::to_owned)
            .to_vec(),
    };
    Provider::discover(&method).await.expect("an issuer")
}

/// Logs somebody in with a browser, as a client that the issuer knows.
async fn log_in(issuer: &Issuer, client_id: &str, login: &str) -> IdTokens {
    let provider = provider(issuer, client_id).await;
    let flow = provider.begin(REDIRECT.to_owned()).expect("a flow");
    let back = issuer.browser(login).visit(flow.url.as_str(), None).await;
    let back = back.expect("sent back");
    assert!(back.as_str().starts_with(REDIRECT), "{back}");
    provider
        .finish(flow, back.query().unwrap_or_default())
        .await
        .expect("tokens")
}

async fn begin(core: &TestCore, id_token: &str) -> Answer {
    core.anonymous()
        .post("/v1/sessions")
        .json(&json!({"id_token": id_token}))
        .await
}

/// Somebody with a session.
async fn somebody(issuer: &Issuer, core: &TestCore, login: &str) -> (Actor, IdTokens) {
    let tokens = log_in(issuer, "rhyzome", login).await;
    let made = begin(core, &tokens.id_token).await.good();
    let secret = made["session"]["secret"]
        .as_str()
        .expect("a secret")
        .to_owned();
    (core.anonymous().with_token(&secret), tokens)
}

fn projects(whoami: &Value) -> Vec<String> {
    let all = whoami["projects"].as_array().expect("a list").iter();
    all.map(|one| {
        format!(
            "{} {}",
            one["project"].as_str().unwrap_or_default(),
            one["role"].as_str().unwrap_or_default()
        )
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_logs_in_with_a_browser_and_is_what_the_claims_say() {
    let (issuer, core) = site().await;
    let methods = core.anonymous().get("/v1/login").await.good();
    assert_eq!(methods["oidc"]["issuer"], issuer.url());
    issuer.groups("ada", &["gardeners", "choir"]).await;
    let (ada, tokens) = somebody(&issuer, &core, "ada").await;
    let whoami = ada.get("/v1/whoami").await.good();
    assert_eq!(
        (whoami["name"].as_str(), whoami["is_person"].as_bool()),
        (Some("ada"), Some(true))
    );
    assert_eq!(projects(&whoami), ["garden member"]);
    ada.get("/v1/users").await.problem(403, "forbidden");
    let shown = core.admin().get("/v1/users/ada").await.good();
    assert_eq!(shown["display_name"], "ada at the issuer");
    // The claims change, and count from the next login on, which needs nobody.
    issuer.groups("ada", &["heads", "ops"]).await;
    let fresh = provider(&issuer, "rhyzome").await;
    let refresh = tokens.refresh_token.expect("a refresh token");
    let again = fresh.refresh(&refresh).await.expect("refreshed");
    begin(&core, &again.id_token).await.good();
    let whoami = ada.get("/v1/whoami").await.good();
    assert_eq!(projects(&whoami), ["garden owner"]);
    assert_eq!(whoami["site_role"], "admin");
    issuer.groups("ada", &[]).await;
    let again = fresh
        .refresh(&again.refresh_token.expect("another one"))
        .await
        .expect("refreshed");
    begin(&core, &again.id_token).await.good();
    // Nothing is left of what they were: not even the logins from before.
    ada.get("/v1/whoami").await.problem(401, "unauthenticated");
    let left = core
        .admin()
        .get("/v1/projects/garden/revocations/ada")
        .await
        .good();
    assert_eq!(left["cause"], "not_claimed");
    issuer.refuse("ada").await;
    let refused = fresh
        .refresh(&again.refresh_token.expect("another one"))
        .await;
    assert!(
        refused.is_err(),
        "the issuer knows nobody of that name any more"
    );
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_a_browser_logs_in_by_a_code() {
    let (issuer, core) = site().await;
    issuer.groups("eve", &["gardeners"]).await;
    let provider = provider(&issuer, "rhyzome").await;
    let flow = provider.begin_elsewhere().await.expect("a code");
    let mut browser = issuer.browser("eve");
    let (url, code) = (flow.url().to_owned(), flow.code().to_owned());
    assert_eq!(
        browser.visit(&url, Some(&code)).await,
        None,
        "there is nowhere to go back to"
    );
    let tokens = provider.finish_elsewhere(&flow).await.expect("tokens");
    let made = begin(&core, &tokens.id_token).await.good();
    assert_eq!(made["user"]["name"], "eve");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_redeemed_by_who_has_logged_in_and_by_nobody_else() {
    let (issuer, core) = site().await;
    let invite = async || {
        let wanted = json!({"spec": {"role": "viewer"}});
        let minted = core
            .admin()
            .post("/v1/projects/garden/invitations")
            .json(&wanted)
            .await
            .good();
        minted["code"].as_str().expect("a code").to_owned()
    };
    let redeem = async |actor: &Actor, code: &str| {
        let wanted = json!({"code": code, "name": "ada"});
        actor.post("/v1/invitations/redeem").json(&wanted).await
    };
    let code = invite().await;
    redeem(&core.anonymous(), &code)
        .await
        .problem(401, "unauthenticated");
    redeem(&core.admin(), &code).await.problem(403, "forbidden");
    let (ada, _) = somebody(&issuer, &core, "ada").await;
    assert!(projects(&ada.get("/v1/whoami").await.good()).is_empty());
    redeem(&ada, &code).await.good();
    assert_eq!(
        projects(&ada.get("/v1/whoami").await.good()),
        ["garden viewer"]
    );
    redeem(&ada, &code).await.problem(404, "not_found");
    // Removed, they are strangers, and may log in again as such.
    core.admin()
        .delete("/v1/projects/garden/members/ada?wait=5s")
        .await
        .good();
    ada.get("/v1/whoami").await.problem(401, "unauthenticated");
    let (ada, _) = somebody(&issuer, &core, "ada").await;
    ada.get("/v1/projects/garden")
        .await
        .problem(404, "not_found");
    // Kept out, they may not.
    core.admin()
        .put("/v1/users/ada")
        .json(&json!({"spec": {"disabled": true}}))
        .await
        .good();
    ada.get("/v1/whoami").await.problem(401, "unauthenticated");
    let tokens = log_in(&issuer, "rhyzome", "ada").await;
    begin(&core, &tokens.id_token)
        .await
        .problem(403, "forbidden");
    core.stop().await;
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_secs()).expect("fits")
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_wrong_in_any_way_let_nobody_in() {
    let (issuer, core) = site().await;
    let claims = |exp: i64| json!({"iss": issuer.url(), "sub": "mallory", "aud": "rhyzome", "iat": now() - 100, "exp": exp, "groups": ["ops"]});
    let refused = async |how: &str, claims: Value, expect: &str| {
        let token = issuer.mint(how, &claims).await;
        let problem = begin(&core, &token).await.problem(401, "unauthenticated");
        let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(expect), "{how}: {detail}");
    };
    refused("unsigned", claims(now() + 300), "no ID token").await;
    refused("hmac", claims(now() + 300), "HS256").await;
    refused("stranger", claims(now() + 300), "signature").await;
    refused("good", claims(now() - 1), "expired").await;
    let mut early = claims(now() + 3000);
    early["nbf"] = json!(now() + 600);
    refused("good", early, "not good yet").await;
    let mut foreign = claims(now() + 300);
    foreign["aud"] = json!("wiki");
    refused("good", foreign, "not for this site").await;
    let mut other = claims(now() + 300);
    other["iss"] = json!("https://elsewhere.example");
    refused("good", other, "is of the issuer").await;
    // What another client of the same issuer was given, by a login that was really made.
    let wiki = log_in(&issuer, "wiki", "mallory").await;
    begin(&core, &wiki.id_token)
        .await
        .problem(401, "unauthenticated");
    for nonsense in ["", "x", "a.b.c", "rz_x"] {
        begin(&core, nonsense).await.problem(401, "unauthenticated");
    }
    // An ID token is shown to begin a session, and is not one.
    let tokens = log_in(&issuer, "rhyzome", "mallory").await;
    core.anonymous()
        .with_token(&tokens.id_token)
        .get("/v1/whoami")
        .await
        .problem(401, "unauthenticated");
    let users = core.admin().get("/v1/users").await.good();
    assert!(
        users["items"].as_array().expect("a list").is_empty(),
        "nobody was made: {users}"
    );
    begin(&core, &issuer.mint("good", &claims(now() + 300)).await)
        .await
        .good();
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_turn_and_an_issuer_that_hangs_locks_nobody_out() {
    let (issuer, core) = site().await;
    issuer.groups("ada", &["gardeners"]).await;
    let (ada, first) = somebody(&issuer, &core, "ada").await;
    issuer.rotate("second", "ES256", true).await;
    // Its tokens are of the new key, which the core has to ask for; it does not more often than each few seconds.
    let second = log_in(&issuer, "rhyzome", "ada").await;
    rhyzome_testkit::wait_for("the new key is asked for", async || {
        let answer = begin(&core, &second.id_token).await;
        (answer.status.as_u16() == 201).then_some(())
    })
    .await;
    issuer.hang(true).await;
    begin(&core, &first.id_token).await.good();
    begin(&core, &second.id_token).await.good();
    ada.get("/v1/whoami").await.good();
    let unknown = json!({"iss": issuer.url(), "sub": "ada", "aud": "rhyzome", "iat": now(), "exp": now() + 300});
    let stranger = issuer.mint("stranger", &unknown).await;
    begin(&core, &stranger)
        .await
        .problem(401, "unauthenticated");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_for_long_ends_with_the_right_to_it() {
    let site = Site::start().await;
    let core = &site.core;
    let invited = async |name: &str| {
        let wanted = json!({"spec": {"role": "member"}});
        let minted = core
            .admin()
            .post("/v1/projects/default/invitations")
            .json(&wanted)
            .await
            .good();
        let wanted = json!({"code": minted["code"], "name": name});
        let redeemed = core
            .anonymous()
            .post("/v1/invitations/redeem")
            .json(&wanted)
            .await
            .good();
        core.anonymous()
            .with_token(redeemed["session"]["secret"].as_str().expect("a secret"))
    };
    let (ada, eve) = (invited("ada").await, invited("eve").await);
    let network = json!({"name": "lab", "spec": {}});
    site.router.driver.faults().hold();
    ada.post("/v1/projects/default/networks")
        .json(&network)
        .await;
    let mut told = ada.follow("/v1/projects/default/events", None).await;
    let mut others = eve.follow("/v1/projects/default/events", None).await;
    told.next().await.expect("what was");
    let waiting = tokio::spawn(
        ada.get("/v1/projects/default/networks/lab?wait=5m")
            .into_future(),
    );
    core.admin()
        .delete("/v1/projects/default/members/ada")
        .await
        .good();
    let mut last = None;
    while let Some(event) = told.next().await {
        last = Some(event.event);
    }
    assert_ne!(
        last.as_deref(),
        Some("left"),
        "not even that is told to who left"
    );
    // It says what was known when it was asked, or that nobody asks any more; it does not go on.
    let waited = tokio::time::timeout(SOON, waiting).await;
    let waited = waited.expect("it does not wait on").expect("an answer");
    let waited = waited.status.as_u16();
    assert!([200, 401, 404].contains(&waited), "{waited}");
    core.admin()
        .post("/v1/projects/default/ssh-keys")
        .json(&json!({"name": "x", "spec": {"public_key": KEY}}))
        .await;
    let mut heard = Vec::new();
    while !heard.contains(&"left".to_owned()) {
        heard.push(others.next().await.expect("who stays is told on").event);
    }
}

/// Long before the five minutes that somebody asks to wait.
const SOON: Duration = Duration::from_secs(60);

/// Nobody says that it has: what has expired is found by asking again.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_what_was_shown_for_it() {
    let site = Site::start().await;
    let admin = site.core.admin();
    site.router.driver.faults().hold();
    let network = json!({"name": "lab", "spec": {}});
    admin
        .post("/v1/projects/default/networks")
        .json(&network)
        .await;
    let shown = owner_until(&site.core, "default", 5_000).await;
    let owner = admin.with_token(&shown);
    let waiting = owner.get("/v1/projects/default/networks/lab?wait=5m");
    let waited = tokio::time::timeout(SOON, waiting.into_future()).await;
    let seen = waited.expect("it does not wait on").good();
    assert_eq!(seen["status"]["phase"], "pending");
    owner
        .get("/v1/projects/default/networks/lab")
        .await
        .problem(401, "unauthenticated");
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@x";
