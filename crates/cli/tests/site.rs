//! A whole site of simulated hosts, with the real programs: how it starts, what it survives, how it goes.
//!
//! The core's program has to be there: `cargo build --workspace --bins`.

#![expect(clippy::unwrap_used, reason = "what helps a test may fail it")]

#[path = "site/audit.rs"]
mod audit;
#[path = "site/images.rs"]
mod images;
#[path = "site/openwrt.rs"]
mod openwrt;
#[path = "site/people.rs"]
mod people;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How many ports the sites and cores of these tests have been given, two each.
static PORTS: AtomicU16 = AtomicU16::new(0);

/// A port that is this test's for good, also while its site is down: below those that the kernel gives to
/// whoever asks for any, apart from those where a site looks for free ones, and different in each process.
fn own_port() -> u16 {
    const FIRST: u16 = 10_000;
    const EACH: u16 = 128;
    let process = u16::try_from(std::process::id() % 160).unwrap();
    let count = PORTS.fetch_add(1, Ordering::Relaxed);
    assert!(count < EACH, "more sites than there are ports for");
    FIRST + process * EACH + count
}

/// A state folder, and `rhyzome` for the site in it. What still runs is ended when this is dropped.
struct Site {
    folder: TempDir,
    listen: [String; 2],
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = [own_port(), own_port()].map(|port| format!("127.0.0.1:{port}"));
        Self { folder, listen }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhyzome"));
        command
            .args(arguments)
            .env("RHYZOME_STATE", self.state())
            .env("RHYZOME_CONFIG", self.state().join("context.toml"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "rhyzome {}: {errors}",
            arguments.join(" ")
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is said where something is refused.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        said
    }

    #[track_caller]
    fn up(&self) {
        let [http, components] = &self.listen;
        let listen = ["--listen", http, "--listen-components", components];
        self.run(&[&["up", "--simulate", "2", "--detach"], &listen[..]].concat());
    }

    fn supervisor(&self) -> i32 {
        let text = std::fs::read(self.state().join("up.lock")).unwrap();
        let holder: Value = serde_json::from_slice(&text).unwrap();
        i32::try_from(holder["process"]["pid"].as_i64().unwrap()).unwrap()
    }

    /// The processes whose arguments name the state folder.
    fn processes(&self) -> Vec<(i32, String)> {
        let state = self.state().display().to_string();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let arguments = pids.filter_map(|pid| {
            let text = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&text).replace('\0', " ")))
        });
        arguments
            .filter(|(_, text)| text.contains(&state))
            .collect()
    }

    fn core(&self) -> i32 {
        let processes = self.processes();
        let core = processes
            .iter()
            .find(|(_, text)| text.contains("rhyzome-api"));
        core.unwrap_or_else(|| panic!("no core among {processes:?}"))
            .0
    }

    fn connected(&self) -> Vec<String> {
        let output = self.try_run(&["component", "list", "--json"]);
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let rows = list.as_array().cloned().unwrap_or_default();
        let connected = rows.iter().filter(|row| row["connected"] == true);
        connected
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.state().exists() {
            self.try_run(&["down", "--purge"]);
        }
    }
}

#[track_caller]
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < until, "{what}: not within 60 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn force(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn ended(mut child: Child) -> i32 {
    child.wait().unwrap().code().unwrap()
}

const ALL: [&str; 3] = ["simulated-1", "simulated-2", "simulated-router"];

#[test]
fn a_site_runs_once_and_is_gone_when_it_is_purged() {
    let site = Site::new();
    site.up();
    assert_eq!(site.connected(), ALL);
    let second = site.try_run(&["up", "--simulate", "2"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(4), "{said}");
    let pid = site.supervisor();
    assert!(
        said.contains(&format!("running already: process {pid}, since ")),
        "{said}"
    );
    site.run(&["network", "create", "lab"]);
    site.run(&["down", "--purge"]);
    assert_eq!(site.processes(), []);
    assert!(!site.state().exists());
    site.run(&["down", "--purge"]);
}

#[test]
fn what_was_made_is_there_again_after_down_and_up() {
    let site = Site::new();
    site.up();
    site.run(&["network", "create", "lab"]);
    site.run(&["down"]);
    assert_eq!(site.processes(), []);
    site.run(&["up", "--detach"]);
    assert_eq!(site.connected(), ALL);
    let network: Value =
        serde_json::from_str(&site.run(&["network", "show", "lab", "--json"])).unwrap();
    assert_eq!(network["status"]["phase"], "ready");
}

#[test]
fn a_core_that_is_killed_runs_again() {
    let site = Site::new();
    site.up();
    let before = site.core();
    force(before);
    wait_for("the core is another one", || {
        let processes = site.processes();
        processes
            .iter()
            .any(|(pid, text)| text.contains("rhyzome-api") && *pid != before)
    });
    wait_for("all are connected again", || site.connected() == ALL);
}

#[test]
fn nothing_is_left_alone_when_the_supervisor_is_killed() {
    let site = Site::new();
    site.up();
    force(site.supervisor());
    wait_for("its programs have ended", || site.processes().is_empty());
    site.up();
    assert_eq!(site.connected(), ALL);
    for (pid, _) in site.processes() {
        force(pid);
    }
    site.run(&["down", "--purge"]);
    assert_eq!(site.processes(), []);
}

#[test]
fn an_interrupt_stops_the_programs_and_says_what_goes_on() {
    let site = Site::new();
    let mut child = site.command(&["up", "--simulate", "1"]);
    let child = child.stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the site is up", || {
        site.connected() == ["simulated-1", "simulated-router"]
            && std::fs::read_to_string(site.state().join("up.lock"))
                .is_ok_and(|text| text.contains("\"up\""))
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("Instances, networks and tunnels go on"),
        "{said}"
    );
    assert!(said.contains("`rhyzome down` stops them"), "{said}");
    assert_eq!(site.processes(), []);
}

