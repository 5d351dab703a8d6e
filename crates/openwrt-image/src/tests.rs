//! From an image's file to a prepared one, and all that is refused.

mod cards;

use rhyzome_model::segment::Segmentation;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::samples::{Image, Ipk, Router, gzip, program, quiet, settings};

/// What is tried with an image.
struct Try<'a> {
    image: &'a Path,
    agent: PathBuf,
    packages: Vec<PathBuf>,
    segmentation: Segmentation,
    again: bool,
    root_size: Option<u64>,
}

impl<'a> Try<'a> {
    fn new(image: &'a Image) -> Self {
        let agent = image.folder.path().join("rhyzome-openwrt");
        fs::write(&agent, program()).unwrap();
        Self {
            image: &image.path,
            agent,
            packages: Vec::new(),
            segmentation: Segmentation::Vlan,
            again: false,
            root_size: None,
        }
    }

    fn packages(self, packages: &[Ipk]) -> Self {
        let folder = self.agent.parent().unwrap();
        let packages = packages
            .iter()
            .map(|package| package.write(folder))
            .collect();
        Self { packages, ..self }
    }

    fn ready(&self) -> Result<Ready, Error> {
        let draft = Draft::within(&std::env::temp_dir())?;
        let tools = Tools::find()?;
        let opened = Opened::open(self.image, draft, &tools, self.root_size, quiet())?;
        opened.ready(&Wanted {
            agent: &self.agent,
            packages: &self.packages,
            segmentation: self.segmentation,
            again: self.again,
        })
    }

    fn prepare(&self) -> Result<Done, Error> {
        self.ready()?.write(&settings(self.segmentation), quiet())
    }

    #[track_caller]
    fn refused(&self, part: &str, advice: &str) {
        let error = self.prepare().unwrap_err();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        assert!(text.contains(part), "{text}");
        let said = error.advice().unwrap_or_default();
        assert!(said.contains(advice), "{said}");
    }
}

