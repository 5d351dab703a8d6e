//! The program as a router runs it: static, with the router's files below a folder, and a core in this process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt as _, stream};
use rhyzome_component::Clock;
use rhyzome_openwrt::agent::Agent;
use rhyzome_test_router::Router;
use rhyzome_testkit::{BOUND, TestCore, wait_for};
use rhyzome_wireguard::key::PrivateKey;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What `packaging/openwrt/build` makes.
pub fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/openwrt/rhyzome-openwrt");
    let shown = path.display();
    assert!(
        path.exists(),
        "{shown} is not there: run `packaging/openwrt/build` before"
    );
    path
}

/// A router's files. What the program says is in one more.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc/config")).unwrap();
        // A name that no DNS server has ever heard of.
        let hosts = "127.0.0.1 localhost core.rhyzome.invalid\n";
        fs::write(folder.path().join("etc/hosts"), hosts).unwrap();
        Self(folder)
    }

    fn configuration(&self) -> PathBuf {
        self.0.path().join("etc/config/rhyzome")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.0.path().join("said")).unwrap()
    }

    fn start(&self) -> Running {
        let said = File::create(self.0.path().join("said")).unwrap();
        let child = Command::new(program())
            .arg("--root")
            .arg(self.0.path())
            .stderr(said)
            .spawn()
            .unwrap();
        Running(child)
    }

    async fn wait_said(&self, what: &str) {
        wait_for(what, async || self.said().contains(what).then_some(())).await;
    }
}

/// The most that the program may have in memory, in KiB, with all that a router may have.
const MEMORY: u64 = 12 << 10;
const NETWORKS: usize = 50;
const PEERS: usize = 1000;
/// How many of them are asked for at once.
const AT_ONCE: usize = 100;

fn network(number: usize) -> serde_json::Value {
    json!({"name": format!("net{number}"), "spec": {"router": "gw"}})
}

fn peer(number: usize) -> serde_json::Value {
    let key = PrivateKey::generate(&mut rand::rng())
        .public_key()
        .to_string();
    let spec = json!({"public_key": key, "networks": [format!("net{}", number % NETWORKS)]});
    json!({"name": format!("peer{number}"), "spec": spec})
}

