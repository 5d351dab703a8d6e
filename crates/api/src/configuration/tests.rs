use rhyzome_settings::{Errors, Loader};

use super::*;

fn load(set: &[&str]) -> Result<Configuration, Errors> {
    let folder = tempfile::tempdir().expect("a folder");
    let state = format!("state_dir={}", folder.path().display());
    let set = set.iter().map(|text| (*text).to_owned());
    let loader = Loader::new("RHYZOME_API").set([state].into_iter().chain(set));
    loader.load::<Configuration>().map(|loaded| loaded.settings)
}

fn check(set: &[&str], expect: &[&str]) {
    match load(set) {
        Ok(_) => assert!(expect.is_empty(), "{set:?} was taken"),
        Err(errors) => {
            let text = errors.to_string();
            assert!(!expect.is_empty(), "{set:?}: {text}");
            for part in expect {
                assert!(text.contains(part), "{set:?}: {part:?} is not in {text}");
            }
        }
    }
}

#[test]
fn the_defaults_listen_on_loopback_with_tls_and_authorization() {
    let defaults = load(&[]).expect("the defaults are in order");
    assert!(defaults.http_bind.ip().is_loopback() && defaults.grpc_bind.ip().is_loopback());
    assert_eq!(
        (defaults.tls.mode, defaults.authorization),
        (TlsMode::On, Switch::On)
    );
    assert_eq!(defaults.http_url(), "https://127.0.0.1:8080");
    assert_eq!(defaults.grpc_url(), "https://127.0.0.1:9090");
}

#[test]
fn what_opens_the_core_to_strangers_stays_on_loopback() {
    check(&["authorization=off"], &[]);
    check(
        &["authorization=off", "http_bind=0.0.0.0:8080"],
        &["http_bind", "administrator"],
    );
    check(&["tls.mode=off"], &[]);
    check(
        &["tls.mode=off", "http_bind=192.0.2.1:8080"],
        &["tls.mode", "loopback"],
    );
    check(&["http_bind=192.0.2.1:8080"], &[]);
    let behind = "tls.mode=behind_proxy";
    check(
        &[behind, "http_bind=192.0.2.1:8080"],
        &["proxy.trusted", "behind_proxy"],
    );
    for trusted in ["192.0.2.7", "10.0.0.0/8", "2001:db8::1"] {
        let trusted = format!("proxy.trusted=[\"{trusted}\"]");
        check(&[behind, "http_bind=192.0.2.1:8080", &trusted], &[]);
    }
    check(&["proxy.trusted=[\"proxy.example\"]"], &["proxy.example"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    check(
        &[
            "state_folder=x",
            "log.level=loud,,=",
            "tls.cert=/nowhere",
            "site.ipv4_pool=10.0.0.0/24",
            "db=mysql://x",
        ],
        &["state_folder", "state_dir", "/nowhere"],
    );
    check(
        &[
            "log.level=a=b=c",
            "site.ipv4_pool=10.0.0.0/24",
            "db=mysql://x",
            "public_url=core",
        ],
        &["log.level", "site.ipv4_pool", "db", "public_url"],
    );
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    check(&["http_bind=127.0.0.1:9090"], &["grpc_bind"]);
    check(&["grpc_bind=0.0.0.0:9090"], &["grpc_public_url"]);
    check(
        &[
            "grpc_bind=0.0.0.0:9090",
            "grpc_public_url=https://core.example:9090",
        ],
        &[],
    );
    check(
        &["grpc_public_url=http://core.example:9090"],
        &["grpc_public_url", "https://"],
    );
    check(&["public_url=https://core.example/x"], &["public_url"]);
    check(&["tls.cert=/dev/null"], &["tls.key"]);
    check(&["authority.key=/dev/null"], &["authority.cert"]);
    check(
        &["site.peers_ipv4=10.64.0.0/16"],
        &["site.peers_ipv4", "overlaps"],
    );
    check(&["site.ipv6_prefix=2001:db8::/48"], &["site.ipv6_prefix"]);
}

#[test]
fn limits_that_would_cut_off_honest_clients_or_mean_nothing_are_refused() {
    check(&["limits.take_within=1"], &["limits.take_within", "5 s"]);
    check(&["limits.take_within=0", "limits.waits=0"], &[]);
    check(&["limits.waits=10"], &["limits.waits_per_credential"]);
    check(&["limits.requests_per_address=-1"], &["limits"]);
}

#[test]
fn what_others_called_a_key_is_understood() {
    check(&["pki.cert=x"], &["tls.cert"]);
    check(&["tls.ca=x"], &["authority.cert"]);
    check(&["disable_authz=true"], &["authorization"]);
}

#[test]
fn no_default_is_somebodys_server_and_no_two_keys_share_a_variable() {
    assert_eq!(rhyzome_settings::audit::<Configuration>(), []);
}

#[test]
fn every_key_is_explained_with_its_default() {
    let page = include_str!("../../../../docs/configuration.md");
    let findings = rhyzome_settings::audit_page::<Configuration>("rhyzome-api", page);
    assert_eq!(findings, []);
}
