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
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;

/// Where root's site is by default.
const OF_ROOT: &str = "/var/lib/rhyzome/site";

/// The longest path of a state folder in bytes: a socket's path has 107 at most (unix(7)), and QEMU's
/// monitor is the deepest one below. Longer ones are reached through a link in here.
const LONGEST: usize = 32;
const LINKS: &str = "/run/rhyzome-sites";

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
        self.short().join("libvirt")
    }

    pub fn linux(&self) -> PathBuf {
        self.short().join("linux")
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

    /// The folder by a path that is short enough for the sockets below: its own, or a link's. It
    /// follows from the folder's path, as names of what is made on this machine follow from it.
    fn short(&self) -> PathBuf {
        if self.root.as_os_str().len() <= LONGEST {
            return self.root.clone();
        }
        let digest = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        let word: String = digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Path::new(LINKS).join(word)
    }

    /// Sees to it that [`Layout::libvirt`] and [`Layout::linux`] lead into the folder. What is in `/run`
    /// is gone after each start of the machine.
    pub fn link(&self) -> Result<(), Error> {
        let short = self.short();
        if short == self.root || fs::read_link(&short).is_ok_and(|target| target == self.root) {
            return Ok(());
        }
        self.unlink()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(LINKS)
            .and_then(|()| symlink(&self.root, &short))
            .map_err(Error::file(&short))
    }

    fn unlink(&self) -> Result<(), Error> {
        let short = self.short();
        if short == self.root {
            return Ok(());
        }
        match fs::remove_file(&short) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::file(&short)(e)),
            _ => {}
        }
        // Fails where another site has its link there.
        let _ = fs::remove_dir(LINKS);
        Ok(())
    }

    /// Removes the folder.
    pub fn remove(&self) -> Result<(), Error> {
        self.unlink()?;
        match fs::remove_dir_all(&self.root) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file(&self.root)(e)),
            _ => Ok(()),
        }
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
    fn a_long_path_is_reached_by_a_short_one() {
        let of = |path: &str| Layout::of(Some(Path::new(path))).unwrap();
        assert_eq!(of("/srv/site").libvirt(), Path::new("/srv/site/libvirt"));
        let long = format!("/{}", "x".repeat(200));
        let short = of(&long).libvirt();
        assert!(
            short.starts_with(LINKS) && short.as_os_str().len() <= LONGEST + 8,
            "{short:?}"
        );
        assert_eq!(of(&format!("{long}/")).libvirt(), short);
        assert_ne!(of(&format!("{long}y")).libvirt(), short);
        assert_eq!(of(&long).api(), Path::new(&long).join("api"));
    }
}
