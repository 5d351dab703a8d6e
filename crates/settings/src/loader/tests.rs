use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::{Complaint, PathKind, Secret};

/// What is said when something is wrong.
mod messages;

/// A configuration like those of Rhyzome's programs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Example {
    http: Listen,
    grpc: Listen,
    tls: Tls,
    authorization: Authorization,
    database: Secret,
    state_dir: PathBuf,
    workers: u8,
    verbose: bool,
    pools: Vec<String>,
    ports: Vec<u16>,
    labels: BTreeMap<String, String>,
    retries: Option<u32>,
    site: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listen {
    bind: SocketAddr,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Authorization {
    mode: Mode,
    jwks: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    On,
    Off,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".parse().unwrap(),
        }
    }
}

impl Default for Example {
    fn default() -> Self {
        Self {
            http: Listen::default(),
            grpc: Listen::default(),
            tls: Tls::default(),
            authorization: Authorization::default(),
            database: Secret::default(),
            state_dir: PathBuf::from("/"),
            workers: 4,
            verbose: false,
            pools: Vec::new(),
            ports: Vec::new(),
            labels: BTreeMap::new(),
            retries: None,
            site: None,
        }
    }
}

impl Settings for Example {
    const PATHS: &'static [(&'static str, PathKind)] = &[
        ("tls.cert", PathKind::File),
        ("tls.key", PathKind::File),
        ("state_dir", PathKind::WritableFolder),
    ];
    const SECRETS: &'static [&'static str] = &["database"];
    const MEANT: &'static [(&'static str, &'static str)] = &[("pki", "tls")];

    fn check(&self) -> Vec<Complaint> {
        let open = !self.http.bind.ip().is_loopback();
        if self.authorization.mode == Mode::Off && open {
            return vec![Complaint {
                key: "http.bind",
                reason: "with authorization off, only a loopback address is listened on".into(),
            }];
        }
        Vec::new()
    }
}

fn no_env() -> [(String, String); 0] {
    []
}

struct Place(tempfile::TempDir);

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Place(folder)
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// What is wrong with a file, with this folder called DIR.
    fn errors(&self, name: &str, text: &str) -> String {
        let path = self.file(name, text);
        self.said(Loader::new("RHYZOME_API").file(path).env(no_env()))
    }

    fn errors_or_none(&self, name: &str, text: &str) -> Option<Errors> {
        let path = self.file(name, text);
        Loader::new("X").file(path).load::<Example>().err()
    }

    fn said(&self, loader: Loader) -> String {
        let errors = loader.load::<Example>().unwrap_err().to_string();
        errors.replace(&self.0.path().display().to_string(), "DIR")
    }
}

fn toml(text: &str) -> String {
    place().errors("api.toml", text)
}

fn with_env(name: &str, value: &str) -> Result<Loaded<Example>, Errors> {
    Loader::new("RHYZOME_API").env([(name, value)]).load()
}

fn with_set(argument: &str) -> Result<Loaded<Example>, Errors> {
    Loader::new("RHYZOME_API").set([argument.to_owned()]).load()
}

#[test]
fn nothing_set_is_the_default() {
    let loaded: Loaded<Example> = Loader::new("RHYZOME_API").load().unwrap();
    assert_eq!(loaded.settings.workers, 4);
    assert_eq!(loaded.settings.authorization.mode, Mode::On);
    assert_snapshot!(loaded.to_string(), @"configuration in order; no file");
}

