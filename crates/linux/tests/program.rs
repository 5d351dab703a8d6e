//! `rhyzome-linux` as a process: what joining takes, what it leaves, and what it says. Makes nothing on
//! the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rhyzome_testkit::TestCore;
use serde_json::{Value, json};

/// A component that has joined, or tried to.
struct Joined {
    folder: tempfile::TempDir,
    token: String,
    /// All that it said.
    said: String,
}

impl Joined {
    /// Joins with nothing in the environment but the token, thus without a way to any other program,
    /// and with a log of everything.
    async fn to(core: &TestCore, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let token = core.admin().post("/v1/component-tokens").json(&json!({}));
        let token = text(&token.await.good()["token"]);
        let (url, state) = (core.grpc_url(), folder.path().join("state"));
        let mut program = Command::new(env!("CARGO_BIN_EXE_rhyzome-linux"));
        program.env_clear().current_dir(folder.path());
        program.envs([("RHYZOME_LOG", "trace"), ("RHYZOME_JOIN_TOKEN", &token)]);
        program.args(["join", &url, "--name", name, "--set"]);
        program.arg(format!("component.state_dir={}", state.display()));
        let output = tokio::task::spawn_blocking(move || program.output()).await;
        let output = output.expect("no panic").expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        Self {
            folder,
            token,
            said,
        }
    }

    /// The lines between the markers of all private keys that it has: one at least.
    fn private_keys(&self) -> Vec<String> {
        let contents = files(self.folder.path()).into_iter().filter_map(|path| {
            let content = fs::read_to_string(path).ok()?;
            let (_, key) = content.split_once("PRIVATE KEY-----\n")?;
            Some(key.split_once("-----END")?.0.trim().to_owned())
        });
        let keys: Vec<String> = contents.collect();
        assert!(!keys.is_empty(), "no private key in {:?}", self.folder);
        keys
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_needs_no_other_program_and_gives_each_component_an_identity_of_its_own() {
    let core = TestCore::start().await;
    let (a, b) = (
        Joined::to(&core, "host-a").await,
        Joined::to(&core, "host-b").await,
    );
    let (keys_a, keys_b) = (a.private_keys(), b.private_keys());
    assert!(
        keys_a.iter().all(|key| !keys_b.contains(key)),
        "two components share a key"
    );
    // The core knows them apart, and ends one without the other.
    let listed = core.admin().get("/v1/components").await.good();
    let listed = listed["items"].as_array().expect("components");
    let names: Vec<String> = listed.iter().map(|item| text(&item["name"])).collect();
    assert_eq!(names, ["host-a", "host-b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_said_while_joining_however_much_is_logged() {
    let core = TestCore::start().await;
    let joined = Joined::to(&core, "host-a").await;
    assert!(joined.said.contains("TRACE"), "{}", joined.said);
    let mut secrets = vec![joined.token.clone()];
    secrets.extend(joined.private_keys().iter().map(|key| {
        let line = key.lines().next();
        line.expect("a key has a line").to_owned()
    }));
    for secret in secrets {
        assert!(!joined.said.contains(&secret), "a secret was logged");
    }
}
