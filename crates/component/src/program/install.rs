//! `join --install`: the unit, the system user, the man page and the completions that the Debian package
//! has, for a program that did not come with it.
//!
//! Where the package is there, its files are used and nothing is put beside them: a unit in
//! `/etc/systemd/system` would stand before the package's at each upgrade. What is written here ends with
//! a mark; a file without it is somebody else's and stays as it is.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The last words of each file that is written here.
const MARK: &str = "Written by `join --install`; `down --purge` removes it.";
/// Where packages put units.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("systemd does not run this machine; start `{program} run` with what does")]
    NoSystemd { program: String },
    #[error(
        "{path} is there and was not written by `join --install`: remove it first, or start it yourself"
    )]
    Taken { path: PathBuf },
    #[error(
        "the package's unit {unit} starts {packaged}, and this is {executable}: join with {packaged}, or remove \
         the package"
    )]
    OtherProgram {
        unit: PathBuf,
        packaged: String,
        executable: PathBuf,
    },
    #[error(
        "the package's unit {unit} reads {usual}: put the configuration there, and leave out --config"
    )]
    OtherConfiguration { unit: PathBuf, usual: String },
    #[error(
        "the package's unit {unit} waits for {usual}, and the identity is in {identity}: leave \
         component.state_dir as it is, or change the unit with `systemctl edit`"
    )]
    OtherState {
        unit: PathBuf,
        usual: String,
        identity: PathBuf,
    },
    #[error("{path} could not be written")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} could not be removed")]
    Remove { path: PathBuf, source: io::Error },
    #[error("{command} could not be run")]
    Run { command: String, source: io::Error },
    #[error("{command} failed: {output}")]
    Failed { command: String, output: String },
}

/// What a program's package brings.
#[derive(Clone, Debug)]
pub struct Package {
    /// As in `rhyzome-linux`.
    pub program: &'static str,
    /// The unit, which starts `/usr/bin/PROGRAM run` once the usual identity is there.
    pub unit: &'static str,
    /// The system users that are needed, as sysusers.d(5) has them.
    pub sysusers: Option<&'static str>,
    /// The man page, of section 8.
    pub page: String,
    /// Completions for bash, zsh and fish.
    pub completions: [String; 3],
}

/// What the unit starts, with what.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    pub executable: &'a Path,
    pub config: Option<&'a Path>,
    /// The identity that it needs.
    pub identity: &'a Path,
}

/// Puts in place what is missing, and starts the program now and at each boot.
///
/// # Errors
/// [`InstallError`]; before anything is done where there is no systemd, or something else is in the way.
pub fn install(package: &Package, started: Started<'_>) -> Result<(), InstallError> {
    // sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(InstallError::NoSystemd {
            program: package.program.to_owned(),
        });
    }
    let name = package.program;
    let root = Path::new("/");
    match packaged(root, name) {
        Some(unit) => {
            fits(package, started, unit)?;
            // From before the package came.
            remove_files(package, root)?;
        }
        None => {
            write(package, started, root)?;
            if package.sysusers.is_some() {
                run("systemd-sysusers", &[&format!("{name}.conf")])?;
            }
        }
    }
    run("systemctl", &["daemon-reload"])?;
    run("systemctl", &["enable", "--now", name])
}

/// Removes what was put in place for the component with this identity.
///
/// # Errors
/// Where a file cannot be removed.
pub fn remove(package: &Package, identity: &Path) -> Result<(), InstallError> {
    let root = Path::new("/");
    let unit = std::fs::read_to_string(root.join(unit_path(package.program))).unwrap_or_default();
    // Another component's, of another state folder.
    if !unit.lines().any(|line| line == condition(identity)) {
        return Ok(());
    }
    if remove_files(package, root)? && Path::new("/run/systemd/system").is_dir() {
        run("systemctl", &["daemon-reload"])?;
    }
    Ok(())
}

/// The unit that the package brought.
fn packaged(root: &Path, program: &str) -> Option<PathBuf> {
    let units = PACKAGED.map(|folder| {
        let folder = root.join(folder.trim_start_matches('/'));
        folder.join(format!("{program}.service"))
    });
    units.into_iter().find(|unit| unit.exists())
}

