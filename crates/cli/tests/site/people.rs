//! People on the command line: logging in at a real issuer, coming into projects and going.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rhyzome_testkit::Issuer;
use serde_json::Value;

use crate::images::core::{Core, Told};

/// Somebody with a home of their own.
struct Person {
    home: tempfile::TempDir,
}

impl Person {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhyzome"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Told {
        Told::of(&self.command(arguments).output().unwrap())
    }

    fn done(&self, arguments: &[&str]) -> String {
        let told = self.run(arguments);
        assert_eq!(told.code, Some(0), "{arguments:?}: {told:?}");
        told.stdout
    }

    fn whoami(&self) -> Value {
        serde_json::from_str(&self.done(&["whoami", "--json"])).unwrap()
    }

    fn secrets(&self) -> Vec<String> {
        let folder = self.home.path().join(".config/rhyzome/tokens");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.map(|file| mode(&file.path())).collect()
    }
}

/// A file's name and mode.
fn mode(path: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    format!("{} {mode:o}", path.file_name().unwrap().to_string_lossy())
}

fn done(core: &Core, arguments: &[&str]) -> String {
    let told = core.run(arguments);
    assert_eq!(told.code, Some(0), "{arguments:?}: {told:?}");
    told.stdout
}

fn with_issuer(issuer: &Issuer) -> Core {
    Core::start_with(vec![
        format!("oidc.issuer={}", issuer.url()),
        "oidc.client_id=rhyzome".to_owned(),
        // Less than a login has to have left: each command begins it anew.
        "oidc.session=5".to_owned(),
    ])
}

/// Runs a login, and does with its words what a person would.
fn log_in(mut command: Command, issuer: &Issuer, device: bool) -> Told {
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let (mut url, mut code) = (None, None);
    while url.is_none() || (device && code.is_none()) {
        let mut line = String::new();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended early");
        let found = line
            .split_whitespace()
            .find(|word| word.starts_with("http://127.0.0.1:"));
        url = url.or(found.map(str::to_owned));
        let word = line.trim();
        if word.len() == 9 && word.contains('-') {
            code = Some(word.to_owned());
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let back = runtime.block_on(issuer.browser("ada").visit(&url.unwrap(), code.as_deref()));
    if let Some(back) = back {
        let asked = Command::new("curl")
            .args(["-sf", back.as_str()])
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&asked.stdout).contains("close this page"),
            "{asked:?}"
        );
    }
    std::io::copy(&mut stderr, &mut std::io::sink()).unwrap();
    Told::of(&child.wait_with_output().unwrap())
}