/// What a prepared image has, by paths.
fn read(done: &Done, paths: &[&str]) -> BTreeMap<String, String> {
    let path = done.draft.path();
    let text = |inside: &str| {
        let output = std::process::Command::new("/sbin/debugfs")
            .args(["-R", &format!("cat \"{inside}\"")])
            .arg(format!(
                "/proc/{}/fd/{}?offset={}",
                std::process::id(),
                fd(&path),
                samples::ROOT.0
            ))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    paths
        .iter()
        .map(|path| ((*path).to_owned(), text(path)))
        .collect()
}

fn fd(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn an_official_image_with_its_packages_becomes_a_router() {
    for table in [Table::Mbr, Table::Gpt] {
        let image = Router::new().image(table);
        let done = Try::new(&image)
            .packages(&Ipk::wireguard())
            .prepare()
            .unwrap();
        assert_eq!((done.table, done.found.version()), (table, "24.10.4"));
        assert_eq!(done.found.kernel(), "6.6.110");
        let names: Vec<&str> = done
            .packages
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["kmod-wireguard", "wireguard-tools"]);
        let all = read(
            &done,
            &[
                "/etc/config/rhyzome",
                "/etc/config/network",
                "/usr/lib/opkg/status",
                "/usr/lib/opkg/info/wireguard-tools.list",
                "/usr/lib/opkg/info/wireguard-tools.control",
                "/lib/upgrade/keep.d/rhyzome",
                "/etc/init.d/rhyzome",
            ],
        );
        insta::allow_duplicates! {
            insta::assert_debug_snapshot!(all);
        }
        let agent = read(&done, &["/usr/sbin/rhyzome-openwrt"]);
        assert_eq!(agent["/usr/sbin/rhyzome-openwrt"].as_bytes(), program());
    }
}

#[test]
fn a_compressed_image_grows_and_gets_its_name_at_the_end() {
    let image = Router::complete().image(Table::Gpt);
    let packed = image.folder.path().join("openwrt.img.gz");
    let bytes = fs::read(&image.path).unwrap();
    fs::write(&packed, [gzip(&bytes), b"metadata FWx0".to_vec()].concat()).unwrap();
    let mut attempt = Try::new(&image);
    attempt.image = &packed;
    attempt.root_size = Some(32 << 20);
    let done = attempt.prepare().unwrap();
    let output = image.folder.path().join("gw.img");
    done.draft.finish(&output, false).unwrap();
    let grown = disk::tests::sfdisk(&fs::File::open(&output).unwrap());
    assert!(
        grown.contains(&(samples::ROOT.0 / 512, 32 << 11)),
        "{grown:?}"
    );
    // The image itself is as it was.
    assert!(fs::read(&image.path).unwrap() == bytes);

    attempt.image = &output;
    attempt.root_size = None;
    attempt.refused("prepared already", "--force");
    attempt.again = true;
    attempt.prepare().unwrap();
}

#[test]
fn what_is_missing_is_named_to_the_last_package() {
    let image = Router::new().image(Table::Mbr);
    Try::new(&image).refused(
        "it lacks packages: kmod-wireguard (for members' tunnels), wireguard-tools (for members' tunnels)",
        "releases/24.10.4",
    );
    let [module, tools] = Ipk::wireguard();
    Try::new(&image).packages(&[tools]).refused(
        "it lacks packages: kmod-wireguard (for members' tunnels)",
        "kmods",
    );
    let mut needy = Ipk::wireguard()[1].control.clone();
    needy = needy.replace("libc,", "libc, libmnl0 | libother,");
    let tools = Ipk {
        control: needy,
        ..{
            let [_, tools] = Ipk::wireguard();
            tools
        }
    };
    Try::new(&image).packages(&[module, tools]).refused(
        "it lacks packages: libmnl0 or libother (wireguard-tools needs it)",
        "",
    );
    let image = Router::complete().image(Table::Mbr);
    let mut vxlan = Try::new(&image);
    vxlan.segmentation = Segmentation::Vxlan;
    vxlan.refused(
        "it lacks packages: kmod-vxlan (for segments by VXLAN), vxlan (for segments by VXLAN)",
        "",
    );
    let image = Router::complete()
        .with("lib/modules/6.6.110/modules.builtin", "")
        .image(Table::Mbr);
    Try::new(&image).refused("it lacks packages: kmod-8021q", "");
    let mut port = Try::new(&image);
    port.segmentation = Segmentation::Port;
    port.ready().unwrap();
}

#[test]
fn a_package_for_another_system_is_refused_with_the_reason() {
    let check = |change: &dyn Fn(String) -> String, part: &str, advice: &str| {
        let image = Router::new().image(Table::Mbr);
        let [mut module, tools] = Ipk::wireguard();
        module.control = change(module.control);
        Try::new(&image)
            .packages(&[module, tools])
            .refused(part, advice);
    };
    let replace = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
    check(
        &replace("6.6.110", "6.6.119"),
        "it is for the kernel 6.6.119~0123456789abcdef-r1, and the image has 6.6.110~",
        "kmods",
    );
    check(
        &replace("x86_64", "mips_24kc"),
        "it is for mips_24kc, and the image is for x86_64",
        "very release",
    );
    check(&replace("Version: 1-r1\n", ""), "does not say Version", "");
    check(
        &replace("Package: kmod-wireguard", "Package: libc"),
        "the image has libc 1.2.5-r4 already, and this is 1-r1",
        "leave it out",
    );
    check(
        &replace("Package: kmod-wireguard", "Package: wireguard-tools"),
        "wireguard-tools is given twice",
        "",
    );
}

#[test]
fn a_package_that_is_there_is_not_installed_again() {
    let router = Router::complete();
    let status = fs::read_to_string(router.folder.path().join("usr/lib/opkg/status")).unwrap();
    let status = format!("{status}Package: kmod-wireguard\nVersion: 1-r1\n\n");
    let image = router
        .with("usr/lib/opkg/status", &status)
        .image(Table::Mbr);
    let [module, _] = Ipk::wireguard();
    let done = Try::new(&image).packages(&[module]).prepare().unwrap();
    assert_eq!(done.packages, []);
}

#[test]
fn a_package_of_another_format_and_what_is_none_is_refused() {
    let image = Router::new().image(Table::Mbr);
    let check = |bytes: &[u8], part: &str, advice: &str| {
        let path = image.folder.path().join("x.ipk");
        fs::write(&path, bytes).unwrap();
        let mut attempt = Try::new(&image);
        attempt.packages = vec![path];
        attempt.refused(part, advice);
    };
    check(b"ADBd....", "only apk itself can read", "image builder");
    check(b"ADBd....", "only apk itself can read", ".ipk files");
    let second = samples::archive(&[(".PKGINFO", 0o644, Vec::new())]);
    check(&second, "only apk itself can read", "image builder");
    check(b"!<arch>\n", "of a very old kind", "");
    check(b"<html>", "it is no package", "");
    check(
        &samples::archive(&[("./x", 0o644, Vec::new())]),
        "it has no data.tar.gz",
        "",
    );
    let whole = Ipk::wireguard()[0].bytes();
    check(
        &whole[..whole.len() / 2],
        "cut off or damaged",
        "get it again",
    );
    let odd = |path: &'static str| Ipk::new("x", "libc", &[(path, 0o644, "")]).bytes();
    check(&odd("./../etc/shadow"), "leads out of it", "");
    check(&odd("./etc/a\nb"), "has a name that cannot be put", "");
    let apk = Router::complete()
        .without("usr/lib/opkg/status")
        .with("lib/apk/db/installed", "P:kernel\n")
        .image(Table::Mbr);
    Try::new(&apk)
        .packages(&Ipk::wireguard())
        .refused("are kept by apk", "image builder");
    // What it has it may be prepared with.
    Try::new(&apk).prepare().unwrap();
}

#[test]
fn what_a_package_starts_is_started_and_its_own_script_is_spoken_of() {
    let image = Router::complete().image(Table::Mbr);
    let mut package = Ipk::new(
        "service",
        "libc",
        &[
            (
                "./etc/init.d/service",
                0o755,
                "#!/bin/sh /etc/rc.common\nSTART=50\nSTOP=10\n",
            ),
            ("./etc/config/service", 0o600, "config x\n"),
            ("./etc/service/", 0o750, ""),
            ("./etc/alias@", 0o777, "service"),
        ],
    );
    package.scripts = vec![
        ("./conffiles", "/etc/config/service\n"),
        ("./postinst-pkg", "#!/bin/sh\n"),
    ];
    let done = Try::new(&image).packages(&[package]).prepare().unwrap();
    assert_eq!(done.scripted, ["service"]);
    let all = read(
        &done,
        &[
            "/usr/lib/opkg/info/service.list",
            "/usr/lib/opkg/status",
            "/etc/rc.d/S50service",
        ],
    );
    insta::assert_debug_snapshot!(all);
}

#[test]
fn what_is_no_image_of_openwrt_with_an_ext4_root_is_refused() {
    let check = |image: &Image, part: &str, advice: &str| Try::new(image).refused(part, advice);
    let image = Router::new()
        .without("etc/openwrt_release")
        .image(Table::Mbr);
    check(&image, "it is not OpenWrt", "ext4-combined");
    let image = Router::new().image(Table::Mbr);
    let whole = fs::read(&image.path).unwrap();
    let root = usize::try_from(samples::ROOT.0).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(&image.path, changed).unwrap();
    };
    with(root, b"hsqs");
    check(&image, "its root is squashfs", "ext4-combined");
    with(root + 1024 + 56, &[0, 0]);
    check(
        &image,
        "none of its partitions has an ext4",
        "ext4-combined",
    );
    fs::write(&image.path, &whole[..whole.len() - (4 << 20)]).unwrap();
    check(&image, "it is cut off: partition 2", "sha256sums");
    fs::write(&image.path, b"<html>404</html>").unwrap();
    check(&image, "no partition table", "ext4-combined");
    let packed = gzip(&whole);
    fs::write(&image.path, &packed[..packed.len() / 2]).unwrap();
    check(&image, "is cut off or damaged", "sha256sums");
    fs::remove_file(&image.path).unwrap();
    check(&image, "cannot be read", "");
    let image = Router::complete()
        .with("etc/openwrt_release", "DISTRIB_ARCH='aarch64_generic'\n")
        .image(Table::Gpt);
    check(&image, "it is for aarch64_generic", "x86/64");
    let image = Router::complete()
        .with("etc/config/network", "config interface 'lan\n")
        .image(Table::Gpt);
    check(&image, "its /etc/config/network cannot be read", "");
}

#[test]
fn without_room_or_without_the_tools_it_says_what_to_do() {
    let image = Router::complete().image(Table::Mbr);
    let mut attempt = Try::new(&image);
    fs::write(&attempt.agent, [program(), vec![1; 15 << 20]].concat()).unwrap();
    attempt.refused("its root is full", "--root-size");
    attempt.root_size = Some(64 << 20);
    attempt.prepare().unwrap();
    attempt.root_size = Some(8 << 20);
    attempt.refused("its root is larger than 8 MiB already", "");
    let empty = image.folder.path().to_owned();
    let none = Tools::within(&[empty]).unwrap_err();
    assert_eq!(none.to_string(), "debugfs is not on this machine");
    assert!(none.advice().unwrap().contains("e2fsprogs"));
}
