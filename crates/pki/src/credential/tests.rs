use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, KeyPair};

use super::*;

fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["host.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn error(certificate: &str, key: &str) -> String {
    let named = |name, pem: &'static str| Named {
        name,
        pem: pem.as_bytes(),
    };
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    Credential::from_pem(
        named("api.cert", leak(certificate)),
        named("api.key", leak(key)),
    )
    .unwrap_err()
    .to_string()
}

#[test]
fn swapped_files_are_named_with_what_they_hold() {
    let (certificate, key) = pair();
    assert_eq!(
        error(&key, &certificate),
        "api.cert should hold a certificate (PEM), but holds PRIVATE KEY"
    );
    assert_eq!(
        error(&certificate, &certificate),
        "api.key should hold a private key (PEM), but holds CERTIFICATE"
    );
}

#[test]
fn what_is_no_pem_is_said_to_be_none() {
    let (certificate, _) = pair();
    assert_eq!(
        error(&certificate, ""),
        "api.key should hold a private key (PEM), but holds nothing"
    );
    assert_eq!(
        error("hello", ""),
        "api.cert should hold a certificate (PEM), but holds no PEM at all"
    );
}

#[test]
fn a_key_under_a_passphrase_is_recognised() {
    let (certificate, key) = pair();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(
        error(&certificate, &encrypted),
        "api.key holds a private key under a passphrase; save it without one"
    );
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    assert_eq!(
        error(&pair().0, &pair().1),
        "the private key in api.key does not belong to the certificate in api.cert"
    );
}

#[test]
fn damaged_texts_are_refused_by_place() {
    let (certificate, key) = pair();
    let second = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(
        error(&(certificate.clone() + second), &key),
        "certificate 2 in api.cert is damaged"
    );
    assert_eq!(
        error(&certificate.replace("-----END", "----END"), &key),
        "api.cert is damaged PEM"
    );
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(error(&certificate, no_key).starts_with("the private key in api.key is of no"));
}

#[test]
fn a_credential_survives_being_written_and_read() {
    let (certificate, key) = pair();
    let named = |pem| Named { name: "x", pem };
    let one = Credential::from_pem(named(certificate.as_bytes()), named(key.as_bytes())).unwrap();
    let (chain, key) = (one.chain_pem(), one.key_pem());
    let two = Credential::from_pem(named(chain.as_bytes()), named(key.as_bytes())).unwrap();
    assert_eq!(one.chain(), two.chain());
    assert_eq!(two.key_pem(), key);
}

/// Runs what it is given without root's power to read everything, and says as
/// which user. The raw system call changes the calling thread alone, which
/// then ends.
fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> (T, u32) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if nix::unistd::geteuid().is_root() {
                // SAFETY: setresuid takes three numbers and touches no memory.
                let changed =
                    unsafe { libc::syscall(libc::SYS_setresuid, -1_i64, 65534_i64, -1_i64) };
                assert_eq!(changed, 0);
            }
            (work(), nix::unistd::geteuid().as_raw())
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_key_that_may_not_be_read_says_whose_it_is_and_who_asked() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (certificate, key) = (folder.path().join("a.cert"), folder.path().join("a.key"));
    let (certificate_pem, key_pem) = pair();
    fs::write(&certificate, certificate_pem).unwrap();
    file::write_atomic(&key, key_pem.as_bytes(), 0o200).unwrap();
    let (loaded, user) = unprivileged(|| Credential::load(&certificate, &key));
    assert_eq!(
        loaded.unwrap_err().to_string(),
        format!(
            "{} may not be read: it belongs to uid {} with mode 0200, and this process runs as uid {user}",
            key.display(),
            nix::unistd::geteuid()
        )
    );
}
