//! The certificates that the core itself shows: to components, and to people and programs.
//!
//! Those that its own authority signs are renewed here at two thirds of their time, while it serves.
//! One that the operator brought is read again when its file changes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rhyzome_app as app;
use rhyzome_pki::ShownTime;
use rhyzome_pki::authority::{Authority, AuthorityError};
use rhyzome_pki::credential::{Credential, CredentialError};
use rhyzome_pki::issue::IssueError;
use rhyzome_pki::server::ServerCertificate;
use tokio_util::sync::CancellationToken;

use crate::acme;
use crate::configuration::Configuration;
use crate::metrics::{Metrics, Shows};
use crate::problem::chain;

/// How long the core's own certificates are valid.
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often they are looked at: clocks jump, and timers do not notice.
const LOOK: Duration = Duration::from_secs(60);

/// The same for files, which somebody waits for who has just put them there.
const LOOK_AT_FILES: Duration = Duration::from_secs(5);

/// 2026-01-01: there was no such program before. An authority that is made by a clock that has not been set
/// would be no good once it is.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate in tls.cert and tls.key cannot be used")]
    Configured { source: CredentialError },
    #[error("the authority cannot be used")]
    Authority { source: AuthorityError },
    #[error(
        "no authority is made for the site, since this machine's clock says {}: set it first",
        ShownTime(*.now)
    )]
    Clock { now: SystemTime },
    #[error("the authority did not sign the core's own certificate")]
    Issue { source: IssueError },
}

/// The site's authority: the operator's own, the one in the state folder, or a new one there.
///
/// # Errors
/// [`CertificateError::Authority`], [`CertificateError::Clock`].
pub fn authority(settings: &Configuration, now: SystemTime) -> Result<Authority, CertificateError> {
    let failed = |source| CertificateError::Authority { source };
    let (cert, key) = authority_paths(settings);
    // A key alone is what a crash between the two writes left: nobody has seen that authority yet.
    if settings.authority.cert.is_some() || cert.exists() {
        return Authority::load(&cert, &key, now).map_err(failed);
    }
    if now < UNIX_EPOCH + EARLIEST {
        return Err(CertificateError::Clock { now });
    }
    let made = Authority::make(&settings.site.name, now, &mut rand::rng()).map_err(failed)?;
    made.save(&cert, &key).map_err(failed)?;
    tracing::info!(authority = %made.fingerprint(), path = %cert.display(), "made the site's authority");
    Ok(made)
}

/// All that is wrong with the certificates that the operator named. Makes nothing.
pub fn check(settings: &Configuration) -> Vec<CertificateError> {
    let mut wrong = Vec::new();
    if let (Some(cert), Some(key)) = (&settings.authority.cert, &settings.authority.key) {
        let loaded = Authority::load(cert, key, SystemTime::now());
        wrong.extend(
            loaded
                .err()
                .map(|source| CertificateError::Authority { source }),
        );
    }
    if let (Some(cert), Some(key)) = (&settings.tls.cert, &settings.tls.key) {
        wrong.extend(load(cert, key).err());
    }
    wrong
}

fn load(cert: &Path, key: &Path) -> Result<Credential, CertificateError> {
    let failed = |source| CertificateError::Configured { source };
    let credential = Credential::load(cert, key).map_err(failed)?;
    let name = cert.display().to_string();
    credential
        .check_time(SystemTime::now(), &name)
        .map_err(failed)?;
    Ok(credential)
}

/// Where certificate and key of the authority are.
pub fn authority_paths(settings: &Configuration) -> (PathBuf, PathBuf) {
    match (&settings.authority.cert, &settings.authority.key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => {
            let folder = &settings.state_dir;
            (folder.join("authority.cert"), folder.join("authority.key"))
        }
    }
}

/// Where a certificate of the core comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The operator's files.
    Files { cert: PathBuf, key: PathBuf },
    /// A public authority, by ACME.
    Acme(acme::Wanted),
    /// Our authority, for people and programs, under these names.
    Http { names: Vec<String> },
    /// Our authority, for components.
    Grpc,
}

impl Origin {
    /// Of the HTTP server's certificate.
    pub fn of_http(settings: &Configuration) -> Self {
        let own = Self::Http {
            names: names(settings),
        };
        match (&settings.tls.cert, &settings.tls.key) {
            (Some(cert), Some(key)) => Self::Files {
                cert: cert.clone(),
                key: key.clone(),
            },
            _ if settings.tls.acme.is_on() => Self::Acme(acme::Wanted {
                settings: settings.tls.acme.clone(),
                folder: settings.state_dir.join("acme"),
                otherwise: Box::new(own),
            }),
            _ => own,
        }
    }

    /// Gets the certificate.
    ///
    /// # Errors
    /// What is wrong with the files, or with the authority.
    pub fn obtain(&self, authority: &Authority) -> Result<Credential, CertificateError> {
        let issued = |source| CertificateError::Issue { source };
        let now = SystemTime::now();
        let mut rng = rand::rng();
        match self {
            Self::Files { cert, key } => load(cert, key),
            Self::Acme(wanted) => match acme::kept(&wanted.folder, &wanted.settings, now) {
                Some(kept) => Ok(kept),
                None => wanted.otherwise.obtain(authority),
            },
            Self::Http { names } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                authority
                    .issue_http_server(&names, VALIDITY, now, &mut rng)
                    .map_err(issued)
            }
            Self::Grpc => authority
                .issue_core_server(VALIDITY, now, &mut rng)
                .map_err(issued),
        }
    }

    /// Whether it is time for another one.
    fn is_due(&self, current: &Credential, now: SystemTime) -> bool {
        matches!(self, Self::Files { .. }) || two_thirds_are_over(current, now)
    }

    /// How often it is looked at.
    fn look(&self) -> Duration {
        match self {
            Self::Files { .. } => LOOK_AT_FILES,
            Self::Acme(_) | Self::Http { .. } | Self::Grpc => LOOK,
        }
    }

    fn shows(&self) -> Shows {
        match self {
            Self::Files { .. } | Self::Acme(_) | Self::Http { .. } => Shows::Http,
            Self::Grpc => Shows::Components,
        }
    }
}

