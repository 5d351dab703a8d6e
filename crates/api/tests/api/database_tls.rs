//! The way to the database, with TLS; with PostgreSQL only.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rhyzome_api::configuration::TlsMode;
use rhyzome_api::problem::chain;
use rhyzome_api::start;
use rhyzome_store::testing::VARIABLE;
use rhyzome_testkit::TestCore;

use crate::postgres::Postgres;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_who_it_says_or_nothing_is_said_to_it() {
    if std::env::var(VARIABLE).is_err() {
        // There is no way to an SQLite file.
        return;
    }
    let (right, wrong) = (authority("right"), authority("wrong"));
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    let certificate = params.signed_by(&key, &right).expect("a certificate");
    let server = Postgres::start(
        &[
            ("server.crt", &certificate.pem()),
            ("server.key", &key.serialize_pem()),
        ],
        &["ssl=on"],
    )
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let (right, wrong) = (file("right", &right.pem()), file("wrong", &wrong.pem()));
    let url = |host: &str, root: &PathBuf| {
        let query = format!("sslmode=verify-full&sslrootcert={}", root.display());
        server.url(host, &query)
    };
    let core = TestCore::start_with(|configuration| {
        configuration.tls.mode = TlsMode::Off;
        configuration.db = Some(url("localhost", &right));
    })
    .await;
    core.admin().get("/readyz").await.status(200);
    let encrypted = encrypted(&server);
    assert!(encrypted >= 1, "{encrypted} sessions are encrypted");

    let mut settings = core.configuration().clone();
    core.stop().await;
    let missing = folder.path().join("missing");
    for (host, root, parts) in [
        (
            "localhost",
            &wrong,
            ["UnknownIssuer", "sslrootcert has to be"],
        ),
        (
            "127.0.0.1",
            &right,
            ["not valid for name", "the host's name has to be"],
        ),
        ("localhost", &missing, ["No such file", "missing"]),
    ] {
        settings.state_dir = folder.path().join("core");
        settings.db = Some(url(host, root));
        let error = start::start(&settings).await.err().expect("it is refused");
        let told = chain(&error);
        for part in parts {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
        assert!(!settings.state_dir.join("authority.cert").exists());
    }
}

/// How many sessions the server has with TLS, seen through its socket.
fn encrypted(server: &Postgres) -> usize {
    let output = std::process::Command::new("psql")
        .arg(server.socket_url())
        .args(["-Atc", "SELECT COUNT(*) FROM pg_stat_ssl WHERE ssl"])
        .output()
        .expect("psql runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
}