/// Carries connections from inside a router's namespace to a core in this one.
async fn relay(router: &Router, core: String) -> (AbortOnDropHandle<()>, u16) {
    let listener = router.inside(|| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = TcpListener::from_std(listener).unwrap();
    let running = tokio::spawn(async move {
        loop {
            let (mut inside, _) = listener.accept().await.unwrap();
            let core = core.clone();
            tokio::spawn(async move {
                let mut outside = TcpStream::connect(core).await.unwrap();
                // Either side may end as it likes.
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    (AbortOnDropHandle::new(running), port)
}

/// Installs the program on a router, configured for a core, which it reaches while what is returned lives.
pub async fn install(router: &Router, core: &TestCore, token: &str) -> AbortOnDropHandle<()> {
    let (relay, port) = relay(router, core.grpc_url().replace("https://", "")).await;
    fs::copy(program(), router.path("usr/sbin/rhyzome-openwrt")).unwrap();
    let text = format!(
        "config component 'main'\n\toption core 'https://127.0.0.1:{port}'\n\toption token '{token}'\n\
         \toption name 'gw'\n\toption tunnel_address '192.0.2.1'\n\toption public_address '192.0.2.1'\n"
    );
    fs::write(router.path("etc/config/rhyzome"), text).unwrap();
    relay
}

/// Kilobytes of a process, by the name that /proc gives them (proc_pid_status(5)).
fn kilobytes(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let words = line.unwrap().trim_start_matches(':').trim();
    words.trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_and_peers_are_made_on_a_router_by_a_program_that_stays_small() {
    let (core, _, token) = core().await;
    let router = Router::start();
    let _relay = install(&router, &core, &token).await;
    let running = router.command("/usr/sbin/rhyzome-openwrt").spawn().unwrap();
    let _running = Running(running);
    wait_connected(&core, true).await;
    let admin = core.admin();
    let begin = Instant::now();
    let make = |kind: &str, wanted: serde_json::Value| {
        let call = admin.post(&format!("/v1/projects/default/{kind}?wait=120s"));
        let call = call.json(&wanted);
        async move {
            let made = call.await.good();
            assert_eq!(made["status"]["phase"], "ready", "{made}");
        }
    };
    // How long one more takes on a router that has some is printed.
    let mut had = 0;
    for more in [0, 10, NETWORKS - 1] {
        let networks = (had..more).map(|number| make("networks", network(number)));
        stream::iter(networks)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
        let one = Instant::now();
        make("networks", network(more)).await;
        println!("one network beside {more}: {:?}", one.elapsed());
        had = more + 1;
    }
    println!("{NETWORKS} networks after {:?}", begin.elapsed());
    let begin = Instant::now();
    let mut had = 0;
    for more in [10, 100, PEERS - 1] {
        let peers = (had..more).map(|number| make("peers", peer(number)));
        stream::iter(peers)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
        let one = Instant::now();
        make("peers", peer(more)).await;
        let added = one.elapsed();
        let path = format!("/v1/projects/default/peers/peer{more}?wait=120s");
        // With what it was last.
        admin.delete(&path).await.status(200);
        println!(
            "one peer beside {more}: {added:?}, removed after {:?}",
            one.elapsed() - added
        );
        make("peers", peer(more)).await;
        had = more + 1;
    }
    println!("{PEERS} peers after {:?}", begin.elapsed());
    let pids = String::from_utf8(
        Command::new("pgrep")
            .args(["-f", "^/usr/sbin/rhyzome-openwrt"])
            .output()
            .unwrap()
            .stdout,
    );
    let pids = pids.unwrap();
    assert!(!pids.trim().is_empty(), "it has ended");
    for pid in pids.split_whitespace() {
        let pid = pid.parse().unwrap();
        let (now, most) = (kilobytes(pid, "VmRSS"), kilobytes(pid, "VmHWM"));
        println!("{pid}: {now} KiB resident, {most} at most");
        assert!(most <= MEMORY, "{most} KiB");
    }
    core.stop().await;
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn wait_connected(core: &TestCore, connected: bool) {
    let admin = core.admin();
    wait_for("the component", async || {
        // Before it has joined, there is no such component.
        let shown = admin.get("/v1/components/gw").await.json();
        (shown["connected"] == connected).then_some(())
    })
    .await;
}

/// A core, and the beginning of a configuration with a token for it.
pub async fn core() -> (TestCore, String, String) {
    let core = TestCore::start().await;
    let wanted = json!({"kind": "openwrt", "name": "gw"});
    let token = core.admin().post("/v1/component-tokens").json(&wanted);
    let token = token.await.good()["token"].as_str().unwrap().to_owned();
    let url = core.grpc_url();
    let (_, port) = url.rsplit_once(':').unwrap();
    let begin = format!(
        "# by hand\nconfig component 'main'\n\toption core 'https://core.rhyzome.invalid:{port}'\n\toption name 'gw'\n"
    );
    (core, begin, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_joins_with_the_token_in_its_configuration_spends_it_and_comes_back() {
    let (core, rest, token) = core().await;
    let root = Root::new();
    fs::write(
        root.configuration(),
        format!("{rest}\toption tokn '{token}'\n"),
    )
    .unwrap();
    let running = root.start();
    root.wait_said("line 5: option tokn of component 'main' is not known; did you mean token?")
        .await;
    assert!(!root.said().contains(&token), "a secret is in the log");
    fs::write(
        root.configuration(),
        format!("{rest}\toption token '{token}'\n"),
    )
    .unwrap();
    wait_connected(&core, true).await;
    assert_eq!(fs::read_to_string(root.configuration()).unwrap(), rest);
    drop(running);
    wait_connected(&core, false).await;
    let mut again = root.start();
    wait_connected(&core, true).await;
    let pid = nix::unistd::Pid::from_raw(again.0.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = again.0.wait().unwrap();
    assert!(ended.success(), "{ended}: {}", root.said());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_whose_clock_says_1970_keeps_its_token_and_joins_when_the_clock_is_right() {
    let (core, rest, token) = core().await;
    let root = Root::new();
    let whole = format!("{rest}\toption token '{token}'\n");
    fs::write(root.configuration(), &whole).unwrap();
    let (right, looks) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (is_right, looked) = (Arc::clone(&right), Arc::clone(&looks));
    let clock = Clock::of(move || {
        looked.fetch_add(1, Ordering::SeqCst);
        match is_right.load(Ordering::SeqCst) {
            true => SystemTime::now(),
            false => SystemTime::UNIX_EPOCH + Duration::from_secs(30),
        }
    });
    let agent = Agent::new(root.0.path()).with_clock(clock);
    let joined = tokio::spawn(async move { agent.joined().await });
    wait_for("a second try", async || {
        (looks.load(Ordering::SeqCst) > 4).then_some(())
    })
    .await;
    assert!(!joined.is_finished());
    assert_eq!(fs::read_to_string(root.configuration()).unwrap(), whole);
    right.store(true, Ordering::SeqCst);
    let (_, component) = tokio::time::timeout(BOUND, joined).await.unwrap().unwrap();
    assert!(!component.link().expired());
    assert_eq!(fs::read_to_string(root.configuration()).unwrap(), rest);
    core.stop().await;
}
