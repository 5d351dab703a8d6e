//! The program against a core that does as it is told: what is printed where, exit codes, and what is
//! left behind when something goes wrong.

#![expect(clippy::unwrap_used, reason = "what the tests share are tests, too")]

#[path = "commands/core.rs"]
mod core;
#[path = "commands/ssh.rs"]
mod ssh;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use core::Core;
use serde_json::{Value, json};

/// A user with a home and a core.
struct User {
    home: tempfile::TempDir,
    core: Core,
}

impl User {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            core: Core::start(),
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhyzome"));
        command
            .args(line.split(' '))
            .env_clear()
            .env("HOME", self.home.path());
        command
            .env("RHYZOME_URL", self.core.url())
            .env("RHYZOME_TOKEN", "rz_test");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    fn check(&self, line: &str, code: i32, stdout: &str, stderr: &str) {
        check(&self.run(line), code, stdout, stderr);
    }

    fn key(&self) -> PathBuf {
        self.home
            .path()
            .join(".local/share/rhyzome/peers/home/default/laptop.key")
    }
}

fn check(got: &Output, code: i32, stdout: &str, stderr: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let got = (got.status.code(), text(&got.stdout), text(&got.stderr));
    assert_eq!(got, (Some(code), stdout.to_owned(), stderr.to_owned()));
}

fn interrupt(child: &std::process::Child) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let bound = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < bound, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_asked_for_is_waited_for_and_told_with_its_steps() {
    let user = User::new();
    user.core.set(|state| {
        state.polls_until_ready = 4;
        state.hold = Duration::from_millis(400);
    });
    user.check(
        "network create lab",
        0,
        "network lab: 10.96.1.0/24 and fd5a::/64, ready\n",
        "network lab: asked\nnetwork lab: making the bridge on host1-linux, 50%\n",
    );
    user.check("network create lab2 --quiet", 0, "lab2\n", "");
}

