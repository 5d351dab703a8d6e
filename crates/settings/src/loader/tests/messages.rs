use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;
use serde_json::json;

use super::*;

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

impl Place {
    fn said_unprivileged(&self, name: &str) -> String {
        let path = self.path(name);
        let (said, user) = unprivileged(|| self.said(Loader::new("X").file(path)));
        let owner = nix::unistd::geteuid();
        said.replace(&format!("runs as uid {user}"), "runs as uid USER")
            .replace(&format!("belongs to uid {owner}"), "belongs to uid OWNER")
    }
}

/// Defect 3.
#[test]
fn what_may_not_be_read_says_whose_it_is_and_who_asked() {
    let place = place();
    let shut = |name: &str, mode| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for folder in ["deep", "full"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    place.file("api.key", "secret");
    place.file("deep/api.cert", "x");
    let text =
        "state_dir = 'DIR/full/state'\n[tls]\nkey = 'DIR/api.key'\ncert = 'DIR/deep/api.cert'";
    let text = text.replace("DIR", &place.0.path().display().to_string());
    place.file("api.toml", &text);
    shut("api.key", 0o200);
    shut("deep", 0o200);
    shut("full", 0o555);
    assert_snapshot!(place.said_unprivileged("api.toml"), @"
    DIR/api.toml: `tls.cert`: DIR/deep/api.cert cannot be reached: DIR/deep belongs to uid OWNER with mode 0200, and this process runs as uid USER
    DIR/api.toml: `tls.key`: DIR/api.key cannot be read: it belongs to uid OWNER with mode 0200, and this process runs as uid USER
    DIR/api.toml: `state_dir`: DIR/full/state cannot be made: DIR/full belongs to uid OWNER with mode 0555, and this process runs as uid USER
    ");
    shut("api.toml", 0o200);
    assert_snapshot!(place.said_unprivileged("api.toml"), @"DIR/api.toml: cannot be read: it belongs to uid OWNER with mode 0200, and this process runs as uid USER");
    shut("deep", 0o700);
    shut("full", 0o700);
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
