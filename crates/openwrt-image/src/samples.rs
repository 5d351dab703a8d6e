//! Images, packages and programs of our own making, for tests.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::{NamedTempFile, TempDir};

use crate::card::{Card, Role};
use rhyzome_model::segment::Segmentation;

use crate::configuration::{Settings, Uplink};
use crate::{Listen, Table, Watch};

/// Where the root is in all images here, and how large it is, in bytes.
pub(crate) const ROOT: (u64, u64) = (4 << 20, 16 << 20);
const KERNEL: &str = "6.6.110~0123456789abcdef-r1";

/// Nobody listens, and nobody has had enough.
pub(crate) fn quiet() -> Watch<'static> {
    static STOP: AtomicBool = AtomicBool::new(false);
    Watch {
        told: &Nobody,
        stop: &STOP,
    }
}

struct Nobody;

impl Listen for Nobody {
    fn step(&self, _what: &str) {}
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A static program for x86-64 that does nothing, as far as its header goes.
pub(crate) fn program() -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = 1;
    bytes
}

pub(crate) fn settings(segmentation: Segmentation) -> Settings {
    let card = |role: Role| Card::named(role, role.mac("site", "gw"));
    Settings {
        core: "https://core.example:9090".to_owned(),
        token: "rzj_secret_authority".to_owned(),
        name: "gw".to_owned(),
        segmentation,
        cards: Role::of(segmentation).iter().copied().map(card).collect(),
        uplink: Uplink::Automatic,
    }
}

/// How an image is divided: a boot partition and the root, and as official ones for UEFI a tiny one before both.
pub(crate) struct Layout(Table);

impl Layout {
    pub(crate) fn new(table: Table) -> Self {
        Self(table)
    }

    pub(crate) fn disk(&self) -> File {
        let named = NamedTempFile::new().unwrap();
        self.make(named.path());
        named.reopen().unwrap()
    }

    fn make(&self, path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(ROOT.0 + ROOT.1 + (1 << 20)).unwrap();
        let script = match self.0 {
            Table::Mbr => {
                "label: dos\nstart=2048, size=2048, type=c\nstart=8192, size=32768, type=83\n"
            }
            Table::Gpt => {
                "label: gpt\nfirst-lba: 34\nx1: start=2048, size=2048, type=U\nx2: start=8192, size=32768, type=L\n\
                 x128: start=34, size=478, type=21686148-6449-6E6F-744E-656564454649\n"
            }
        };
        let mut child = Command::new("/sbin/sfdisk")
            .args(["--quiet", "--no-reread", "--no-tell-kernel"])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(script.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }
}

/// What an image's root has: by default what an official one of 24.10 has, as far as it matters here.
pub(crate) struct Router {
    pub(crate) folder: TempDir,
}

impl Router {
    pub(crate) fn new() -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let status = format!(
            "Package: kernel\nVersion: {KERNEL}\nStatus: install user installed\nArchitecture: x86_64\n\n\
             Package: libc\nVersion: 1.2.5-r4\nStatus: install user installed\nArchitecture: x86_64\n\n"
        );
        this.with(
            "etc/openwrt_release",
            "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.4'\nDISTRIB_TARGET='x86/64'\n\
             DISTRIB_ARCH='x86_64'\n",
        )
        .with("usr/lib/opkg/status", &status)
        .with("usr/lib/opkg/info/libc.control", "Package: libc\n")
        .with("etc/config/dhcp", "config dnsmasq\n")
        .with("etc/init.d/boot", "#!/bin/sh /etc/rc.common\n")
        .with("etc/rc.d/README", "")
        .with("etc/uci-defaults/README", "")
        .with("lib/upgrade/keep.d/base-files", "/etc/hosts\n")
        .with(
            "lib/modules/6.6.110/modules.builtin",
            "kernel/net/8021q/8021q.ko\n",
        )
        .with("lib/netifd/proto/dhcp.sh", "")
        .with("usr/bin/passwd", "")
        .with("usr/sbin/dnsmasq", "")
        .with("sbin/netifd", "")
    }