/// Whether the package's unit starts what is asked for.
fn fits(package: &Package, started: Started<'_>, unit: PathBuf) -> Result<(), InstallError> {
    let Started {
        executable,
        config,
        identity,
    } = started;
    let packaged = format!("/usr/bin/{}", package.program);
    let same = |one: &Path, other: &str| {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        real(one) == real(Path::new(other))
    };
    if !same(executable, &packaged) {
        return Err(InstallError::OtherProgram {
            unit,
            packaged,
            executable: executable.to_owned(),
        });
    }
    let short = package.program.trim_start_matches("rhyzome-");
    let usual = format!("/etc/rhyzome/{short}.toml");
    if config.is_some_and(|config| !same(config, &usual)) {
        return Err(InstallError::OtherConfiguration { unit, usual });
    }
    let usual = package.unit.lines();
    let mut usual = usual.filter_map(|line| line.strip_prefix("ConditionPathExists="));
    match usual.next_back() {
        Some(usual) if !same(identity, usual) => Err(InstallError::OtherState {
            unit,
            usual: usual.to_owned(),
            identity: identity.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The files, with their texts.
fn files(package: &Package, unit: String) -> Vec<(String, String)> {
    let Package {
        program,
        sysusers,
        page,
        completions: [bash, zsh, fish],
        ..
    } = package;
    let marked = |text: &str, comment: &str| format!("{}\n{comment} {MARK}\n", text.trim_end());
    let mut files = vec![
        (unit_path(program), marked(&unit, "#")),
        (
            format!("usr/local/share/man/man8/{program}.8"),
            marked(page, ".\\\""),
        ),
        (
            format!("usr/local/share/bash-completion/completions/{program}"),
            marked(bash, "#"),
        ),
        (
            format!("usr/local/share/zsh/site-functions/_{program}"),
            marked(zsh, "#"),
        ),
        (
            format!("usr/local/share/fish/vendor_completions.d/{program}.fish"),
            marked(fish, "#"),
        ),
    ];
    if let Some(sysusers) = sysusers {
        let path = format!("etc/sysusers.d/{program}.conf");
        files.push((path, marked(sysusers, "#")));
    }
    files
}

fn unit_path(program: &str) -> String {
    format!("etc/systemd/system/{program}.service")
}

fn is_ours(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.trim_end().ends_with(MARK))
}

fn write(package: &Package, started: Started<'_>, root: &Path) -> Result<(), InstallError> {
    let files = files(package, adapted(package, started));
    for (path, _) in &files {
        let path = root.join(path);
        if path.exists() && !is_ours(&path) {
            return Err(InstallError::Taken { path });
        }
    }
    for (path, text) in files {
        let path = root.join(path);
        put(&path, &text).map_err(|source| InstallError::Write { path, source })?;
    }
    Ok(())
}

/// A file is there whole or not at all: half of one has no mark, and would be somebody else's.
fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

/// Whether there were any.
fn remove_files(package: &Package, root: &Path) -> Result<bool, InstallError> {
    let mut any = false;
    for (path, _) in files(package, String::new()) {
        let path = root.join(path);
        if is_ours(&path) {
            std::fs::remove_file(&path).map_err(|source| InstallError::Remove { path, source })?;
            any = true;
        }
    }
    Ok(any)
}

/// The package's unit, for this executable, configuration and identity.
fn adapted(package: &Package, started: Started<'_>) -> String {
    let config = started.config;
    let config = config.map(|path| format!(" --config {}", quoted(path)));
    let lines = package.unit.lines().map(|line| {
        if line.starts_with("ExecStart=") {
            let config = config.as_deref().unwrap_or_default();
            format!("ExecStart={}{config} run", quoted(started.executable))
        } else if line.starts_with("ConditionPathExists=") {
            condition(started.identity)
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// As systemd.unit(5) wants a path there, with `%` escaped.
fn condition(identity: &Path) -> String {
    let identity = identity.to_string_lossy().replace('%', "%%");
    format!("ConditionPathExists={identity}")
}

fn run(program: &str, args: &[&str]) -> Result<(), InstallError> {
    let command = format!("{program} {}", args.join(" "));
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(InstallError::Failed {
            command,
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(source) => Err(InstallError::Run { command, source }),
    }
}

/// As systemd.service(5) wants arguments: in quotes, with `\`, `"`, `%` and `$` escaped.
fn quoted(path: &Path) -> String {
    let mut text = String::from("\"");
    for character in path.to_string_lossy().chars() {
        match character {
            '\\' | '"' => text.extend(['\\', character]),
            '%' | '$' => text.extend([character, character]),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        Package {
            program: "rhyzome-linux",
            unit: "[Unit]\nConditionPathExists=/var/lib/rhyzome/linux/identity\n\n[Service]\n\
                   ExecStart=/usr/bin/rhyzome-linux run\nKillMode=process\n",
            sysusers: Some("u rhyzome-x\n"),
            page: ".TH x\n".to_owned(),
            completions: ["bash", "#compdef x\nzsh", "fish"].map(str::to_owned),
        }
    }

    fn started() -> Started<'static> {
        Started {
            executable: Path::new("/opt/my \"100%\" tools/rhyzome-linux"),
            config: Some(Path::new("/etc/rhyzome/linux.toml")),
            identity: Path::new("/srv/100%/identity"),
        }
    }

    fn text_of(path: PathBuf) -> String {
        std::fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn the_packages_unit_starts_this_program_with_its_configuration_and_identity() {
        let unit = adapted(&package(), started());
        assert_eq!(
            unit,
            "[Unit]\nConditionPathExists=/srv/100%%/identity\n\n[Service]\n\
             ExecStart=\"/opt/my \\\"100%%\\\" tools/rhyzome-linux\" --config \
             \"/etc/rhyzome/linux.toml\" run\nKillMode=process"
        );
    }

    #[test]
    fn all_is_written_again_and_removed_and_nothing_of_others_is_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for _ in 0..2 {
            write(&package(), started(), root).expect("it is written");
        }
        let unit = root.join("etc/systemd/system/rhyzome-linux.service");
        assert!(is_ours(&unit));
        let zsh = root.join("usr/local/share/zsh/site-functions/_rhyzome-linux");
        assert!(text_of(zsh).starts_with("#compdef x\n"));
        let users = root.join("etc/sysusers.d/rhyzome-linux.conf");
        assert!(text_of(users.clone()).starts_with("u rhyzome-x\n"));
        std::fs::write(&users, "u somebody\n").expect("the operator's");
        let refused = write(&package(), started(), root);
        assert!(
            matches!(&refused, Err(InstallError::Taken { path }) if *path == users),
            "{refused:?}"
        );
        assert!(remove_files(&package(), root).expect("it is removed"));
        assert!(!unit.exists() && users.exists());
        assert!(!remove_files(&package(), root).expect("again"));
    }

    #[test]
    fn the_packages_unit_is_used_where_it_fits_and_otherwise_it_is_said_what_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        assert_eq!(packaged(root, "rhyzome-linux"), None);
        let units = root.join("usr/lib/systemd/system");
        std::fs::create_dir_all(&units).expect("a folder");
        std::fs::write(units.join("rhyzome-linux.service"), "").expect("a unit");
        let unit = packaged(root, "rhyzome-linux").expect("it is there");
        let usual = Started {
            executable: Path::new("/usr/bin/rhyzome-linux"),
            config: None,
            identity: Path::new("/var/lib/rhyzome/linux/identity"),
        };
        let fits = |started| fits(&package(), started, unit.clone());
        fits(usual).expect("as the package has it");
        let config = Some(Path::new("/etc/rhyzome/linux.toml"));
        fits(Started { config, ..usual }).expect("the usual one");
        let executable = Path::new("/opt/rhyzome-linux");
        let refused = fits(Started {
            executable,
            ..usual
        });
        assert!(matches!(refused, Err(InstallError::OtherProgram { .. })));
        let config = Some(Path::new("/srv/linux.toml"));
        let refused = fits(Started { config, ..usual });
        assert!(matches!(
            refused,
            Err(InstallError::OtherConfiguration { .. })
        ));
        let identity = Path::new("/srv/identity");
        let refused = fits(Started { identity, ..usual });
        assert!(matches!(refused, Err(InstallError::OtherState { .. })));
    }
}