#[test]
fn somebody_logs_in_comes_into_a_project_and_is_taken_out_of_it() {
    let issuer = Issuer::start();
    let core = with_issuer(&issuer);
    let ada = Person::new();
    let login = ada.command(&["login", &core.url(), "--as", "home", "--device"]);
    let told = log_in(login, &issuer, true);
    assert!(told.stdout.contains("ada is logged in"), "{told:?}");
    assert_eq!(ada.whoami()["name"], "ada");
    let mut kept = ada.secrets();
    kept.sort();
    assert_eq!(kept, ["home 600", "home.login 600"]);
    // Again, with a browser.
    let mut again = ada.command(&["login"]);
    again.env("BROWSER", "/bin/true");
    let told = log_in(again, &issuer, false);
    assert!(told.stdout.contains("ada is logged in"), "{told:?}");
    let link = done(
        &core,
        &["project", "invite", "default", "--role", "owner", "--quiet"],
    );
    assert!(
        link.starts_with(&format!("http://{}/join#rzi_", core.proxy.address)),
        "{link}"
    );
    let code = link.trim().split('#').nth(1).unwrap();
    assert_eq!(
        ada.done(&["project", "join", code]),
        "ada is in the project default\n"
    );
    let again = ada.run(&["project", "join", code]);
    assert_eq!(again.code, Some(3), "{again:?}");
    let members = done(&core, &["project", "members", "default"]);
    let words: Vec<&str> = members.split_whitespace().collect();
    assert!(
        words.join(" ").contains("ada owner invitation"),
        "{members}"
    );
    ada.done(&["project", "invite", "default", "--expires", "1h", "--quiet"]);
    let invitations = ada.done(&["project", "invitations", "default", "--quiet"]);
    ada.done(&["project", "uninvite", "default", invitations.trim()]);
    ada.done(&["token", "create", "ci", "--role", "viewer"]);
    assert_eq!(
        done(&core, &["project", "role", "default", "ada", "viewer"]),
        "ada is viewer of default\n"
    );
    let refused = ada.run(&["token", "list"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let removed = done(&core, &["project", "remove", "default", "ada"]);
    assert!(
        removed.contains("API tokens revoked: 1, logins ended: "),
        "{removed}"
    );
    // A login begins by itself again, since the issuer says so, and is nothing here.
    assert_eq!(ada.whoami()["projects"].as_array().unwrap().len(), 0);
    assert!(done(&core, &["user", "show", "ada"]).contains("left"));
    done(&core, &["user", "disable", "ada"]);
    let refused = ada.run(&["whoami"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    done(&core, &["user", "enable", "ada"]);
    assert_eq!(ada.whoami()["name"], "ada");
    ada.done(&["logout"]);
    assert!(ada.secrets().is_empty());
    let out = ada.run(&["whoami"]);
    assert_eq!(out.code, Some(4), "{out:?}");
    done(&core, &["user", "delete", "ada"]);
    assert_eq!(core.run(&["user", "show", "ada"]).code, Some(3));
}

#[test]
fn without_an_issuer_a_link_is_all_that_somebody_needs() {
    let core = Core::start();
    let ada = Person::new();
    done(&core, &["project", "create", "garden"]);
    let link = done(&core, &["project", "invite", "garden", "--quiet"]);
    let nameless = ada.run(&["project", "join", link.trim()]);
    assert_eq!(nameless.code, Some(1), "{nameless:?}");
    assert!(nameless.stderr.contains("--name"), "{nameless:?}");
    let told = ada.done(&["project", "join", link.trim(), "--name", "ada"]);
    assert_eq!(told, "ada is in the project garden\n");
    assert_eq!(
        ada.done(&["network", "list", "--json"]),
        "[]\n",
        "the project is the context's"
    );
    assert_eq!(ada.run(&["login"]).code, Some(1), "nobody to log in with");
    for wrong in ["x", "https://core.example/join", "rzi_"] {
        let refused = ada.run(&["project", "join", wrong]);
        assert_ne!(refused.code, Some(0), "{refused:?}");
    }
    let other = Person::new();
    let lost = other.run(&["project", "join", "rzi_abc"]);
    assert!(
        lost.stderr.contains("does not say where its core is"),
        "{lost:?}"
    );
}

#[test]
fn a_context_knows_its_core_by_a_fingerprint_and_refuses_another() {
    let core = Core::start_with(vec!["tls.mode=on".to_owned()]);
    let url = core.url().replace("http://", "https://");
    let authority = core.folder.path().join("core/authority.cert");
    let (ada, eve) = (Person::new(), Person::new());
    let file = authority.to_str().unwrap();
    ada.done(&["context", "add", "home", "--url", &url, "--authority", file]);
    let shown: Value = serde_json::from_str(&ada.done(&["context", "show", "--json"])).unwrap();
    let fingerprint = shown["authority_fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint.len(), 64);
    eve.done(&[
        "context",
        "add",
        "home",
        "--url",
        &url,
        "--fingerprint",
        fingerprint,
    ]);
    let same: Value = serde_json::from_str(&eve.done(&["context", "show", "--json"])).unwrap();
    assert_eq!(same["authority_fingerprint"], fingerprint);
    // It is spoken with: that nobody has said who they are is its answer.
    let answer = eve.run(&["whoami"]);
    assert_eq!(answer.code, Some(4), "{answer:?}");
    // A link leads where its maker found the core, by HTTP/2 as well, with whom to trust there.
    let admin = core.folder.path().join("core/admin.token");
    let owner = [
        "--url",
        &url,
        "--authority",
        file,
        "--token-file",
        admin.to_str().unwrap(),
    ];
    ada.done(&[&["context", "add", "owner", "--use"][..], &owner].concat());
    let link = ada.done(&["project", "invite", "default", "--quiet"]);
    assert!(link.starts_with(&format!("{url}/join#rzi_")), "{link}");
    assert!(link.trim().ends_with(&format!(".{fingerprint}")), "{link}");
    let bob = Person::new();
    bob.done(&["project", "join", link.trim(), "--name", "bob"]);
    // A token that is kept in a context is not lost to a login: it gets a context of its own.
    let refused = ada.run(&["project", "join", link.trim(), "--name", "ada"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--as NAME"), "{refused:?}");
    let link = ada.done(&["project", "invite", "default", "--quiet"]);
    ada.done(&[
        "project",
        "join",
        link.trim(),
        "--name",
        "ada",
        "--as",
        "me",
    ]);
    assert_eq!(ada.whoami()["name"], "ada");
    assert_eq!(
        ada.run(&["--context", "owner", "token", "list"]).code,
        Some(0)
    );
    assert_eq!(bob.whoami()["name"], "bob");
    let other = "0".repeat(64);
    let refused = eve.run(&[
        "context",
        "add",
        "other",
        "--url",
        &url,
        "--fingerprint",
        &other,
    ]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("another authority than it should"),
        "{refused:?}"
    );
}
