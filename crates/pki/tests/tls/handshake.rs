//! Who is let in, who is believed, and who is not.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::SanType;
use rhyzome_pki::client::{ClientCertificate, component_config, dial, pinned};
use rhyzome_pki::server::{ServerCertificate, http_config};
use rhyzome_pki::{CORE_SERVER_NAME, Credential, Fingerprint, JoinToken};
use rustls::pki_types::CertificateDer;

use crate::site::{HOUR, joined, joining, listen, site, site_called, talk, tls_error};

#[tokio::test]
async fn a_component_is_known_by_its_certificate() {
    let mut site = site(1);
    let mut core = site.core().await;
    let identity = site.component("host-1");
    let (info, answer) = core.meet(joined(&identity)).await;
    answer.unwrap();
    let peer = info.peer.unwrap();
    assert_eq!(&peer, identity.certificate());
    assert_eq!(peer.component_id, "host-1");
    assert!(!peer.expired(SystemTime::now()));
    assert!(info.remote_addr.ip().is_loopback());
}

#[tokio::test]
async fn without_a_certificate_one_may_connect_and_is_nobody() {
    let mut site = site(2);
    let mut core = site.core().await;
    let token = JoinToken::mint(site.pin(), &mut site.rng);
    let (info, answer) = core.meet(joining(token.authority())).await;
    answer.unwrap();
    assert_eq!(info.peer, None);
}

#[tokio::test]
async fn a_component_of_another_authority_is_refused() {
    let (mut site, mut other) = (site(3), site(33));
    let mut core = site.core().await;
    // It trusts this core, but was certified elsewhere.
    let certificate = ClientCertificate::new(other.component("host-1").credential());
    let ours = [site.authority.certificate().clone()];
    let error = core
        .refuse(component_config(&ours, certificate).unwrap())
        .await;
    assert_eq!(tls_error(&error), "AlertReceived(UnknownCA)");
}

#[tokio::test]
async fn an_expired_certificate_is_let_in_and_marked() {
    let mut site = site(4);
    let mut core = site.core().await;
    let long_ago = SystemTime::now() - 48 * HOUR;
    let identity = site.component_at("host-1", long_ago);
    let (info, answer) = core.meet(joined(&identity)).await;
    answer.unwrap();
    let peer = info.peer.unwrap();
    assert!(peer.expired(SystemTime::now()));
    assert_eq!(peer.component_id, "host-1");
}

#[tokio::test]
async fn an_expired_certificate_of_another_authority_is_refused() {
    // Also when that authority calls itself like ours.
    let (mut site, mut other) = (site_called("garden", 5), site_called("garden", 55));
    let mut core = site.core().await;
    let long_ago = SystemTime::now() - 48 * HOUR;
    let foreign = other.component_at("host-1", long_ago);
    let ours = [site.authority.certificate().clone()];
    let certificate = ClientCertificate::new(foreign.credential());
    let error = core
        .refuse(component_config(&ours, certificate).unwrap())
        .await;
    assert_eq!(tls_error(&error), "AlertReceived(DecryptError)");
}

#[tokio::test]
async fn a_certificate_from_the_future_is_let_in_and_marked() {
    let mut site = site(6);
    let mut core = site.core().await;
    let future = SystemTime::now() + HOUR;
    let identity = site.component_at("host-1", future);
    let (info, answer) = core.meet(joined(&identity)).await;
    answer.unwrap();
    assert!(info.peer.unwrap().not_before > SystemTime::now());
}

#[tokio::test]
async fn a_servers_certificate_is_no_components() {
    let mut site = site(7);
    let mut core = site.core().await;
    let certificate = ClientCertificate::new(&site.core_credential());
    let ours = [site.authority.certificate().clone()];
    let error = core
        .refuse(component_config(&ours, certificate).unwrap())
        .await;
    assert!(tls_error(&error).contains("AlertReceived"), "{error}");
}

#[tokio::test]
async fn a_joining_component_refuses_a_core_with_another_key() {
    let mut site = site(8);
    let mut core = site.core().await;
    let error = core.refuse(joining(Fingerprint::of_spki(b"another"))).await;
    assert_eq!(tls_error(&error), "InvalidCertificate(UnknownIssuer)");
}

/// A server that shows a certificate of another authority and sends the
/// pinned authority's certificate along.
#[tokio::test]
async fn sending_the_pinned_authority_along_does_not_help_an_impostor() {
    let (mut site, mut other) = (site(9), site(99));
    let impostor = other.core_credential();
    let mut chain = vec![impostor.chain()[0].clone()];
    chain.push(site.authority.certificate().clone());
    let error = serve_to_joining(&mut site, chain, &impostor).await;
    assert!(error.starts_with("InvalidCertificate("), "{error}");
}

