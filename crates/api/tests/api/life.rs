//! The core's own life: its start, its token, TLS, its end.

use std::os::unix::fs::PermissionsExt;

use rhyzome_api::configuration::{Configuration, Switch, TlsMode};
use rhyzome_api::start::{self, StartError};
use rhyzome_testkit::TestCore;

#[tokio::test]
async fn https_is_the_default_with_a_certificate_of_the_sites_own_authority() {
    let core = TestCore::start_with(|_| {}).await;
    assert_eq!(core.admin().get("/v1/site").await.good()["caller"], "admin");
    // Whoever speaks plain HTTP to it gets nothing.
    let plain = reqwest::Client::builder().no_proxy().http1_only();
    let plain = plain
        .tls_backend_preconfigured(no_tls())
        .build()
        .expect("a client");
    let answer = plain
        .get(format!("http://{}/healthz", core.http()))
        .send()
        .await;
    assert!(answer.is_err(), "{answer:?}");
    // Nor does somebody who trusts other authorities.
    let other = TestCore::start().await;
    let pem = std::fs::read_to_string(other.state_dir().join("authority.cert")).expect("PEM");
    let url = format!("https://{}", core.http());
    let stranger = tokio::spawn(
        rhyzome_testkit::Actor::new(&url, &pem)
            .get("/healthz")
            .into_future(),
    );
    assert!(stranger.await.is_err(), "the certificate was trusted");
}

fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[tokio::test]
async fn the_token_is_in_a_file_for_its_owner_alone_and_outlives_a_restart() {
    let core = TestCore::start().await;
    let path = core.state_dir().join("admin.token");
    let token = std::fs::read_to_string(&path).expect("the token");
    let mode = std::fs::metadata(&path)
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = std::fs::metadata(core.state_dir())
        .expect("the folder")
        .permissions()
        .mode();
    assert_eq!(folder & 0o777, 0o700);
    let core = core.restart().await;
    assert_eq!(std::fs::read_to_string(&path).expect("the token"), token);
    // Lost, it is made anew, and the one before is good no longer.
    std::fs::remove_file(&path).expect("the token's file");
    let before = core.admin();
    let core = core.restart().await;
    assert_ne!(std::fs::read_to_string(&path).expect("the token"), token);
    core.admin().get("/v1/site").await.good();
    before.get("/v1/site").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn two_cores_do_not_share_a_folder() {
    let core = TestCore::start().await;
    let configuration = Configuration {
        state_dir: core.state_dir().to_owned(),
        http_bind: ([127, 0, 0, 1], 0).into(),
        grpc_bind: ([127, 0, 0, 1], 0).into(),
        ..Configuration::default()
    };
    let second = start::start(&configuration).await.err();
    assert!(
        matches!(second, Some(StartError::Locked { .. })),
        "{second:?}"
    );
    core.admin().get("/readyz").await.status(200);
}

#[tokio::test]
async fn a_certificate_without_its_key_stops_the_start_before_anything_listens() {
    let first = TestCore::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let bind = free.local_addr().expect("an address");
    drop(free);
    let mut configuration = Configuration {
        state_dir: folder.path().join("core"),
        http_bind: bind,
        grpc_bind: ([127, 0, 0, 1], 0).into(),
        ..Configuration::default()
    };
    configuration.tls.cert = Some(first.state_dir().join("authority.cert"));
    configuration.tls.key = Some(first.state_dir().join("admin.token"));
    let failed = start::start(&configuration).await.err();
    assert!(
        matches!(failed, Some(StartError::Certificate(_))),
        "{failed:?}"
    );
    assert!(
        std::net::TcpStream::connect(bind).is_err(),
        "something listens"
    );
}

#[tokio::test]
async fn with_authorization_off_everybody_is_the_administrator() {
    let core = TestCore::start_with(|configuration| {
        configuration.authorization = Switch::Off;
        configuration.tls.mode = TlsMode::Off;
    })
    .await;
    core.anonymous().get("/v1/projects").await.good();
}

#[tokio::test]
async fn what_was_made_is_there_after_a_restart() {
    let core = TestCore::start().await;
    let body = serde_json::json!({"name": "shop"});
    let made = core.admin().post("/v1/projects").json(&body).await.good();
    let core = core.restart().await;
    assert_eq!(core.admin().get("/v1/projects/shop").await.good(), made);
}
