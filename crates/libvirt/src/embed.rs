//! What an embedded libvirt needs of its host and of the threads that call it before it is opened.
//!
//! **A `/dev/kvm` that guests cannot use is hidden from it.** libvirt probes QEMU with rights that its
//! guests do not have; where only root may open the device, it takes its own findings for outdated and
//! probes anew at every call, some ten seconds each. So where guests do not run on KVM, the threads that
//! call libvirt get a mount namespace of their own, in which the device is an empty file that nobody may
//! open.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::accelerator::{self, Accelerator, Evidence};
use crate::host::impassable;
use crate::settings::{Libvirt, Settings};

/// Where an embedded libvirt leaves files whatever its root is.
const RUN: &str = "/run/libvirt";
/// Notes that there was nothing of libvirt in `/run` before this component came.
const MADE_RUN: &str = "made-run-libvirt";

#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error("preparing {path} failed")]
    Folder {
        path: std::path::PathBuf,
        source: io::Error,
    },
    #[error(
        "guests run as another user, who cannot pass through {folder}: `chmod o+x {folder}`, or put the state elsewhere"
    )]
    Impassable { folder: std::path::PathBuf },
    #[error(
        "a mount namespace of its own, which hides /dev/kvm from libvirt, could not be made: root is needed"
    )]
    Hide(#[source] nix::Error),
}

/// Prepares folders, libvirt's configuration and the calling thread, which the threads that call libvirt
/// come from.
///
/// # Errors
/// Where the state directory cannot be written, guests could not reach it, or this is not root.
pub fn prepare(settings: &Settings) -> Result<(), EmbedError> {
    let folder = |path: &Path| {
        let failed = |source| EmbedError::Folder {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).map_err(failed)
    };
    folder(&settings.state)?;
    if let Some(folder) = impassable(&settings.state) {
        let folder = folder.to_owned();
        return Err(EmbedError::Impassable { folder });
    }
    if settings.libvirt != Libvirt::Embedded {
        return Ok(());
    }
    note_run(&settings.state).map_err(|source| EmbedError::Folder {
        path: settings.state.join(MADE_RUN),
        source,
    })?;
    let root = settings.embed_root();
    folder(&root)?;
    folder(&root.join("etc"))?;
    let hide = without_libvirt(settings) == Accelerator::Qemu && Path::new("/dev/kvm").exists();
    let path = root.join("etc/qemu.conf");
    configure(&path, hide).map_err(|source| EmbedError::Folder { path, source })?;
    if hide {
        hide_kvm(&settings.state.join("no-kvm"))
    } else {
        Ok(())
    }
}

fn note_run(state: &Path) -> io::Result<()> {
    if Path::new(RUN).exists() {
        return Ok(());
    }
    fs::write(state.join(MADE_RUN), "")
}

/// Removes what an embedded libvirt left in `/run`, if nothing of libvirt was there before this
/// component; folders only where they are empty, since another libvirt may have come meanwhile.
pub fn clear_run(state: &Path) {
    if fs::remove_file(state.join(MADE_RUN)).is_err() {
        return;
    }
    // Each may be missing or in use: then it stays.
    let _ = fs::remove_file(Path::new(RUN).join("common/system.token"));
    for folder in ["common", "hostdevmgr", ""] {
        let _ = fs::remove_dir(Path::new(RUN).join(folder));
    }
}

/// What will be chosen, as far as it can be known before libvirt is asked.
fn without_libvirt(settings: &Settings) -> Accelerator {
    accelerator::choose(settings.accelerator, &Evidence::of_host()).accelerator
}

/// There is no virtlogd to write logs through, and consoles are not written by QEMU but read by us.
/// Images have no owner to remember: they are open to all.
/// libvirt's own mount namespaces for guests cannot take along a file in the place of a device.
fn configure(path: &Path, hidden: bool) -> io::Result<()> {
    let mut text = String::from("# Written by rhyzome-libvirt at each start.\n");
    text.push_str("stdio_handler = \"file\"\nremember_owner = 0\n");
    if hidden {
        text.push_str("namespaces = []\n");
    }
    let new = path.with_extension("new");
    fs::File::create(&new)?.write_all(text.as_bytes())?;
    fs::rename(new, path)
}

fn hide_kvm(empty: &Path) -> Result<(), EmbedError> {
    let failed = |source| EmbedError::Folder {
        path: empty.to_owned(),
        source,
    };
    fs::File::create(empty).map_err(failed)?;
    fs::set_permissions(empty, fs::Permissions::from_mode(0o000)).map_err(failed)?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(EmbedError::Hide)?;
    let none = None::<&str>;
    // What is mounted on the host later is still seen here, and nothing from here on the host.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).map_err(EmbedError::Hide)?;
    mount(Some(empty), "/dev/kvm", none, MsFlags::MS_BIND, none).map_err(EmbedError::Hide)
}