#[test]
fn toml_and_json_say_the_same() {
    let place = place();
    let toml = "workers = 9\nports = [1, 2]\n[http]\nbind = '[::1]:80'\n[labels]\nzone = 'a'";
    let json = r#"{"workers": 9, "ports": [1, 2], "http": {"bind": "[::1]:80"},
        "labels": {"zone": "a"}}"#;
    let read = |path| {
        let loaded: Loaded<Example> = Loader::new("X").file(path).load().unwrap();
        serde_json::to_value(loaded.settings).unwrap()
    };
    let (a, b) = (place.file("a.toml", toml), place.file("a.json", json));
    let a = read(a);
    assert_eq!(a, read(b));
    assert_eq!(a["http"]["bind"], "[::1]:80");
    assert_eq!(a["labels"]["zone"], "a");
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let place = place();
    let file = place.file("api.toml", "workers = 1");
    let mut loader = Loader::new("RHYZOME_API").file(file);
    let workers = |loader: &Loader| loader.clone().load::<Example>().unwrap().settings.workers;
    assert_eq!(workers(&loader), 1);
    loader = loader.env([("RHYZOME_API_WORKERS", "2")]);
    assert_eq!(workers(&loader), 2);
    loader = loader.set(["workers=3".to_owned()]);
    assert_eq!(workers(&loader), 3);
    loader = loader.overrides([("workers".to_owned(), Value::Null)]);
    assert_eq!(workers(&loader), 3, "a flag that was not given");
    loader = loader.overrides([("workers".to_owned(), json!(4))]);
    assert_eq!(workers(&loader), 4);
}

#[test]
fn every_kind_of_key_can_be_a_variable() {
    let all = [
        ("RHYZOME_API_HTTP_BIND", "127.0.0.1:1"),
        ("RHYZOME_API_WORKERS", "7"),
        ("RHYZOME_API_VERBOSE", "true"),
        ("RHYZOME_API_POOLS", "fast, 2"),
        ("RHYZOME_API_PORTS", "[80, 443]"),
        ("RHYZOME_API_LABELS", "zone=a,rack=7"),
        ("RHYZOME_API_RETRIES", "5"),
        ("RHYZOME_API_SITE", "5"),
        ("RHYZOME_API_AUTHORIZATION_MODE", "off"),
        ("HOME", "/root"),
    ];
    let loaded: Loaded<Example> = Loader::new("RHYZOME_API").env(all).load().unwrap();
    let got = loaded.settings;
    assert_eq!(got.http.bind.port(), 1);
    assert_eq!((got.workers, got.verbose), (7, true));
    assert_eq!(got.pools, ["fast", "2"]);
    assert_eq!(got.ports, [80, 443]);
    assert_eq!(got.labels["zone"], "a");
    assert_eq!(got.labels["rack"], "7");
    assert_eq!((got.retries, got.site.as_deref()), (Some(5), Some("5")));
    assert_eq!(got.authorization.mode, Mode::Off);
    let ports = with_env("RHYZOME_API_PORTS", "1,2").unwrap().settings.ports;
    assert_eq!(ports, [1, 2]);
}

#[test]
fn set_reaches_tables_and_free_tables() {
    let bind = with_set("grpc.bind=127.0.0.1:2")
        .unwrap()
        .settings
        .grpc
        .bind;
    assert_eq!(bind.port(), 2);
    let labels = with_set("labels.zone=a").unwrap().settings.labels;
    assert_eq!(labels["zone"], "a");
}

#[test]
fn another_programs_variables_are_let_alone() {
    let loaded = Loader::new("RHYZOME")
        .env([("RHYZOME_API_X", "1"), ("RHYZOME_CONFIG", "2")])
        .ignore_env(["RHYZOME_API_*", "RHYZOME_CONFIG"])
        .load::<Example>();
    assert!(loaded.is_ok());
}

#[test]
fn a_file_that_need_not_be_there_need_not_be_there() {
    let place = place();
    let path = place.path("api.toml");
    let loader = Loader::new("X").file_if_present(&path);
    assert!(loader.load::<Example>().unwrap().file.is_none());
    assert_snapshot!(
        place.said(Loader::new("X").file(&path)),
        @"DIR/api.toml: does not exist: there is no such file"
    );
}

proptest::proptest! {
    #[test]
    fn a_text_key_takes_every_text_as_it_is(text: String) {
        let site = with_set(&format!("site={text}")).unwrap().settings.site;
        proptest::prop_assert_eq!(site, Some(text));
    }

    #[test]
    fn no_text_makes_loading_panic(text: String, argument: String) {
        for key in ["http.bind", "http", "workers", "pools", "ports", "labels", "retries"] {
            let _ = with_set(&format!("{key}={text}"));
        }
        let _ = with_set(&argument);
        let _ = place().errors_or_none("api.toml", &text);
        let _ = place().errors_or_none("api.json", &text);
    }
}