#[test]
fn programs_get_json_and_nothing_else() {
    let user = User::new();
    let got = user.run("network create lab --json");
    assert_eq!(
        (got.status.code(), got.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
    let network: Value = serde_json::from_slice(&got.stdout).unwrap();
    assert_eq!(
        (&network["name"], &network["status"]["phase"]),
        (&json!("lab"), &json!("ready"))
    );
    let got = user.run("network list --json");
    let networks: Value = serde_json::from_slice(&got.stdout).unwrap();
    assert_eq!(networks.as_array().unwrap().len(), 1);
    user.check("network list --quiet", 0, "lab\n", "");
}

#[test]
fn a_quota_is_set_limit_by_limit_and_shown_with_what_is_left() {
    let user = User::new();
    user.check(
        "quota set garden --cpus 8 --memory none --images 20GiB",
        0,
        "the quota of garden: cpus 8, peers 4, images 20GiB\n",
        "",
    );
    let seen = user.core.get(|state| state.seen.clone());
    let put = "Bearer rz_test PUT /v1/projects/garden/quota";
    assert!(seen.contains(put), "{seen:?}");
    let got = user.run("quota show garden");
    let told = String::from_utf8(got.stdout).unwrap();
    let rows: Vec<Vec<&str>> = told
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    for row in [
        ["OF", "USED", "LIMIT", "LEFT"],
        ["cpus", "6", "8", "2"],
        ["memory", "1536MiB", "none", "-"],
        ["peers", "5", "4", "0"],
        ["tokens", "0", "none", "-"],
    ] {
        assert!(rows.contains(&row.to_vec()), "{row:?} in\n{told}");
    }
    // Without a name, the project that commands are about.
    let got = user.run("quota show --json");
    let quota: Value = serde_json::from_slice(&got.stdout).unwrap();
    assert_eq!(
        (&quota["project"], &quota["spec"]),
        (
            &json!("default"),
            &json!({"cpus": 8, "peers": 4, "images": "20GiB"})
        )
    );
    let got = user.run("quota set garden");
    assert_eq!(got.status.code(), Some(2), "nothing was asked for");
}

#[test]
fn a_component_shows_what_differs_from_what_is_wanted_and_why() {
    let user = User::new();
    let got = user.run("component show gw");
    let told = String::from_utf8(got.stdout).unwrap();
    let line = |words: &[&str]| {
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(told.lines().any(has), "{words:?} in\n{told}");
    };
    line(&["segmentation", "vlan, vxlan"]);
    line(&["trunk", "eth1, MTU 1500"]);
    line(&["not as wanted", "150, the first of them below"]);
    line(&[
        "network",
        "default",
        "lab",
        "there",
        "Refused: VLAN 100 of eth1 is there already as printers",
    ]);
    line(&[
        "network",
        "default",
        "old",
        "removed",
        "Refused: ubus does not answer",
    ]);

    let got = user.run("component show gw --json");
    let component: Value = serde_json::from_slice(&got.stdout).unwrap();
    assert_eq!(component["differing"]["first"][1]["name"], "old");
}

#[test]
fn a_network_shows_what_carries_it() {
    let user = User::new();
    user.run("network create lab");
    let got = user.run("network show lab");
    let told = String::from_utf8(got.stdout).unwrap();
    assert!(
        told.lines()
            .any(|line| line.contains("segment") && line.contains("VLAN 100 on eth1")),
        "{told}"
    );
}

#[test]
fn without_waiting_it_says_how_to_look() {
    let user = User::new();
    user.check(
        "network create lab --no-wait",
        0,
        "network lab: 10.96.1.0/24 and fd5a::/64, pending\n",
        "the core goes on; `rhyzome network show lab` says how far it is\n",
    );
}

#[test]
fn a_failure_is_told_with_its_reason() {
    let user = User::new();
    user.core.set(|state| state.phase_at_the_end = "failed");
    user.check(
        "network create lab",
        1,
        "",
        "error: network lab failed: there is no router with a free port\n  \
         look with `rhyzome network show lab` and `rhyzome job list`\n",
    );
}

#[test]
fn time_that_is_over_has_an_exit_code_of_its_own() {
    let user = User::new();
    user.core.set(|state| state.polls_until_ready = 1000);
    let got = user.run("network create lab --timeout 1s");
    assert_eq!(got.status.code(), Some(6));
    let told = String::from_utf8(got.stderr).unwrap();
    let expect =
        "error: network lab is still pending after 1 s: there is no router with a free port\n";
    assert!(told.contains(expect), "{told}");
}

#[test]
fn an_interruption_while_waiting_says_that_the_core_goes_on() {
    let user = User::new();
    user.core.set(|state| state.polls_until_ready = 1000);
    let child = user.command("network create lab").spawn().unwrap();
    wait_for("the program to wait", || {
        user.core.get(|state| state.polls) > 2
    });
    interrupt(&child);
    let got = child.wait_with_output().unwrap();
    assert_eq!(got.status.code(), Some(130));
    let told = String::from_utf8(got.stderr).unwrap();
    let expect = "error: interrupted; the core goes on with network lab\n  look with `rhyzome network show lab`";
    assert!(told.contains(expect), "{told}");
}

#[test]
fn what_is_followed_ends_with_an_interruption_and_without_a_word() {
    let user = User::new();
    let mut child = user.command("events --follow --quiet").spawn().unwrap();
    let mut first = [0; 10];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(&first, b"ready lab\n");
    interrupt(&child);
    check(&child.wait_with_output().unwrap(), 130, "", "");
}

#[test]
fn a_peers_private_key_is_kept_here_and_not_sent() {
    let user = User::new();
    let got = user.run("peer create laptop --network lab");
    assert_eq!(got.status.code(), Some(0), "{got:?}");
    let key = fs::read_to_string(user.key()).unwrap();
    let key: rhyzome_wireguard::key::PrivateKey = key.trim().parse().unwrap();
    let sent = user.core.get(|state| state.bodies.clone());
    assert!(
        sent.iter()
            .any(|body| body.contains(&key.public_key().to_string())),
        "{sent:?}"
    );
    assert!(
        !sent
            .iter()
            .any(|body| body.contains(key.to_base64().as_str()))
    );
    let expect = "error: the peer laptop exists already, and its private key is on this device\n  \
                  `rhyzome peer show laptop`, or `rhyzome peer update laptop --add-network NETWORK`\n";
    user.check("peer create laptop --network lab", 4, "", expect);
    assert!(user.key().exists());
}

#[test]
fn a_peer_that_is_refused_leaves_no_key() {
    let user = User::new();
    user.core.set(|state| state.refuse = true);
    user.check(
        "peer create laptop --network lab",
        4,
        "",
        "error: --network: there is no network lab\n",
    );
    assert!(!user.key().exists());
    assert_eq!(files(user.home.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_peer_whose_creation_was_interrupted_is_made_with_the_same_key_again() {
    let user = User::new();
    user.core.set(|state| state.hang = true);
    let child = user
        .command("peer create laptop --network lab")
        .spawn()
        .unwrap();
    wait_for("the request", || {
        user.core.get(|state| !state.bodies.is_empty())
    });
    interrupt(&child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let key = fs::read_to_string(user.key()).unwrap();
    user.core.set(|state| state.hang = false);
    assert_eq!(
        user.run("peer create laptop --network lab").status.code(),
        Some(0)
    );
    assert_eq!(fs::read_to_string(user.key()).unwrap(), key);
}

#[test]
fn a_peers_deletion_says_when_it_was_asked_and_applied_and_removes_the_key() {
    let user = User::new();
    assert!(
        user.run("peer create laptop --network lab")
            .status
            .success()
    );
    user.check(
        "peer delete laptop",
        0,
        "peer laptop is deleted\n  lab: asked 2026-01-01T00:00:00.000Z, applied 17 ms later\n",
        "",
    );
    assert!(!user.key().exists());
}

#[test]
fn a_configuration_is_written_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    assert!(
        user.run("peer create laptop --network lab")
            .status
            .success()
    );
    let path = user.home.path().join("lab.conf");
    let line = format!("peer config laptop --output {}", path.display());
    user.check(
        &line,
        0,
        &format!("the configuration of laptop is in {}\n", path.display()),
        "",
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let config =
        rhyzome_wireguard::config::ClientConfig::parse(&fs::read_to_string(&path).unwrap())
            .unwrap();
    assert_eq!(config.peers[0].endpoint.to_string(), "192.0.2.1:51820");
    fs::remove_file(user.key()).unwrap();
    assert_eq!(user.run("peer config laptop").status.code(), Some(3));
}

#[test]
fn what_is_not_there_and_who_does_not_answer_have_exit_codes_of_their_own() {
    let user = User::new();
    user.check("network show lab", 3, "", "error: there is no such thing\n");
    let mut command = user.command("network show lab");
    command.env_remove("RHYZOME_URL");
    check(
        &command.output().unwrap(),
        5,
        "",
        "error: no core is configured\n  `rhyzome up` starts a site on this machine; `rhyzome context \
         add NAME --url URL --token-file FILE` uses one that runs elsewhere\n",
    );
}

#[test]
fn a_context_is_added_used_and_removed_with_its_token() {
    use std::io::Write;
    let user = User::new();
    let add = format!(
        "context add home --url {} --token-stdin --project shop",
        user.core.url()
    );
    let mut child = user.command(&add).stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"rz_stdin\n")
        .unwrap();
    check(
        &child.wait_with_output().unwrap(),
        0,
        "the context home is added\n",
        "",
    );
    let by_context = |line: &str| {
        let mut command = user.command(line);
        command
            .env_remove("RHYZOME_URL")
            .env_remove("RHYZOME_TOKEN")
            .output()
            .unwrap()
    };
    assert_eq!(by_context("network create lab --quiet").stdout, b"lab\n");
    let seen = user.core.get(|state| state.seen.clone());
    assert!(
        seen.contains("Bearer rz_stdin POST /v1/projects/shop/networks"),
        "{seen:?}"
    );
    check(
        &by_context("context remove home"),
        0,
        "the context home is removed\n",
        "",
    );
    let left: Vec<PathBuf> = files(user.home.path());
    assert_eq!(left, [user.home.path().join(".config/rhyzome/config.toml")]);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