#[test]
fn sites_that_start_at_the_same_time_find_ports_of_their_own() {
    let sites = [(); 4].map(|()| Site::new());
    let starting = sites.each_ref().map(|site| {
        let mut command = site.command(&["up", "--simulate", "1", "--detach"]);
        command.stderr(Stdio::piped()).spawn().unwrap()
    });
    for (site, child) in sites.iter().zip(starting) {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(site.connected(), ["simulated-1", "simulated-router"]);
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_who_has_it() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new();
    let child = site
        .command(&["up", "--simulate", "1", "--listen", &address])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(ended(child), 1);
    let output = site.try_run(&["up", "--simulate", "1", "--listen", &address]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expect = format!("port {address} is taken by ");
    assert!(
        said.contains(&expect) && said.contains(&std::process::id().to_string()),
        "{said}"
    );
    assert_eq!(site.processes(), []);
}

#[test]
fn a_core_without_its_database_is_told_at_once_and_with_what_to_do() {
    let site = Site::new();
    site.up();
    site.run(&["down"]);
    let (database, copy) = (site.state().join("api"), site.folder.path().join("copy"));
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&database).unwrap().flatten() {
        let name = entry.file_name();
        if name.to_str().unwrap().starts_with("rhyzome.db") {
            std::fs::rename(entry.path(), copy.join(name)).unwrap();
        }
    }
    let began = Instant::now();
    let said = site.refused(&["up"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{said}");
    assert!(
        said.contains("the core does not know simulated-1, which has joined it before"),
        "{said}"
    );
    assert!(said.contains("Put it back from a copy"), "{said}");
    for entry in std::fs::read_dir(&copy).unwrap().flatten() {
        std::fs::rename(entry.path(), database.join(entry.file_name())).unwrap();
    }
    site.run(&["up", "--detach"]);
    assert_eq!(site.connected(), ALL);
}

#[test]
fn a_component_without_its_identity_is_told_with_what_to_do() {
    let site = Site::new();
    site.up();
    site.run(&["network", "create", "lab"]);
    site.run(&["down"]);
    let identity = site.state().join("simulated/simulated-router/identity");
    std::fs::remove_dir_all(&identity).unwrap();
    let said = site.refused(&["up"]);
    assert!(
        said.contains("the identity of simulated-router is lost"),
        "{said}"
    );
    let advice = format!("put {} back from a copy", identity.display());
    assert!(said.contains(&advice), "{said}");
    assert_eq!(site.processes(), []);
}

#[test]
fn a_site_whose_record_is_broken_is_removed_all_the_same() {
    let site = Site::new();
    site.up();
    std::fs::write(site.state().join("site.json"), "{\"http\":").unwrap();
    let said = site.refused(&["down"]);
    assert!(
        said.contains("site.json is not readable") && said.contains("`rhyzome down --purge`"),
        "{said}"
    );
    site.run(&["down", "--purge"]);
    assert_eq!(site.processes(), []);
    assert!(!site.state().exists());
}

#[test]
fn a_folder_that_programs_cannot_be_given_is_refused_before_it_is_made() {
    let site = Site::new();
    for odd in ["a b", "a,b", "a?b", "a%20b"] {
        let state = site.folder.path().join(odd);
        for detach in [&["--detach"][..], &[]] {
            let arguments = ["up", "--simulate", "1", "--state", state.to_str().unwrap()];
            let said = site.refused(&[&arguments[..], detach].concat());
            assert!(said.contains("choose a folder without spaces"), "{said}");
            assert!(!state.exists());
        }
    }
}

#[test]
fn a_doctor_looks_at_everything_and_says_it_to_programs_too() {
    let site = Site::new();
    let output = site.try_run(&["doctor", "--json"]);
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = checks.as_array().unwrap();
    for name in [
        "accelerator",
        "QEMU",
        "libvirt",
        "permissions",
        "nft",
        "clock",
        "disk",
    ] {
        let check = checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("{name} was not looked at"));
        assert!(check["found"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(check["level"] == "ok", check["advice"].is_null(), "{check}");
    }
    let failed = checks.iter().any(|check| check["level"] == "fail");
    assert_eq!(output.status.success(), !failed);
}