#[tokio::test]
async fn a_component_cannot_pose_as_the_core() {
    let mut site = site(10);
    let thief = site.component("host-1");
    let mut chain = thief.credential().chain().to_vec();
    chain.push(site.authority.certificate().clone());
    let credential = thief.credential().clone();
    let error = serve_to_joining(&mut site, chain.clone(), &credential).await;
    assert!(error.contains("InvalidPurpose"), "{error}");
    let victim = joined(&site.component("host-2"));
    let error = serve(&site, chain, &credential, victim).await;
    assert!(error.contains("InvalidPurpose"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_does_not_say_what_it_is_for_is_for_nothing() {
    let mut site = site(17);
    let name = SanType::DnsName(CORE_SERVER_NAME.try_into().unwrap());
    let server = site.anything_goes(name);
    let victim = joined(&site.component("host-1"));
    let error = serve(&site, server.chain().to_vec(), &server, victim).await;
    assert_eq!(error, "InvalidCertificate(InvalidPurpose)");

    let name = SanType::URI("rhyzome://component/host-1".try_into().unwrap());
    let certificate = ClientCertificate::new(&site.anything_goes(name));
    let ours = [site.authority.certificate().clone()];
    let mut core = site.core().await;
    let error = core
        .refuse(component_config(&ours, certificate).unwrap())
        .await;
    assert_eq!(tls_error(&error), "AlertReceived(AccessDenied)");
}

#[tokio::test]
async fn the_http_servers_certificate_is_not_the_cores() {
    let mut site = site(11);
    let http = site
        .authority
        .issue_http_server(&["127.0.0.1"], HOUR, SystemTime::now(), &mut site.rng)
        .unwrap();
    let chain = http.chain().to_vec();
    let error = serve_to_joining(&mut site, chain.clone(), &http).await;
    assert!(error.contains("NotValidForName"), "{error}");
    let victim = joined(&site.component("host-1"));
    let error = serve(&site, chain, &http, victim).await;
    assert!(error.contains("NotValidForName"), "{error}");
}

#[tokio::test]
async fn a_core_with_an_expired_certificate_is_refused() {
    let mut site = site(12);
    let long_ago = SystemTime::now() - 48 * HOUR;
    let old = site
        .authority
        .issue_core_server(HOUR, long_ago, &mut site.rng)
        .unwrap();
    let victim = joined(&site.component("host-1"));
    let error = serve(&site, old.chain().to_vec(), &old, victim).await;
    assert!(error.contains("Expired"), "{error}");
}

#[tokio::test]
async fn the_pinned_authority_is_found_in_what_the_core_sent() {
    let mut site = site(13);
    let core = site.core().await;
    let config = Arc::new(joining(site.pin()));
    let stream = dial(&core.address().to_string(), config).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(
        pinned(chain, site.pin()),
        Some(site.authority.certificate())
    );
    assert_eq!(pinned(chain, Fingerprint::of_spki(b"another")), None);
}

#[tokio::test]
async fn a_renewed_component_shows_its_new_certificate_on_the_next_connection() {
    let mut site = site(14);
    let mut core = site.core().await;
    let (old, new) = (site.component("host-1"), site.component("host-1"));
    let certificate = ClientCertificate::new(old.credential());
    let config = component_config(old.authorities(), Arc::clone(&certificate)).unwrap();
    for expected in [&old, &old, &new] {
        certificate.swap(expected.credential());
        let (info, answer) = core.meet(config.clone()).await;
        answer.unwrap();
        assert_eq!(info.peer.as_ref(), Some(expected.certificate()));
    }
}

#[tokio::test]
async fn the_core_swaps_its_certificate_while_it_serves() {
    let mut site = site(15);
    let core = site.core().await;
    let address = core.address().to_string();
    let config = Arc::new(joined(&site.component("host-1")));
    let next = site.core_credential();
    let first = dial(&address, Arc::clone(&config)).await.unwrap();
    core.certificate.swap(&next);
    let second = dial(&address, config).await.unwrap();
    let shown = |stream: &tokio_rustls::client::TlsStream<_>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    assert_ne!(shown(&first), shown(&second));
    assert_eq!(shown(&second), next.chain()[0]);
}

#[tokio::test]
async fn an_http_server_that_speaks_no_grpc_is_noticed() {
    let mut site = site(16);
    let certificate = ServerCertificate::new(&site.core_credential());
    let mut config = http_config(certificate, false).unwrap();
    config.alpn_protocols.clear();
    let incoming = listen(config, rhyzome_pki::acceptor::Limits::default()).await;
    let address = incoming.local_addr().to_string();
    let error = talk(&address, joining(site.pin())).await.unwrap_err();
    assert_eq!(error.to_string(), "the server does not speak HTTP/2");
}

/// Serves a chain that no honest core would, with the key of `credential`, and
/// gives back why a component that is joining hangs up.
async fn serve_to_joining(
    site: &mut crate::site::Site,
    chain: Vec<CertificateDer<'static>>,
    credential: &Credential,
) -> String {
    let client = joining(site.pin());
    serve(site, chain, credential, client).await
}

async fn serve(
    site: &crate::site::Site,
    chain: Vec<CertificateDer<'static>>,
    credential: &Credential,
    client: rustls::ClientConfig,
) -> String {
    let signer = Arc::clone(&credential.certified_key().key);
    let shown = rustls::sign::CertifiedKey::new(chain, signer);
    let placeholder = ServerCertificate::new(credential);
    let mut config = site.server_config(placeholder);
    config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
    let limits = rhyzome_pki::acceptor::Limits {
        timeout: Duration::from_secs(20),
        ..Default::default()
    };
    let incoming = listen(config, limits).await;
    let address = incoming.local_addr().to_string();
    tls_error(&talk(&address, client).await.unwrap_err())
}