/// Whether a certificate is to be renewed.
pub fn two_thirds_are_over(current: &Credential, now: SystemTime) -> bool {
    let (from, until) = (current.not_before(), current.not_after());
    // Issued when the clock was ahead.
    if now < from {
        return true;
    }
    let whole = until.duration_since(from).unwrap_or_default();
    now.duration_since(from).unwrap_or_default() >= whole * 2 / 3
}

/// All names that people on this machine and elsewhere reach the HTTP server by.
fn names(settings: &Configuration) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    if let Ok(uri) = settings.http_url().parse::<axum::http::Uri>()
        && let Some(host) = uri.host()
    {
        names.push(host.trim_matches(['[', ']']).to_owned());
    }
    let bound: IpAddr = settings.http_bind.ip();
    if !bound.is_unspecified() {
        names.push(bound.to_string());
    }
    names.sort();
    names.dedup();
    // 0.0.0.0 is nobody's name.
    names.retain(|name| !name.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()));
    names
}

/// Keeps a served certificate fresh until `stopping`.
pub async fn keep(
    origin: Origin,
    mut current: Credential,
    served: Arc<ServerCertificate>,
    (core, metrics): (app::Core, Metrics),
    stopping: CancellationToken,
) {
    // Said once, and not at each look.
    let mut said = None;
    while stopping
        .run_until_cancelled(tokio::time::sleep(origin.look()))
        .await
        .is_some()
    {
        if !origin.is_due(&current, SystemTime::now()) {
            continue;
        }
        let obtained = origin.obtain(&core.authority);
        metrics.certificate(origin.shows(), obtained.is_ok());
        match obtained {
            Ok(next) if next.chain() == current.chain() => said = None,
            Ok(next) => {
                said = None;
                served.swap(&next);
                current = next;
                tracing::info!(?origin, "the core shows a new certificate");
            }
            Err(error) => {
                let error = chain(&error);
                if said.as_ref() != Some(&error) {
                    tracing::warn!(?origin, error, "no new certificate; the old one stays");
                }
                said = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_certificate_is_renewed_at_two_thirds_of_its_time() {
        let mut rng = rand::rng();
        let authority = Authority::make("test", SystemTime::now(), &mut rng).expect("an authority");
        let origin = Origin::Http {
            names: vec!["localhost".to_owned()],
        };
        let current = origin.obtain(&authority).expect("a certificate");
        let whole = current
            .not_after()
            .duration_since(current.not_before())
            .expect("a time");
        let before = current.not_before() + whole * 65 / 100;
        let behind = current.not_before() + whole * 67 / 100;
        assert!(!origin.is_due(&current, before));
        assert!(origin.is_due(&current, behind));
        let clock_was_ahead = current.not_before() - Duration::from_secs(1);
        assert!(origin.is_due(&current, clock_was_ahead));
        assert_ne!(
            origin.obtain(&authority).expect("another").chain(),
            current.chain()
        );
    }

    #[test]
    fn a_clock_that_was_not_set_makes_no_authority_and_refuses_one_with_what_it_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Configuration {
            state_dir: folder.path().to_owned(),
            ..Configuration::default()
        };
        let told = |at| chain(&authority(&settings, at).expect_err("refused"));
        let never_set = UNIX_EPOCH + Duration::from_secs(77);
        let text = told(never_set);
        assert!(
            text.contains("clock says 1970-01-01T00:01:17Z: set it first"),
            "{text}"
        );
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0, "something was made");

        let now = SystemTime::now();
        let made = authority(&settings, now).expect("made");
        for (at, what) in [
            (never_set, "is not valid before "),
            (now + Duration::from_secs(14 * 365 * 86_400), "expired at "),
        ] {
            let text = told(at);
            assert!(text.contains(what), "{text}");
            let clock = format!("this machine's clock says {}", ShownTime(at));
            assert!(text.contains(&clock), "{text}");
        }
        let again = authority(&settings, SystemTime::now()).expect("the clock is right again");
        assert_eq!(again.fingerprint(), made.fingerprint());
    }

    #[test]
    fn the_certificate_is_for_all_names_that_people_use() {
        let settings = Configuration {
            public_url: Some("https://core.example:8443".to_owned()),
            http_bind: ([192, 0, 2, 1], 8443).into(),
            ..Configuration::default()
        };
        let expected = ["127.0.0.1", "192.0.2.1", "::1", "core.example", "localhost"];
        assert_eq!(names(&settings), expected);
        let everywhere = Configuration {
            http_bind: ([0, 0, 0, 0], 8443).into(),
            ..Configuration::default()
        };
        assert_eq!(names(&everywhere), ["127.0.0.1", "::1", "localhost"]);
    }
}
