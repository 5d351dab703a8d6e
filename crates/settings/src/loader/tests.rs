use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use insta::assert_snapshot;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::{Complaint, PathKind, Secret};

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

/// Defect 1: the document named a `.conf` file, and only `.json` was read.
#[test]
fn another_ending_is_refused_with_those_that_are_known() {
    assert_snapshot!(
        place().errors("api.conf", "{}"),
        @"DIR/api.conf: the ending .conf is not known; a configuration file ends in .toml or .json"
    );
    assert_snapshot!(
        place().errors("api", "{}"),
        @"DIR/api: it has no ending; a configuration file ends in .toml or .json"
    );
}

/// Defect 2: `pki` was ignored, and the missing `tls` was met much later.
#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    assert_snapshot!(
        toml("[pki]\ncert = 'a'"),
        @"DIR/api.toml: unknown key `pki`; did you mean `tls`?"
    );
    assert_snapshot!(
        toml("wrokers = 1\n[http]\nbnid = 1\n[tls]\nca = 'x'"),
        @"
    DIR/api.toml: unknown key `http.bnid`; did you mean `http.bind`?
    DIR/api.toml: unknown key `tls.ca`; known are `tls.cert`, `tls.key`
    DIR/api.toml: unknown key `wrokers`; did you mean `workers`?
    "
    );
    assert_snapshot!(
        toml("http_bind = ':8080'"),
        @"DIR/api.toml: unknown key `http_bind`; did you mean `http.bind`?"
    );
}

#[test]
fn where_no_key_is_near_all_are_shown() {
    assert_snapshot!(
        toml("zzzzzzzz = 1"),
        @"DIR/api.toml: unknown key `zzzzzzzz`; known are `authorization`, `authorization.jwks`, `authorization.mode`, `database`, `grpc`, `grpc.bind`, `http`, `http.bind`, `labels`, `pools`, `ports`, `retries`, `site`, `state_dir`, `tls`, `tls.cert`, `tls.key`, `verbose`, `workers`"
    );
}

#[test]
fn unknown_keys_elsewhere_are_refused_too() {
    assert_snapshot!(
        with_env("RHYZOME_API_HTTP_BNID", "x").unwrap_err(),
        @"environment RHYZOME_API_HTTP_BNID: no key goes by that name; did you mean RHYZOME_API_HTTP_BIND?"
    );
    assert_snapshot!(
        with_env("RHYZOME_API_ZEBRA", "x").unwrap_err(),
        @"environment RHYZOME_API_ZEBRA: no key goes by that name; known are RHYZOME_API_ with AUTHORIZATION_JWKS, AUTHORIZATION_MODE, DATABASE, GRPC_BIND, HTTP_BIND, LABELS, POOLS, PORTS, RETRIES, SITE, STATE_DIR, TLS_CERT, TLS_KEY, VERBOSE, WORKERS"
    );
    assert_snapshot!(
        with_set("http.port=80").unwrap_err(),
        @"--set: unknown key `http.port`; known are `http.bind`"
    );
    assert_snapshot!(
        with_set("hunter2").unwrap_err(),
        @"--set: argument 1 is not of the form key=value"
    );
    let flag = Loader::new("X").overrides([("tls.kee".to_owned(), json!("x"))]);
    assert_snapshot!(
        flag.load::<Example>().unwrap_err(),
        @"--tls-kee: unknown key `tls.kee`; did you mean `tls.key`?"
    );
}

#[test]
fn wrong_types_say_what_was_expected_and_what_was_found() {
    assert_snapshot!(
        toml(
            "workers = 'many'\nverbose = 1\npools = 'fast'\nports = [1, 'two', 70000]\nhttp = 5\n\
             [authorization]\nmode = 'maybe'\n[grpc]\nbind = 'here'\n[labels]\nzone = 1"
        ),
        @r#"
        DIR/api.toml: `authorization.mode`: expected `on` or `off`, found the text "maybe"
        DIR/api.toml: `grpc.bind`: invalid socket address syntax; found the text "here"
        DIR/api.toml: `http`: expected a table, found the number 5
        DIR/api.toml: `labels.zone`: expected a text, found the number 1
        DIR/api.toml: `pools`: expected a list, found the text "fast"
        DIR/api.toml: `ports[1]`: expected a whole number from 0 to 65535, found the text "two"
        DIR/api.toml: `verbose`: expected true or false, found the number 1
        DIR/api.toml: `workers`: expected a whole number from 0 to 255, found the text "many"
        "#
    );
    assert_snapshot!(
        with_env("RHYZOME_API_WORKERS", "300").unwrap_err(),
        @r#"environment RHYZOME_API_WORKERS: `workers`: expected a whole number from 0 to 255, found the text "300""#
    );
    assert_snapshot!(
        with_env("RHYZOME_API_RETRIES", "often").unwrap_err(),
        @r#"environment RHYZOME_API_RETRIES: `retries`: expected a whole number, 0 or more, found the text "often""#
    );
    assert_snapshot!(
        with_env("RHYZOME_API_PORTS", "80,https").unwrap_err(),
        @r#"environment RHYZOME_API_PORTS: `ports[1]`: expected a whole number from 0 to 65535, found the text "https""#
    );
    assert_snapshot!(
        with_set("labels=zone").unwrap_err(),
        @r#"--set: `labels`: expected a table, found the text "zone""#
    );
}

