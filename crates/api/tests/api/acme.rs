//! The HTTP server's certificate: of a public authority by ACME, of the operator's files, of our own
//! authority; each renewed while connections go on.

mod server;
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rhyzome_api::configuration::Configuration;
use rhyzome_pki::Authority;
use rhyzome_testkit::{Actor, TestCore, wait_for};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use server::AcmeServer;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

fn with_acme(configuration: &mut Configuration, acme: &AcmeServer, folder: &Path) {
    let authority = folder.join("acme-authority.pem");
    std::fs::write(&authority, &acme.authority).expect("a file");
    let settings = &mut configuration.tls.acme;
    settings.domains = vec!["core.example".to_owned(), "cloud.example".to_owned()];
    settings.contact = vec!["operator@example.org".to_owned()];
    settings.directory = Some(acme.directory.clone());
    settings.authority = Some(authority);
}

/// The port is known before the core runs: the ACME server looks there at once.
fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

fn is_of(certificate: &CertificateDer<'_>, authority: &str) -> bool {
    let root = CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM");
    let (_, root) = x509_parser::parse_x509_certificate(&root).expect("a certificate");
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).expect("a certificate");
    let key = root.public_key();
    certificate.verify_signature(Some(key)).is_ok()
}

async fn shown(core: &TestCore) -> CertificateDer<'static> {
    let shown = tls::shown(core.http(), "core.example", HTTP).await;
    shown.expect("something is shown")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_name_gets_a_certificate_that_is_kept_and_renewed() {
    let acme = AcmeServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = free_port();
    acme.names_lead_to(at);
    // It is old when it comes: the next start is the time for another.
    acme.sign_as_of(70 * DAY);
    let core = TestCore::start_with(|configuration| {
        configuration.http_bind = at;
        with_acme(configuration, &acme, folder.path());
    })
    .await;
    let first = wait_for("a certificate by ACME", async || {
        let shown = shown(&core).await;
        is_of(&shown, &acme.root).then_some(shown)
    })
    .await;
    assert_eq!(acme.asked(), (1, 1));
    // Nobody is told anything at the challenge's protocol any more.
    assert_eq!(tls::acme_identifier(at, "core.example").await, None);

    acme.sign_as_of(Duration::ZERO);
    let core = core.restart().await;
    let second = wait_for("another one", async || {
        let shown = shown(&core).await;
        (shown != first).then_some(shown)
    })
    .await;
    assert!(is_of(&second, &acme.root));
    assert_eq!(acme.asked(), (1, 2), "the account is kept");

    // Nothing is asked for that is there.
    let core = core.restart().await;
    assert_eq!(shown(&core).await, second);
    core.stop().await;
    assert_eq!(acme.asked(), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_name_leads_elsewhere_the_own_certificate_stays_and_it_is_said() {
    let acme = AcmeServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    acme.names_lead_to(free_port());
    let core =
        TestCore::start_with(|configuration| with_acme(configuration, &acme, folder.path())).await;
    wait_for("the figure", async || failing(&core).await.then_some(())).await;
    let own = std::fs::read_to_string(core.state_dir().join("authority.cert")).expect("there");
    assert!(is_of(&shown(&core).await, &own));
    core.admin().get("/v1/projects").await.good();
}

async fn failing(core: &TestCore) -> bool {
    let figures = core.admin().get("/metrics").await.text();
    figures.contains("rhyzome_certificate_failing{to=\"http\"} 1\n")
}

/// What an operator's own authority signs for a core on loopback.
fn sign(authority: &Authority, cert: &Path, key: &Path) -> Vec<u8> {
    let (now, mut rng) = (SystemTime::now(), rand::rng());
    let credential = authority.issue_http_server(&["127.0.0.1"], DAY, now, &mut rng);
    let credential = credential.expect("a certificate");
    std::fs::write(key, credential.key_pem()).expect("a file");
    std::fs::write(cert, credential.chain_pem()).expect("a file");
    credential.chain()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_in_files_is_changed_while_connections_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let authority = Authority::make("operator", SystemTime::now(), &mut rand::rng());
    let authority = authority.expect("an authority");
    let first = sign(&authority, &cert, &key);
    let core = TestCore::start_with(|configuration| {
        configuration.tls.cert = Some(cert.clone());
        configuration.tls.key = Some(key.clone());
    })
    .await;
    assert_eq!(shown(&core).await.as_ref(), first);
    let token = std::fs::read_to_string(core.state_dir().join("admin.token")).expect("a token");
    let url = format!("https://{}", core.http());
    let operator = Actor::new(&url, &authority.certificate_pem()).with_token(token.trim());
    let mut events = operator.follow("/v1/events", None).await;

    let second = sign(&authority, &cert, &key);
    wait_for("the new certificate", async || {
        (shown(&core).await.as_ref() == second).then_some(())
    })
    .await;
    // What was open still tells, and what was kept is still taken.
    let project = serde_json::json!({"name": "garden"});
    operator.post("/v1/projects").json(&project).await.good();
    events.next().await;

    // A key that does not belong to it: the pair before stays, and the figure says so.
    std::fs::write(&key, "no key").expect("a file");
    let failing = async || {
        let figures = operator.get("/metrics").await.text();
        figures.contains("rhyzome_certificate_failing{to=\"http\"} 1\n")
    };
    wait_for("the figure", async || failing().await.then_some(())).await;
    assert_eq!(shown(&core).await.as_ref(), second);
    let third = sign(&authority, &cert, &key);
    wait_for("the one that is in order again", async || {
        (shown(&core).await.as_ref() == third).then_some(())
    })
    .await;
    assert!(!failing().await);
}

#[tokio::test]
async fn who_has_pinned_the_sites_authority_goes_on_with_each_new_certificate_of_it() {
    let core = TestCore::start_with(|_| {}).await;
    let pinned = core.admin();
    pinned.get("/v1/projects").await.good();
    let first = shown(&core).await;
    let core = core.restart().await;
    let second = shown(&core).await;
    assert_ne!(first, second, "it is the same certificate");
    pinned.get("/v1/projects").await.good();
}