    /// One with all packages in it that are needed for VLANs.
    pub(crate) fn complete() -> Self {
        Self::new()
            .with("lib/modules/6.6.110/wireguard.ko", "\x7fELF")
            .with("usr/bin/wg", "\x7fELF")
            .with("lib/netifd/proto/wireguard.sh", "#!/bin/sh\n")
    }

    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn without(self, path: &str) -> Self {
        fs::remove_file(self.folder.path().join(path)).unwrap();
        self
    }

    /// An image with it, in a folder of its own.
    pub(crate) fn image(&self, table: Table) -> Image {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openwrt.img");
        Layout::new(table).make(&path);
        let offset = format!("offset={}", ROOT.0);
        // As OpenWrt makes them: no journal, no checksums.
        let made = Command::new("/sbin/mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-O"])
            .args(["^has_journal,^metadata_csum,^64bit", "-E"])
            .args([&offset, "-d"])
            .args([self.folder.path(), &path])
            .arg(format!("{}k", ROOT.1 >> 10))
            .status();
        assert!(made.unwrap().success());
        Image { folder, path }
    }
}

/// An image's file, and room for others beside it.
pub(crate) struct Image {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

/// A package for opkg, to be made.
pub(crate) struct Ipk {
    pub(crate) control: String,
    pub(crate) scripts: Vec<(&'static str, &'static str)>,
    pub(crate) files: Vec<(&'static str, u32, &'static str)>,
}

impl Ipk {
    pub(crate) fn new(
        name: &str,
        depends: &str,
        files: &[(&'static str, u32, &'static str)],
    ) -> Self {
        Self {
            control: format!(
                "Package: {name}\nVersion: 1-r1\nDepends: {depends}\nArchitecture: x86_64\nDescription:  x\n"
            ),
            scripts: Vec::new(),
            files: files.to_vec(),
        }
    }

    /// The three that an official image lacks for WireGuard, in short.
    pub(crate) fn wireguard() -> [Self; 2] {
        let kernel = format!("kernel (={KERNEL})");
        let module = ("./lib/modules/6.6.110/wireguard.ko", 0o644, "\x7fELF");
        let tools = [
            ("./usr/bin/wg", 0o755, "\x7fELF"),
            ("./lib/netifd/proto/wireguard.sh", 0o755, "#!/bin/sh\n"),
        ];
        [
            Self::new("kmod-wireguard", &kernel, &[module]),
            Self::new("wireguard-tools", "libc, kmod-wireguard", &tools),
        ]
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let data = self.files.iter();
        let data = data.map(|(path, mode, text)| (*path, *mode, text.as_bytes().to_vec()));
        let data = archive(&data.collect::<Vec<_>>());
        let mut control = vec![("./control", 0o644, self.control.clone().into_bytes())];
        let scripts = self.scripts.iter();
        control.extend(scripts.map(|(name, text)| (*name, 0o755, text.as_bytes().to_vec())));
        archive(&[
            ("./debian-binary", 0o644, b"2.0\n".to_vec()),
            ("./data.tar.gz", 0o644, data),
            ("./control.tar.gz", 0o644, archive(&control)),
        ])
    }

    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let name = self.control.lines().next().unwrap();
        let path = folder.join(format!("{}.ipk", &name["Package: ".len()..]));
        fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// A compressed tar archive. A text behind a path that ends in `@` is a link's target, and one that ends in `/` is a
/// folder.
pub(crate) fn archive(files: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(0);
        if let Some(path) = path.strip_suffix('@') {
            header.set_entry_type(tar::EntryType::Symlink);
            let target = String::from_utf8(bytes.clone()).unwrap();
            builder.append_link(&mut header, path, target).unwrap();
            continue;
        }
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        } else {
            header.set_size(bytes.len() as u64);
        }
        // A path that leads out of it is what some tests are about, and not made otherwise.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}
