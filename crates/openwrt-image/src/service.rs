//! The component as a service of a router: its program, what starts it, its configuration, and that upgrades of OpenWrt keep
//! them. For routers that one has already, as an archive.

use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::Error;
use crate::agent;
use crate::configuration::{Settings, component};
use crate::files::{Entry, Kind};

const START: &str = include_str!("../files/rhyzome.init");
const KEPT: &str = include_str!("../files/rhyzome.keep");

/// A token is for its owner's eyes alone.
pub(crate) fn service(agent: Vec<u8>, settings: &Settings) -> Vec<Entry> {
    vec![
        Entry::file("/usr/sbin/rhyzome-openwrt", 0o755, agent),
        Entry::file("/etc/init.d/rhyzome", 0o755, START),
        Entry::link("/etc/rc.d/S95rhyzome", "../init.d/rhyzome"),
        Entry::link("/etc/rc.d/K05rhyzome", "../init.d/rhyzome"),
        Entry::file("/lib/upgrade/keep.d/rhyzome", 0o644, KEPT),
        Entry::file("/etc/config/rhyzome", 0o600, component(settings).text()),
    ]
}

/// Whether a program is one for routers.
///
/// # Errors
/// It cannot be read, or would not run there.
pub fn check_program(agent: &Path) -> Result<(), Error> {
    agent::read(agent).map(drop)
}

/// The service as a compressed tar archive, to be unpacked at `/` of a router that is there. Nothing else of the router is
/// in it: its uplink stays as it is.
///
/// # Errors
/// The program cannot be read, or would not run there.
pub fn archive(agent: &Path, settings: &Settings) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let written = service(agent::read(agent)?, settings)
        .iter()
        .try_for_each(|entry| append(&mut builder, entry))
        .and_then(|()| builder.into_inner()?.finish());
    written.map_err(Error::io("the archive"))
}

fn append(builder: &mut Builder<impl std::io::Write>, entry: &Entry) -> std::io::Result<()> {
    // All of them are root's, which is what a header says that says nothing else.
    let mut header = Header::new_gnu();
    header.set_mode(entry.inode_mode() & 0o7777);
    header.set_size(0);
    let path = entry.path.trim_start_matches('/');
    match &entry.kind {
        Kind::File { bytes, .. } => {
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())
        }
        Kind::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        Kind::Folder { .. } => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, path, std::io::empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::samples::{program, settings};
    use rhyzome_model::segment::Segmentation;

    #[test]
    fn the_archive_unpacks_to_a_service_that_starts_at_boot() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("agent"), program()).unwrap();
        let mut settings = settings(Segmentation::Vlan);
        settings.cards.remove(0);
        settings.cards[0].device = "eth1".to_owned();
        settings.cards[0].mac = None;
        let bytes = archive(&at("agent"), &settings).unwrap();
        std::fs::write(at("x.tar.gz"), bytes).unwrap();
        let output = Command::new("tar")
            .args([
                "-tzvf",
                "x.tar.gz",
                "--numeric-owner",
                "--full-time",
                "--utc",
            ])
            .current_dir(folder.path())
            .output()
            .unwrap();
        insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
        insta::assert_snapshot!(component(&settings).text());
        std::fs::write(at("agent"), "#!/bin/sh").unwrap();
        assert!(archive(&at("agent"), &settings).is_err());
    }
}
