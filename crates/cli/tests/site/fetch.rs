//! A hypervisor's component fetches images from the core, each a process of its own, over real gRPC and
//! mutual TLS, while each of them and what is between them gives way.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rhyzome_component::join;
use rhyzome_model::Digest;
use rhyzome_model::component::ComponentKind;
use rhyzome_testkit::Proxy;
use serde_json::{Value, json};

use super::core::Core;
use super::{MIB, bytes};
use crate::wait_for;

pub struct World {
    pub core: Core,
    /// Between the component and the core.
    way: Proxy,
    component: Child,
}

/// A fetch that has come half-way.
struct Fetch {
    name: &'static str,
    digest: Digest,
    bytes: Vec<u8>,
    partial: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.component.kill();
        let _ = self.component.wait();
    }
}

impl World {
    fn start() -> Self {
        Self::around(Core::start())
    }

    pub fn around(core: Core) -> Self {
        let way = Proxy::to(core.grpc);
        join(&core, &way);
        let component = simulate(&core);
        Self {
            core,
            way,
            component,
        }
    }

    pub fn blobs(&self) -> PathBuf {
        self.core.path("simulated/host/host/blobs")
    }

    fn kill_component(&mut self) {
        self.component.kill().unwrap();
        self.component.wait().unwrap();
    }

    fn run_component(&mut self) {
        self.component = simulate(&self.core);
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let told = self.core.run(&[arguments, &["--json"]].concat()).good();
        serde_json::from_str(&told.stdout).unwrap()
    }

    /// Asks for an instance of new bytes, and waits until some of them are on the host.
    fn half(&self, name: &'static str) -> Fetch {
        let mut bytes = bytes(8);
        bytes.extend(name.as_bytes());
        fs::write(self.core.path(name), &bytes).unwrap();
        self.core.run(&["image", "import", name]).good();
        wait_for("the component is connected", || {
            self.json(&["component", "show", "host"])["connected"] == true
        });
        self.way.allow_down(3 * MIB);
        self.core
            .run(&["instance", "create", name, "--image", name, "--no-wait"])
            .good();
        let digest = Digest::of(&bytes);
        let partial = self.blobs().join(format!("{digest}.partial"));
        wait_for("half of it", || {
            let there = fs::metadata(&partial).is_ok_and(|there| there.len() > 2 * MIB);
            self.way.is_full() && there
        });
        Fetch {
            name,
            digest,
            bytes,
            partial,
        }
    }

    pub fn wait_ready(&self, name: &str) {
        wait_for("the instance is ready", || {
            self.json(&["instance", "show", name])["status"]["phase"] == "ready"
        });
    }

    /// Waits until an instance is ready, and looks at what was fetched and how much of it came again.
    #[track_caller]
    fn check(&self, fetch: &Fetch) {
        self.wait_ready(fetch.name);
        let file = self.blobs().join(fetch.digest.to_string());
        assert!(fs::read(file).unwrap() == fetch.bytes);
        assert!(!fetch.partial.exists());
        let moved = self.way.moved_down();
        assert!(moved < 7 * MIB, "{moved} bytes came again");
    }

    /// What the component says of a job that failed.
    fn failure(&self, part: &str) -> String {
        let log = self.core.path("component.log");
        let said = || {
            let log = fs::read_to_string(&log).unwrap();
            let mut lines = log.lines();
            lines.find(|line| line.contains(part)).map(str::to_owned)
        };
        wait_for(part, || said().is_some());
        said().unwrap()
    }
}

/// Lets a hypervisor join, by way of the proxy.
fn join(core: &Core, way: &Proxy) {
    let told = core.run(&["component", "token", "--kind", "libvirt", "--json"]);
    let token: Value = serde_json::from_str(&told.good().stdout).unwrap();
    let folder = core.path("simulated");
    fs::create_dir_all(folder.join("host/host/blobs")).unwrap();
    let hosts = json!({"hosts": [{
        "name": "host", "kind": "libvirt", "cpus": 8, "memory": "8GiB", "public_address": null,
    }]});
    fs::write(folder.join("hosts.json"), hosts.to_string()).unwrap();
    let url = format!("https://{}", way.address);
    let name = "host".parse().unwrap();
    let request = join::Request {
        core: &url,
        token: token["token"].as_str().unwrap(),
        state_dir: &folder.join("host"),
        kind: ComponentKind::Libvirt,
        name: Some(&name),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(join::join(request)).unwrap();
}

fn simulate(core: &Core) -> Child {
    let mut options = fs::File::options();
    let options = options.create(true).append(true);
    let log = options.open(core.path("component.log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_rhyzome"))
        .arg("simulate")
        .arg(core.path("simulated"))
        .env_clear()
        .env("HOME", core.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

#[test]
fn a_fetch_goes_on_when_its_component_its_core_or_their_connection_is_gone() {
    let mut world = World::start();
    let fetch = world.half("component");
    world.kill_component();
    world.way.cut();
    world.way.allow_all();
    world.run_component();
    world.check(&fetch);

    let fetch = world.half("connection");
    world.way.cut();
    world.way.allow_all();
    world.check(&fetch);

    let fetch = world.half("server");
    world.core.kill();
    world.way.cut();
    world.core.again();
    world.way.allow_all();
    world.check(&fetch);
}

#[test]
fn what_comes_damaged_is_told_and_thrown_away() {
    let mut world = World::start();
    // Altered on the host, between two tries.
    let fetch = world.half("host");
    world.kill_component();
    world.way.cut();
    let mut there = fs::read(&fetch.partial).unwrap();
    there[5000] ^= 1;
    fs::write(&fetch.partial, there).unwrap();
    world.way.allow_all();
    world.run_component();
    let said = world.failure("came from the core as");
    let expected = format!("the image sha256:{} (8388612 bytes)", fetch.digest);
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("with the digest sha256:"), "{said}");
    world.wait_ready("host");
    let file = world.blobs().join(fetch.digest.to_string());
    assert!(fs::read(file).unwrap() == fetch.bytes);

    // Altered where the core keeps it: found out on the way, and mended by another import.
    let fetch = world.half("kept");
    world.kill_component();
    world.way.cut();
    fs::remove_file(&fetch.partial).unwrap();
    let digest = fetch.digest.to_string();
    let mut files = world.core.blobs().into_iter();
    let file = files
        .find(|path| path.to_string_lossy().contains(&digest))
        .unwrap();
    let mut damaged = fetch.bytes.clone();
    damaged[8_000_000] ^= 1;
    // In its place: who was sending it may not have noticed yet that nobody is there.
    let altered = fs::File::options().write(true).open(file).unwrap();
    altered
        .write_all_at(&damaged[8_000_000..=8_000_000], 8_000_000)
        .unwrap();
    world.way.allow_all();
    world.run_component();
    let said = world.failure("the image host cannot give");
    let found = Digest::of(&damaged).to_string();
    assert!(
        said.contains(&found) && said.contains("import the image again"),
        "{said}"
    );
    world
        .core
        .run(&["image", "verify", "kept"])
        .refused(1, &found);
    world.core.run(&["image", "import", "kept"]).good();
    world.wait_ready("kept");
}
