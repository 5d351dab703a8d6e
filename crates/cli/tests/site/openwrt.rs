//! `rhyzome openwrt prepare` with a core, on an image of our own making: a table as MS-DOS had it, and one ext4 root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rhyzome_component::join::{Joining, Request, join};
use rhyzome_model::component::ComponentKind;
use serde_json::Value;

use crate::images::core::{Core, Told};
use crate::wait_for;

/// Where the root is, in bytes, and how large it is in KiB.
const ROOT: (usize, usize) = (1 << 20, 12 << 10);

const PREPARE: [&str; 7] = [
    "openwrt",
    "prepare",
    "openwrt.img",
    "--name",
    "gw",
    "--agent",
    "agent",
];

/// A core, and beside it an image with all that is needed but `lacking`, and a program.
fn core(lacking: &str) -> Core {
    let core = Core::start();
    let root = core.path("root");
    let files = [
        (
            "etc/openwrt_release",
            "DISTRIB_RELEASE='24.10.4'\nDISTRIB_ARCH='x86_64'\n",
        ),
        ("lib/modules/6.6.110/wireguard.ko", ""),
        ("lib/netifd/proto/wireguard.sh", ""),
        ("usr/bin/wg", ""),
    ];
    for (path, text) in files.iter().filter(|(path, _)| *path != lacking) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut disk = vec![0; ROOT.0 + (ROOT.1 << 10)];
    disk[..2].copy_from_slice(&[0xeb, 0xfe]);
    disk[0x1be..0x1c6].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0]);
    disk[0x1c6..0x1ca].copy_from_slice(&2048u32.to_le_bytes());
    disk[0x1ca..0x1ce].copy_from_slice(&u32::try_from(ROOT.1 * 2).unwrap().to_le_bytes());
    disk[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    fs::write(core.path("openwrt.img"), disk).unwrap();
    let made = Command::new("/sbin/mke2fs")
        .args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-O",
            "^has_journal",
            "-E",
            "offset=1048576",
            "-d",
        ])
        .args([&root, &core.path("openwrt.img")])
        .arg(format!("{}k", ROOT.1))
        .status();
    assert!(made.unwrap().success());
    // The header of a static program for x86-64, and nothing else of it.
    let mut agent = vec![0; 64];
    agent[..6].copy_from_slice(b"\x7fELF\x02\x01");
    agent[18] = 62;
    fs::write(core.path("agent"), agent).unwrap();
    core
}