/// Defects 2 and 3: a missing path and an unreadable key were met at run time,
/// without the key, the file or the reason.
#[test]
fn paths_are_tried_and_named_with_key_and_reason() {
    let place = place();
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    let text = format!(
        "state_dir = '{0}/api.toml/x'\n[tls]\ncert = '{0}/none/api.cert'\nkey = '{0}/folder'",
        place.0.path().display()
    );
    assert_snapshot!(place.errors("api.toml", &text), @"
    DIR/api.toml: `tls.cert`: DIR/none/api.cert does not exist, nor does DIR/none
    DIR/api.toml: `tls.key`: DIR/folder is a folder, not a file
    DIR/api.toml: `state_dir`: DIR/api.toml/x cannot be made: DIR/api.toml is not a folder
    ");
    assert_snapshot!(toml("[tls]\ncert = ''"), @"DIR/api.toml: `tls.cert`: the path is empty");
}

/// Runs what it is given as user 65534, which may not read what is root's.
/// The raw system call changes the calling thread alone, which then ends.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: setresuid takes three numbers and touches no memory.
            let changed = unsafe { libc::syscall(libc::SYS_setresuid, -1_i64, 65534_i64, -1_i64) };
            assert_eq!(changed, 0, "these tests run as root");
            work()
        });
        thread.join().unwrap()
    })
}

/// Defect 3.
#[test]
fn what_may_not_be_read_says_whose_it_is_and_who_asked() {
    let place = place();
    let closed = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = place.file("api.key", "secret");
    closed(&key, 0o600);
    fs::create_dir(place.path("deep")).unwrap();
    let cert = place.file("deep/api.cert", "x");
    closed(&place.path("deep"), 0o700);
    let text = format!(
        "state_dir = '{0}/state'\n[tls]\nkey = '{0}/api.key'\ncert = '{1}'",
        place.0.path().display(),
        cert.display()
    );
    place.file("api.toml", &text);
    let said = as_nobody(|| place.said(Loader::new("X").file(place.path("api.toml"))));
    assert_snapshot!(said, @"
    DIR/api.toml: `tls.cert`: DIR/deep/api.cert cannot be reached: DIR/deep belongs to uid 0 with mode 0700, and this process runs as uid 65534
    DIR/api.toml: `tls.key`: DIR/api.key cannot be read: it belongs to uid 0 with mode 0600, and this process runs as uid 65534
    DIR/api.toml: `state_dir`: DIR/state cannot be made: DIR belongs to uid 0 with mode 0755, and this process runs as uid 65534
    ");
    closed(&place.path("api.toml"), 0o600);
    let said = as_nobody(|| place.said(Loader::new("X").file(place.path("api.toml"))));
    assert_snapshot!(said, @"DIR/api.toml: cannot be read: it belongs to uid 0 with mode 0600, and this process runs as uid 65534");
}

/// Defect 5: authorization was off though nobody had asked for that.
#[test]
fn authorization_is_on_and_off_only_where_that_is_allowed() {
    let loaded: Loaded<Example> = Loader::new("X").load().unwrap();
    assert_eq!(loaded.settings.authorization.mode, Mode::On);
    assert_snapshot!(
        toml("authorization.mode = 'off'\nhttp.bind = '0.0.0.0:80'"),
        @"DIR/api.toml: `http.bind`: with authorization off, only a loopback address is listened on"
    );
}

/// Defect 6: one half started without the files that the other died of.
#[test]
fn everything_wrong_is_said_at_once() {
    let place = place();
    let file = place.file(
        "api.toml",
        "wrokers = 1\nports = 'x'\n[tls]\ncert = '/nowhere/a.cert'\nkey = '/nowhere/a.key'",
    );
    let loader = Loader::new("RHYZOME_API")
        .file(file)
        .env([("RHYZOME_API_VERBOSE", "loud")])
        .set(["workers=-1".to_owned()]);
    assert_snapshot!(place.said(loader), @r#"
    DIR/api.toml: unknown key `wrokers`; did you mean `workers`?
    DIR/api.toml: `ports`: expected a list, found the text "x"
    environment RHYZOME_API_VERBOSE: `verbose`: expected true or false, found the text "loud"
    --set: `workers`: expected a whole number from 0 to 255, found the text "-1"
    DIR/api.toml: `tls.cert`: /nowhere/a.cert does not exist, nor does /nowhere
    DIR/api.toml: `tls.key`: /nowhere/a.key does not exist, nor does /nowhere
    "#);
}

#[test]
fn syntax_errors_have_a_place_and_quote_nothing() {
    assert_snapshot!(toml("workers = 1\ndatabase = \"hunter2\nx = 1"), @r#"DIR/api.toml:2:20: not valid TOML: invalid basic string, expected `"`"#);
    assert_snapshot!(place().errors("api.json", "{\"database\": \"hunter2\",}"), @"DIR/api.json:1:24: not valid JSON: trailing comma");
    assert_snapshot!(place().errors("api.json", "[]"), @"DIR/api.json: holds no JSON object");
}

/// Defect 14: the whole configuration went to the log, secrets included.
#[test]
fn no_secret_value_is_ever_shown() {
    let place = place();
    let file = place.file("api.toml", "database = 'hunter2'\nworkers = 3");
    let loader = Loader::new("RHYZOME_API").file(file);
    let loaded: Loaded<Example> = loader.env([("RHYZOME_API_SITE", "here")]).load().unwrap();
    assert_eq!(loaded.settings.database.expose(), "hunter2");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let shown = loaded.to_string();
    let shown = shown.replace(&place.0.path().display().to_string(), "DIR");
    assert_snapshot!(shown, @"
    configuration in order; file DIR/api.toml
    database: set by DIR/api.toml
    site: set by environment RHYZOME_API_SITE
    workers: set by DIR/api.toml
    ");
    for wrong in [
        "database = ['hunter2']",
        "database = { hunter2 = 1 }",
        "databse = 'hunter2'",
        "password = 'hunter2'",
        "database = 'hunter2'\nworkers = 'x'",
    ] {
        let said = toml(wrong);
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_snapshot!(toml("database = 2222"), @"DIR/api.toml: `database`: expected a text, found a number");
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
