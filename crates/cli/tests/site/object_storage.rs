//! A core whose images are in object storage: a real S3 server, which listens in a process of its own.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rhyzome_model::Digest;
use tempfile::TempDir;

use super::core::{Core, Told, program};
use super::fetch::World;
use super::{MIB, bytes};
use crate::{own_port, wait_for};

struct Storage {
    folder: TempDir,
    address: SocketAddr,
    server: Child,
}

impl Drop for Storage {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Storage {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], own_port()));
        let server = serve(folder.path(), address);
        Self {
            folder,
            address,
            server,
        }
    }

    fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    fn again(&mut self) {
        self.server = serve(self.folder.path(), self.address);
    }

    fn settings(&self) -> Vec<String> {
        [
            "blobs.url=s3://images/site".to_owned(),
            format!("blobs.endpoint=http://{}", self.address),
            "blobs.access_key_id=core".to_owned(),
            "blobs.secret_access_key=right".to_owned(),
        ]
        .to_vec()
    }

    /// What is kept in it, and on its way into it, without what it notes of its own.
    fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if entry.metadata().unwrap().len() > 500 {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

fn serve(folder: &Path, address: SocketAddr) -> Child {
    let child = Command::new(program("rhyzome-test-s3"))
        .arg(folder)
        .args([&address.to_string(), "core", "right"])
        .stdin(Stdio::null())
        .spawn()
        .expect("the server's program is there: cargo build --workspace --bins");
    wait_for("the S3 server listens", || {
        TcpStream::connect(address).is_ok()
    });
    child
}

#[test]
fn images_are_kept_in_object_storage_once_and_go_to_hypervisors_from_there() {
    let storage = Storage::start();
    let world = World::around(Core::start_with(storage.settings()));
    let core = &world.core;
    let bytes = bytes(20);
    fs::write(core.path("big"), &bytes).unwrap();
    core.run(&["image", "import", "big"]).good();
    assert_eq!(
        core.blobs(),
        Vec::<PathBuf>::new(),
        "nothing is in the folder"
    );
    assert_eq!(storage.objects().len(), 1);
    core.run(&["project", "create", "other"]).good();
    let told = core
        .run(&["image", "import", "big", "--project", "other"])
        .good();
    assert!(!told.stderr.contains("already"), "{told:?}");
    assert_eq!(storage.objects().len(), 1, "the same bytes are kept once");
    core.run(&["image", "verify", "big"]).good();

    // By ranges, since it is cut off.
    core.proxy.allow_down(9 * MIB);
    let mut child = core.spawn(&["image", "export", "big", "--output", "copy"]);
    wait_for("half of it", || core.proxy.is_full());
    child.kill().unwrap();
    child.wait().unwrap();
    core.proxy.cut();
    core.proxy.allow_all();
    core.run(&["image", "export", "big", "--output", "copy"])
        .good();
    assert!(fs::read(core.path("copy")).unwrap() == bytes);
    assert!(core.proxy.moved_down() < 13 * MIB);

    core.run(&["instance", "create", "one", "--image", "big", "--no-wait"])
        .good();
    world.wait_ready("one");
    let file = world.blobs().join(Digest::of(&bytes).to_string());
    assert!(fs::read(file).unwrap() == bytes);

    // Damaged in the bucket: found, and mended by an object of its own; the old one is deleted.
    let object = storage.objects().pop().unwrap();
    let mut damaged = bytes.clone();
    damaged[10_000_000] ^= 1;
    fs::write(&object, damaged).unwrap();
    core.run(&["image", "verify", "big"]).refused(1, "digest");
    core.run(&["image", "import", "big"]).good();
    core.run(&["image", "verify", "big"]).good();
    let objects = storage.objects();
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_ne!(objects[0], object);
}

#[test]
fn a_server_that_is_away_is_told_and_what_was_under_way_goes_on_when_it_is_back() {
    let mut storage = Storage::start();
    let mut core = Core::start_with(storage.settings());
    let bytes = bytes(28);
    fs::write(core.path("big"), &bytes).unwrap();
    core.proxy.allow_up(12 * MIB);
    let child = core.spawn(&["image", "import", "big"]);
    wait_for("half of it", || {
        core.proxy.is_full()
            && storage
                .objects()
                .iter()
                .any(|path| fs::metadata(path).is_ok_and(|there| there.len() >= 8 * MIB))
    });
    storage.kill();
    core.proxy.allow_all();
    wait_for("the core has noticed", || {
        let log = fs::read_to_string(core.path("core.log")).unwrap();
        log.contains("the image host's storage does not do what it should")
    });
    storage.again();
    Told::of_child(child).good();
    core.run(&["image", "verify", "big"]).good();

    storage.kill();
    let told = core
        .run(&["image", "verify", "big"])
        .refused(1, "could not be read");
    assert!(told.stderr.contains("storage does not answer"), "{told:?}");
    // The core starts without it, too, and serves what does not need it.
    core.kill();
    core.again();
    core.run(&["image", "show", "big"]).good();
    storage.again();
    core.run(&["image", "verify", "big"]).good();
    core.run(&["image", "export", "big", "--output", "copy"])
        .good();
    assert!(fs::read(core.path("copy")).unwrap() == bytes);
}

#[test]
fn a_core_does_not_start_on_a_bucket_that_it_may_not_use() {
    let storage = Storage::start();
    let folder = tempfile::tempdir().unwrap();
    let check = |setting: &str, expect: &str| {
        let state = folder.path().join("core").display().to_string();
        let mut settings = storage.settings();
        settings.extend([
            format!("state_dir={state}"),
            "http_bind=127.0.0.1:0".to_owned(),
            "grpc_bind=127.0.0.1:0".to_owned(),
            setting.to_owned(),
        ]);
        let output = Command::new(program("rhyzome-api"))
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .env_clear()
            .output()
            .unwrap();
        let told = Told::of(&output).refused(1, expect);
        assert!(told.stderr.contains("blobs.url"), "{told:?}");
        assert!(!told.stderr.contains("wrong-secret"), "{told:?}");
    };
    check(
        "blobs.secret_access_key=wrong-secret",
        "s3://images/site cannot be used: its server refuses the access key, its secret",
    );
    check(
        "blobs.access_key_id=nobody",
        "its server refuses the access key",
    );
    check(
        "blobs.url=s3://nosuch",
        "s3://nosuch cannot be used: its server has no such bucket (NoSuchBucket)",
    );
}
