use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use rustls::pki_types::pem::PemObject as _;

use super::*;

struct Files {
    _folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    Files {
        certificate: folder.path().join("authority.cert"),
        key: folder.path().join("authority.key"),
        _folder: folder,
    }
}

fn make() -> Authority {
    Authority::make("garden", SystemTime::now(), &mut StdRng::seed_from_u64(1)).unwrap()
}

fn load(files: &Files) -> Result<Authority, AuthorityError> {
    Authority::load(&files.certificate, &files.key, SystemTime::now())
}

/// An operator's own hierarchy, made without any of our code: a root, and
/// below it a certificate that `change` may spoil.
fn own_hierarchy(
    algorithm: &'static SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String, KeyPair) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, "Own root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut below = CertificateParams::default();
    below
        .distinguished_name
        .push(DnType::CommonName, "Own intermediate");
    below.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    change(&mut below);
    let certificate = below
        .signed_by(&key, &Issuer::from_params(&root, &root_key))
        .unwrap();
    (certificate.pem(), root_certificate.pem(), key)
}

#[test]
fn a_made_authority_loads_back_with_the_same_fingerprint() {
    let (made, files) = (make(), files());
    made.save(&files.certificate, &files.key).unwrap();
    let loaded = load(&files).unwrap();
    assert_eq!(loaded.fingerprint(), made.fingerprint());
    assert_eq!(loaded.certificate(), made.certificate());
    assert_eq!(made.fingerprint().to_string().len(), 64);
}

#[test]
fn the_saved_key_is_for_its_owner_alone_also_over_an_open_one() {
    let files = files();
    fs::write(&files.key, "old").unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o666)).unwrap();
    make().save(&files.certificate, &files.key).unwrap();
    let mode = fs::metadata(&files.key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let left = fs::read_dir(files.key.parent().unwrap()).unwrap().count();
    assert_eq!(left, 2, "no temporary file stays");
}

#[test]
fn a_made_authority_lasts_ten_years_and_signs_no_other_authority() {
    let made = make();
    let parsed = certificate::parse(made.certificate()).unwrap();
    let constraints = parsed.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
    assert!(parsed.subject().to_string().contains("garden"));
    let left = made
        .credential()
        .not_after()
        .duration_since(SystemTime::now())
        .unwrap();
    assert!(left > LIFETIME - Duration::from_secs(60) && left <= LIFETIME);
}

#[test]
fn debug_and_display_never_show_the_key() {
    let made = make();
    let key = made.credential().key_pem();
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{made:?} {:?}", made.credential()).contains(secret));
}

#[test]
fn an_intermediate_with_its_chain_works_for_each_kind_of_key() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let (certificate, root, key) = own_hierarchy(algorithm, |_| {});
        let files = files();
        fs::write(&files.certificate, certificate + &root).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        let authority = load(&files).unwrap();
        assert_eq!(authority.credential().chain().len(), 2);
        let server = authority
            .issue_core_server(
                Duration::from_secs(60),
                SystemTime::now(),
                &mut StdRng::seed_from_u64(2),
            )
            .unwrap();
        let leaf = certificate::parse(&server.chain()[0]).unwrap();
        let signer = certificate::parse(authority.certificate()).unwrap();
        leaf.verify_signature(Some(signer.public_key())).unwrap();
        assert_eq!(leaf.issuer(), signer.subject());
    }
}

/// `openssl ecparam -genkey` and `openssl genrsa -traditional` write these.
#[test]
fn keys_in_the_older_formats_work_too() {
    for key in [
        include_str!("fixtures/ec-sec1.key"),
        include_str!("fixtures/rsa-pkcs1.key"),
    ] {
        let parsed = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let signer = credential::signer(&parsed, "fixture").unwrap();
        let public = signer.public_key().unwrap();
        let public = SubjectPublicKeyInfo::from_der(public.as_ref()).unwrap();
        let root = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params
            .signed_by(&public, &Issuer::from_params(&params, &root))
            .unwrap();
        let files = files();
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key).unwrap();
        let authority = load(&files).unwrap();
        let mut rng = StdRng::seed_from_u64(3);
        let hour = Duration::from_secs(3600);
        let server = authority.issue_core_server(hour, SystemTime::now(), &mut rng);
        let server = server.unwrap();
        let leaf = certificate::parse(&server.chain()[0]).unwrap();
        let signer = certificate::parse(authority.certificate()).unwrap();
        leaf.verify_signature(Some(signer.public_key())).unwrap();
        // Written again, it is still the same key in the same format.
        authority.save(&files.certificate, &files.key).unwrap();
        assert_eq!(load(&files).unwrap().fingerprint(), authority.fingerprint());
    }
}

#[test]
fn a_chain_in_the_wrong_order_is_refused() {
    let (certificate, _, key) = own_hierarchy(&rcgen::PKCS_ECDSA_P256_SHA256, |_| {});
    let (_, other_root, _) = own_hierarchy(&rcgen::PKCS_ECDSA_P256_SHA256, |_| {});
    let files = files();
    fs::write(&files.certificate, certificate + &other_root).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    let error = load(&files).unwrap_err();
    assert!(matches!(
        error,
        AuthorityError::BrokenChain { position: 1, .. }
    ));
}

fn refused(change: impl FnOnce(&mut CertificateParams)) -> (String, Files) {
    let (certificate, _, key) = own_hierarchy(&rcgen::PKCS_ECDSA_P256_SHA256, change);
    let files = files();
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    (load(&files).unwrap_err().to_string(), files)
}

#[test]
fn a_certificate_that_cannot_sign_is_refused_with_its_name() {
    let (error, files) = refused(|params| params.is_ca = IsCa::ExplicitNoCa);
    let path = files.certificate.display();
    assert!(error.starts_with(&format!("the certificate in {path} (")));
    assert!(error.contains("Own intermediate"), "{error}");
    assert!(error.ends_with("is not a signing authority (CA)"));
    let (error, _) = refused(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert!(error.contains("keyCertSign"), "{error}");
}

#[test]
fn an_expired_or_future_authority_is_refused_with_the_time() {
    let (error, files) = refused(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 2));
    let told = format!(
        "the certificate in {} expired at 2020-01-02T00:00:00Z: this machine's clock says 20",
        files.certificate.display()
    );
    assert!(error.starts_with(&told), "{error}");
    let (error, _) = refused(|params| params.not_before = rcgen::date_time_ymd(2190, 1, 2));
    let (what, clock) = error.split_once(": this machine's clock says ").unwrap();
    assert!(what.ends_with("is not valid before 2190-01-02T00:00:00Z"));
    assert!(clock.starts_with("20"), "{clock}");
}

#[test]
fn a_missing_file_is_named() {
    let files = files();
    let error = load(&files).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} could not be read", files.certificate.display())
    );
    assert!(error.source().is_some());
}