/// What a file in an image says.
fn inside(image: &Path, path: &str) -> String {
    let output = Command::new("/sbin/debugfs")
        .args(["-R", &format!("cat {path}")])
        .arg(format!("{}?offset={}", image.display(), ROOT.0))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn option(text: &str, name: &str) -> String {
    let start = format!("\toption {name} '");
    let found = text.lines().find_map(|line| line.strip_prefix(&start));
    found.unwrap().trim_end_matches('\'').to_owned()
}

#[test]
fn a_prepared_image_is_imported_and_what_is_in_it_lets_a_component_join() {
    let core = core("");
    let told = core.run(&PREPARE).good();
    let expect = "image gw is a router: OpenWrt 24.10.4, networks by vlan\n  its uplink is the network card 02:";
    assert!(told.stdout.starts_with(expect), "{told:?}");
    assert!(told.stderr.contains("It joins as gw"), "{told:?}");
    core.run(&PREPARE)
        .refused(2, "there is an image gw already: --replace");
    let again = [&PREPARE[..], &["--replace"]].concat();
    core.run(&again).good();
    core.run(&["image", "export", "gw", "--output", "back.img"])
        .good();
    let text = inside(&core.path("back.img"), "/etc/config/rhyzome");
    assert_eq!(option(&text, "core"), format!("https://{}", core.grpc));
    let (token, state) = (option(&text, "token"), core.path("state"));
    let request = Request {
        core: &option(&text, "core"),
        token: &token,
        state_dir: &state,
        kind: ComponentKind::Openwrt,
        name: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let joined = runtime.block_on(join(request)).unwrap();
    assert!(matches!(joined, Joining::Joined { name, .. } if name == "gw"));
    let shown = core.run(&["component", "show", "gw", "--json"]).good();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["kind"], "openwrt");
    core.run(&again)
        .refused(4, "the component gw exists already");
    core.run(
        &[
            &PREPARE[..],
            &[
                "--segmentation",
                "vxlan",
                "--trunk-mac",
                "02:00:00:00:00:01",
            ],
        ]
        .concat(),
    )
    .refused(2, "there is no trunk with --segmentation vxlan");
}

#[test]
fn a_file_is_written_at_once_or_not_at_all_and_programs_are_told_what_is_in_it() {
    let core = core("");
    let to_file = [
        &PREPARE[..],
        &["--output", "gw.img", "--json", "--segmentation", "port"],
    ]
    .concat();
    let told = core.run(&to_file).good();
    assert_eq!(told.stderr, "");
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (
            &told["name"],
            &told["output"],
            &told["image"],
            &told["segmentation"],
            &told["kernel"]
        ),
        (
            &"gw".into(),
            &"gw.img".into(),
            &Value::Null,
            &"port".into(),
            &"6.6.110".into()
        )
    );
    assert_eq!(told["cards"].as_array().unwrap().len(), 1);
    let mac = option(&inside(&core.path("gw.img"), "/etc/config/rhyzome"), "mac");
    assert_eq!(told["cards"][0]["mac"], mac);
    assert_eq!(core.blobs().len(), 0, "nothing goes to the core");
    let mode = fs::metadata(core.path("gw.img"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "a token is in it");

    core.run(&to_file).refused(1, "gw.img is there already");
    core.run(
        &[
            &to_file[..],
            &[
                "--force",
                "--address",
                "192.0.2.7/24",
                "--gateway",
                "192.0.2.1",
            ],
        ]
        .concat(),
    )
    .good();
    let network = inside(&core.path("gw.img"), "/etc/config/network");
    assert!(
        network.contains("\tlist ipaddr '192.0.2.7/24'\n\toption gateway '192.0.2.1'\n"),
        "{network}"
    );
    core.run(
        &[
            &to_file[..],
            &[
                "--force",
                "--address",
                "192.0.2.7/24",
                "--gateway",
                "192.0.3.1",
            ],
        ]
        .concat(),
    )
    .refused(2, "--gateway: 192.0.3.1 is not in 192.0.2.0/24");
}

#[test]
fn what_is_refused_says_what_to_do_and_leaves_nothing() {
    let core = core("usr/bin/wg");
    let before = files(core.folder.path());
    let to_file = [&PREPARE[..], &["--output", "gw.img"]].concat();
    let told = core.run(&to_file).refused(
        1,
        "openwrt.img cannot be prepared: it lacks packages: wireguard-tools",
    );
    assert!(told.stderr.contains("give each with --package"), "{told:?}");
    let mut elsewhere = to_file.clone();
    elsewhere[6] = "/bin/sh";
    core.run(&elsewhere)
        .refused(1, "libraries of another system");
    elsewhere[6] = "nowhere";
    core.run(&elsewhere).refused(1, "nowhere cannot be read");
    // Beside a program that is alone there is none for routers.
    let alone = tempfile::tempdir().unwrap();
    let command = core.command(&[&to_file[..5], &["--output", "gw.img"]].concat());
    let program = alone.path().join("rhyzome");
    fs::copy(command.get_program(), &program).unwrap();
    let given = command.get_envs();
    let output = Command::new(&program)
        .args(command.get_args())
        .env_clear()
        .envs(given.filter_map(|(key, value)| Some((key, value?))))
        .current_dir(core.folder.path())
        .output();
    Told::of(&output.unwrap()).refused(2, "give the component's program for routers with --agent");
    assert_eq!(files(core.folder.path()), before);
}

#[test]
fn a_router_that_is_there_gets_the_service_and_a_token_in_one_archive() {
    let core = core("");
    let pack = ["openwrt", "pack", "--name", "gw", "--agent"];
    let output = core
        .command(&[&pack[..], &["agent", "--trunk", "eth1"]].concat())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(core.path("gw.tar.gz"), output.stdout).unwrap();
    let unpacked = Command::new("tar")
        .args(["-xzf", "gw.tar.gz", "--one-top-level=router"])
        .current_dir(core.folder.path())
        .status();
    assert!(unpacked.unwrap().success());
    let text = fs::read_to_string(core.path("router/etc/config/rhyzome")).unwrap();
    assert!(
        text.contains("config nic 'trunk'\n\toption device 'eth1'\n"),
        "{text}"
    );
    assert!(option(&text, "token").starts_with("rzj_"), "{text}");
    core.run(&[&pack[..], &["/bin/sh", "--trunk", "eth1"]].concat())
        .refused(1, "libraries of another system");
    core.run(&[&pack[..], &["agent"]].concat())
        .refused(2, "--trunk");
}

#[test]
fn a_router_is_created_only_where_its_image_and_its_hypervisor_are() {
    let core = core("");
    let create = ["openwrt", "create", "gw", "--host", "host1"];
    core.run(&create).refused(4, "gw");
    core.run(&PREPARE).good();
    core.run(&create).refused(4, "no hypervisor has joined");
}

#[test]
fn an_interruption_leaves_nothing() {
    let core = core("");
    let (tools, temporary) = (core.path("tools"), core.path("temporary"));
    fs::create_dir(&tools).unwrap();
    fs::create_dir(&temporary).unwrap();
    let before = files(core.folder.path());
    // Takes its time when it is to write, and says that it has begun.
    let script = "#!/bin/sh\n[ \"$1\" = -w ] && touch \"${0%/*}/begun\" && sleep 1\nexec /sbin/debugfs \"$@\"\n";
    fs::write(tools.join("debugfs"), script).unwrap();
    fs::set_permissions(tools.join("debugfs"), fs::Permissions::from_mode(0o755)).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut command = core.command(&[&PREPARE[..], &["--output", "gw.img"]].concat());
        let path = format!("{}:/bin:/usr/bin", tools.display());
        let child: Child = command
            .env("PATH", path)
            .env("TMPDIR", &temporary)
            .spawn()
            .unwrap();
        wait_for("it writes", || tools.join("begun").exists());
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let told = Told::of_child(child);
        assert_eq!(told.code, Some(130), "{told:?}");
        fs::remove_file(tools.join("begun")).unwrap();
    }
    fs::remove_file(tools.join("debugfs")).unwrap();
    assert_eq!(files(core.folder.path()), before);
}

/// All that is in a folder but what the core itself writes.
fn files(folder: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("core"))
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path.display().to_string()],
        })
        .collect();
    found.retain(|path| !path.ends_with("core.log"));
    found.sort();
    found
}
