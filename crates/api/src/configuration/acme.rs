//! A certificate of a public authority for the HTTP server (RFC 8555).

use std::path::PathBuf;

use rhyzome_settings::Complaint;
use serde::{Deserialize, Serialize};

use super::{Tls, TlsMode, check_url_with_path};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// The names that it is for; none: no such certificate.
    pub domains: Vec<String>,
    /// E-mail addresses for the ACME server to write to.
    pub contact: Vec<String>,
    /// The ACME server.
    pub directory: Option<String>,
    /// Whom the ACME server has its own certificate from; otherwise whom the system trusts.
    pub authority: Option<PathBuf>,
}

impl Acme {
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }

    pub(super) fn check(&self, tls: &Tls, complaints: &mut Vec<Complaint>) {
        let mut complain = |key, reason: String| complaints.push(Complaint { key, reason });
        if self.is_on() && self.directory.is_none() {
            let reason = "needed where tls.acme.domains is set, as https://acme-v02.api.letsencrypt.org/directory";
            complain("tls.acme.directory", reason.to_owned());
        }
        if !self.is_on() && self.directory.is_some() {
            let reason =
                "needed where tls.acme.directory is set: the names that the certificate is for";
            complain("tls.acme.domains", reason.to_owned());
        }
        if self.is_on() && tls.mode != TlsMode::On {
            let reason = "a certificate is wanted, but tls.mode is not on";
            complain("tls.acme.domains", reason.to_owned());
        }
        if self.is_on() && tls.cert.is_some() {
            let reason = "tls.cert is set, too; only one can be shown";
            complain("tls.acme.domains", reason.to_owned());
        }
        for domain in &self.domains {
            if let Some(why) = no_public_name(domain) {
                complain(
                    "tls.acme.domains",
                    format!("{domain:?} cannot be had: {why}"),
                );
            }
        }
        for contact in self.contact.iter().filter(|text| !text.contains('@')) {
            complain(
                "tls.acme.contact",
                format!("{contact:?} is no e-mail address"),
            );
        }
        if let Some(url) = &self.directory {
            check_url_with_path("tls.acme.directory", url, complaints);
        }
    }
}

fn no_public_name(domain: &str) -> Option<&'static str> {
    if domain.starts_with("*.") {
        return Some("a name for all below another is not to be had by TLS-ALPN-01");
    }
    if domain.parse::<std::net::IpAddr>().is_ok() {
        return Some("it is an address, not a name");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    (!domain.split('.').all(is_label)).then_some("it is no DNS name in lower case")
}
