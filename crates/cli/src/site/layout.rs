//! Where everything of a site is: one folder.
//!
//! ```text
//! STATE/up.lock            held by `rhyzome up`: its pid, when it started, how far it is
//!       site.json          what was chosen: ports, kinds of hosts
//!       context.toml       the way to the core for the command line
//!       config/            a file for each program, written anew at each start
//!       log/               a file for each program
//!       api/ libvirt/ linux/ simulated/     the programs' own state
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sha2::{Digest, Sha256};

use super::Error;

/// Where root's site is by default.
const OF_ROOT: &str = "/var/lib/rhyzome/site";

/// Where other folders are reached from by a short path, which QEMU's user may pass through.
const MOUNTS: &str = "/run/rhyzome-sites";

/// The files of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The site in a folder, or the usual one.
    pub fn of(state: Option<&Path>) -> Result<Self, Error> {
        let root = match state {
            Some(path) => path.to_owned(),
            None => usual(),
        };
        let root = std::path::absolute(&root).map_err(Error::file(&root))?;
        // Without `.` and a final slash: names that follow from the path are the same each time.
        Ok(Self {
            root: root.components().collect(),
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn lock(&self) -> PathBuf {
        self.root.join("up.lock")
    }

    pub fn choices(&self) -> PathBuf {
        self.root.join("site.json")
    }

    pub fn context(&self) -> PathBuf {
        self.root.join("context.toml")
    }

    pub fn config(&self, program: &str) -> PathBuf {
        self.root.join("config").join(format!("{program}.toml"))
    }

    pub fn log(&self, program: &str) -> PathBuf {
        self.root.join("log").join(format!("{program}.log"))
    }

    pub fn api(&self) -> PathBuf {
        self.root.join("api")
    }

    pub fn libvirt(&self) -> PathBuf {
        self.bound().join("libvirt")
    }

    pub fn linux(&self) -> PathBuf {
        self.bound().join("linux")
    }

    pub fn simulated(&self) -> PathBuf {
        self.root.join("simulated")
    }

    pub fn admin_token(&self) -> PathBuf {
        self.api().join("admin.token")
    }

    pub fn authority(&self) -> PathBuf {
        self.api().join("authority.cert")
    }

    pub fn exists(&self) -> bool {
        self.root.exists()
    }

    /// Makes the folders. QEMU runs as a user of its own and has to be able to pass through the root;
    /// what is secret is in folders and files of their own, closed ones.
    pub fn prepare(&self) -> Result<(), Error> {
        self.check_ours()?;
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        builder
            .mode(0o755)
            .create(&self.root)
            .map_err(Error::file(&self.root))?;
        let open = fs::Permissions::from_mode(0o711);
        fs::set_permissions(&self.root, open).map_err(Error::file(&self.root))?;
        for closed in ["config", "log", "api"] {
            let path = self.root.join(closed);
            builder
                .mode(0o700)
                .create(&path)
                .map_err(Error::file(&path))?;
        }
        Ok(())
    }

    /// Refuses a path with a character that means something to a program of a site: spaces and commas to
    /// QEMU, `?` and `%` in the URL of the core's database.
    pub fn check_path(&self) -> Result<(), Error> {
        let odd = |c: char| c.is_control() || " ,?%".contains(c);
        match self.root.to_str() {
            Some(text) if !text.contains(odd) => Ok(()),
            _ => Err(Error::OddPath {
                path: self.root.clone(),
            }),
        }
    }

    /// Refuses a folder that holds something else.
    pub fn check_ours(&self) -> Result<(), Error> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::file(&self.root)(e)),
        };
        let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        let known = ["up.lock", "site.json", "config", "log", "api"];
        let ours = names.is_empty() || names.iter().any(|name| known.iter().any(|k| name == k));
        if ours {
            Ok(())
        } else {
            Err(Error::NotOurs {
                path: self.root.clone(),
            })
        }
    }

    /// The folder by the path that the components know it by. Theirs has to be short, as a socket's path
    /// has 107 bytes at most (unix(7)) and QEMU's monitor is deep below; and every user has to be able to
    /// pass through it, as guests run as a user of their own. The usual folder is so; any other one is
    /// bound to a path that is so. That follows from the folder's own path, as names of what is made on
    /// this machine follow from it in turn.
    fn bound(&self) -> PathBuf {
        if self.root == Path::new(OF_ROOT) {
            return self.root.clone();
        }
        let digest = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        let word: String = digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Path::new(MOUNTS).join(word)
    }

    /// A path below [`Layout::libvirt`] or [`Layout::linux`] by the folder's own name, as people know it.
    pub fn as_named(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(self.bound()) {
            Ok(rest) => self.root.join(rest),
            Err(_) => path.to_owned(),
        }
    }

    /// Sees to it that [`Layout::libvirt`] and [`Layout::linux`] lead into the folder. A mount is gone after
    /// each start of the machine.
    pub fn bind(&self) -> Result<(), Error> {
        let bound = self.bound();
        if is_same(&self.root, &bound) {
            return Ok(());
        }
        self.unbind()?;
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder.create(&bound).map_err(Error::file(&bound))?;
        let none = None::<&str>;
        mount(Some(&self.root), &bound, none, MsFlags::MS_BIND, none)
            .map_err(|errno| Error::file(&bound)(errno.into()))
    }

    /// Undoes [`Layout::bind`]; fine where it was not done.
    pub fn unbind(&self) -> Result<(), Error> {
        let bound = self.bound();
        if bound == self.root {
            return Ok(());
        }
        while umount2(&bound, MntFlags::MNT_DETACH).is_ok() {}
        match fs::remove_dir(&bound) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::file(&bound)(e)),
            _ => {}
        }
        // Fails where another site is bound there.
        let _ = fs::remove_dir(MOUNTS);
        Ok(())
    }

    /// Removes the folder; one that is a mount point is left, empty.
    pub fn remove(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.root) {
            // Something is mounted there: the folder is whoever's who mounted it.
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && is_empty(&self.root) => {}
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file(&self.root)(e));
            }
            _ => {}
        }
        if self.root == Path::new(OF_ROOT)
            && let Some(parent) = self.root.parent()
        {
            // Fails where components of another site keep their state there.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whether two paths lead to one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// root's site is the machine's; anybody else's is in their own folder.
fn usual() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from(OF_ROOT);
    }
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("rhyzome")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(Some(folder.path())).unwrap();
        layout.prepare().unwrap();
        layout.prepare().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("thesis.tex"), "precious").unwrap();
        let layout = Layout::of(Some(other.path())).unwrap();
        assert!(matches!(layout.prepare(), Err(Error::NotOurs { .. })));
        assert!(other.path().join("thesis.tex").exists());
    }

    #[test]
    fn a_path_is_the_same_however_it_is_written() {
        let plain = Layout::of(Some(Path::new("/tmp/a/site"))).unwrap();
        assert_eq!(
            Layout::of(Some(Path::new("/tmp/a/./site/"))).unwrap(),
            plain
        );
    }

    #[test]
    fn a_path_that_a_program_cannot_be_given_is_refused() {
        for odd in ["a b", "a,b", "a?b", "a%20b", "a\nb"] {
            let layout = Layout::of(Some(&Path::new("/tmp").join(odd))).unwrap();
            assert!(
                matches!(layout.check_path(), Err(Error::OddPath { .. })),
                "{odd}"
            );
        }
        let layout = Layout::of(Some(Path::new("/tmp/a-b_c.d/ü"))).unwrap();
        layout.check_path().unwrap();
    }

    #[test]
    fn components_know_a_folder_by_a_short_path() {
        let of = |path: &str| Layout::of(Some(Path::new(path))).unwrap();
        assert_eq!(of(OF_ROOT).libvirt(), Path::new(OF_ROOT).join("libvirt"));
        let long = format!("/{}", "x".repeat(200));
        let short = of(&long).libvirt();
        assert!(short.starts_with(MOUNTS), "{short:?}");
        // What the components themselves allow.
        assert!(short.as_os_str().len() <= 40, "{short:?}");
        assert_eq!(of(&format!("{long}/")).libvirt(), short);
        assert_ne!(of(&format!("{long}y")).libvirt(), short);
        let named = Path::new(&long).join("libvirt");
        assert_eq!(of(&long).as_named(&short), named);
        assert_eq!(of(&long).as_named(&named), named);
        assert_eq!(of(&long).api(), Path::new(&long).join("api"));
    }
}
