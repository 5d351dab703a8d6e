use rand::SeedableRng as _;
use rand::rngs::StdRng;
use x509_parser::prelude::GeneralName;

use super::*;
use crate::certificate::{self, PeerCertificate};
use crate::identity::NewKey;

const HOUR: Duration = Duration::from_secs(3600);

struct Site {
    authority: Authority,
    rng: StdRng,
    now: SystemTime,
}

fn site() -> Site {
    let now = from_unix_seconds(1_800_000_000);
    let mut rng = StdRng::seed_from_u64(7);
    Site {
        authority: Authority::make("garden", now, &mut rng).unwrap(),
        rng,
        now,
    }
}

impl Site {
    fn component(&mut self, csr: &[u8], component_id: &str) -> Result<Issued, IssueError> {
        let request = ComponentRequest {
            csr,
            component_id,
            validity: HOUR,
        };
        self.authority
            .issue_component(request, self.now, &mut self.rng)
    }

    fn http(&mut self, names: &[&str]) -> Result<Credential, IssueError> {
        self.authority
            .issue_http_server(names, HOUR, self.now, &mut self.rng)
    }
}

/// A request that asks for far more than it will get.
fn greedy_request(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new([CORE_SERVER_NAME.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "somebody else");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn a_component_gets_the_name_and_use_that_the_core_decides() {
    let mut site = site();
    let key = KeyPair::generate().unwrap();
    let issued = site.component(&greedy_request(&key), "host-1").unwrap();
    let leaf = certificate::parse(&issued.certificate).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=host-1");
    assert!(!leaf.is_ca());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [GeneralName::URI("rhyzome://component/host-1")]
    );
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert_eq!(
        leaf.public_key().subject_public_key.data,
        key.public_key_raw()
    );
}

#[test]
fn what_issuing_returns_is_what_the_certificate_says() {
    let mut site = site();
    let csr = NewKey::make().unwrap().request().unwrap();
    let issued = site.component(&csr, "host-1").unwrap();
    let peer = PeerCertificate::parse(&issued.certificate).unwrap();
    assert_eq!(peer.serial, issued.serial);
    assert_eq!(issued.serial.len(), 32);
    assert_eq!(peer.component_id, "host-1");
    assert_eq!(peer.not_after, site.now + HOUR);
    assert_eq!(issued.not_after, site.now + HOUR);
    // The authority began five minutes before it was made, and so does this.
    assert_eq!(peer.not_before, site.now - BACKDATE);
    assert_eq!(peer.not_before, issued.not_before);
    assert!(!peer.expired(site.now + HOUR));
    assert!(peer.expired(site.now + HOUR + Duration::from_secs(1)));
}

#[test]
fn serials_are_whole_and_never_repeat() {
    let mut rng = StdRng::seed_from_u64(9);
    let serials: std::collections::HashSet<_> =
        (0..1000).map(|_| random_serial(&mut rng)).collect();
    assert_eq!(serials.len(), 1000);
    assert!(serials.iter().all(|s| (0x40..0x80).contains(&s[0])));
}

#[test]
fn a_request_with_a_foreign_signature_is_refused() {
    let mut site = site();
    let mut csr = NewKey::make().unwrap().request().unwrap();
    let last = csr.len() - 1;
    csr[last] ^= 1;
    assert!(matches!(
        site.component(&csr, "a"),
        Err(IssueError::BadRequestSignature | IssueError::BadRequest { .. })
    ));
    let (one, two) = (
        NewKey::make().unwrap().request().unwrap(),
        NewKey::make().unwrap().request().unwrap(),
    );
    // The body of one with the key of another: every byte is well-formed.
    let key_of = |csr: &[u8]| {
        let (_, parsed) = X509CertificationRequest::from_der(csr).unwrap();
        parsed.certification_request_info.subject_pki.raw.to_vec()
    };
    let (from, to) = (key_of(&one), key_of(&two));
    let at = one.windows(from.len()).position(|w| w == from).unwrap();
    let mut stolen = one.clone();
    stolen[at..at + from.len()].copy_from_slice(&to);
    assert!(matches!(
        site.component(&stolen, "a"),
        Err(IssueError::BadRequestSignature)
    ));
}

#[test]
fn other_keys_ids_and_bytes_are_refused() {
    let mut site = site();
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let csr = greedy_request(&key);
    assert!(matches!(
        site.component(&csr, "a"),
        Err(IssueError::KeyKind)
    ));
    let mut csr = NewKey::make().unwrap().request().unwrap();
    for id in ["", "a/b", "a b", "ü", &"x".repeat(129)] {
        let refused = site.component(&csr, id);
        assert!(matches!(refused, Err(IssueError::ComponentId { .. })));
    }
    csr.push(0);
    for bytes in [&csr[..], b"", b"hello"] {
        let refused = site.component(bytes, "a");
        assert!(matches!(refused, Err(IssueError::BadRequest { .. })));
    }
}

#[test]
fn nothing_outlives_the_authority() {
    let mut site = site();
    let csr = NewKey::make().unwrap().request().unwrap();
    let end = site.authority.credential().not_after();
    site.now = end - Duration::from_secs(10);
    assert_eq!(site.component(&csr, "a").unwrap().not_after, end);
    site.now = end + Duration::from_secs(1);
    assert!(matches!(
        site.component(&csr, "a"),
        Err(IssueError::AuthorityExpired { .. })
    ));
}

#[test]
fn the_cores_server_certificate_carries_the_fixed_name_and_the_authority() {
    let mut site = site();
    let server = site
        .authority
        .issue_core_server(HOUR, site.now, &mut site.rng)
        .unwrap();
    assert_eq!(&server.chain()[1], site.authority.certificate());
    let leaf = certificate::parse(&server.chain()[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [GeneralName::DNSName(CORE_SERVER_NAME)]
    );
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
    assert!(PeerCertificate::parse(&server.chain()[0]).is_err());
}

#[test]
fn the_http_certificate_carries_names_and_addresses() {
    let mut site = site();
    let server = site
        .http(&[
            "cloud.example",
            "*.cloud.example",
            "192.0.2.1",
            "2001:db8::1",
        ])
        .unwrap();
    let leaf = certificate::parse(&server.chain()[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [
            GeneralName::DNSName("cloud.example"),
            GeneralName::DNSName("*.cloud.example"),
            GeneralName::IPAddress(&[192, 0, 2, 1]),
            GeneralName::IPAddress(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ]
    );
}

#[test]
fn no_http_certificate_can_stand_for_the_core() {
    let mut site = site();
    for name in [
        CORE_SERVER_NAME,
        "CORE.rhyzome.internal",
        "core.rhyzome.internal.",
        "*.rhyzome.internal",
    ] {
        let refused = site.http(&["ok.example", name]);
        assert!(matches!(refused, Err(IssueError::ReservedName)), "{name}");
    }
    assert!(matches!(site.http(&[]), Err(IssueError::NoNames)));
    assert!(matches!(
        site.http(&["not a name"]),
        Err(IssueError::BadName { .. })
    ));
}

proptest::proptest! {
    /// What a stranger sends is read before anybody knows who they are.
    #[test]
    fn no_request_and_no_certificate_makes_reading_them_panic(
        at: proptest::sample::Index,
        byte: u8,
        cut: proptest::sample::Index,
    ) {
        let mut site = site();
        let mut csr = NewKey::make().unwrap().request().unwrap();
        let mut certificate = site.component(&csr, "a").unwrap().certificate.to_vec();
        let position = at.index(csr.len());
        csr[position] = byte;
        let _ = site.component(&csr, "a");
        let _ = site.component(&csr[..cut.index(csr.len())], "a");
        let position = at.index(certificate.len());
        certificate[position] = byte;
        let _ = PeerCertificate::parse(&CertificateDer::from(certificate.as_slice()));
        let part = &certificate[..cut.index(certificate.len())];
        proptest::prop_assert!(PeerCertificate::parse(&CertificateDer::from(part)).is_err());
    }
}
