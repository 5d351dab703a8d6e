//! Finding out whether a file is a program that this component can be.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rhyzome_model::Digest;
use rhyzome_model::upgrade::{HEAD, Machine, NoProgram};
use sha2::{Digest as _, Sha256};

/// How long a program may take to say what it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);
/// How much is read of what it says.
const ANSWER: u64 = 500;

/// Why a file is not a program that this component can be.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("its bytes are not those that were sent: they have the digest {0}")]
    Digest(Digest),
    #[error("{0}")]
    NoProgram(#[from] NoProgram),
    #[error("it is built for {is}, and this component runs on {wanted}")]
    Machine { is: Machine, wanted: Machine },
    #[error(
        "it cannot be run here: {0}; is the disk of the component's state mounted with noexec?"
    )]
    Forbidden(#[source] io::Error),
    #[error("it cannot be run here: {0}")]
    Run(#[source] io::Error),
    #[error("asked with --version, it did not say within {} s what it is", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("asked with --version what it is, it ended with {status}{}", said(.output))]
    Ended { status: Ended, output: String },
    #[error("it is not {wanted}: asked with --version, it said {answer:?}")]
    Other { answer: String, wanted: String },
}

/// How a process ended, in words.
#[derive(Debug)]
pub struct Ended(ExitStatus);

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "the exit status {code}"),
            (None, Some(signal)) => write!(f, "the signal {signal}"),
            (None, None) => write!(f, "{}", self.0),
        }
    }
}

fn said(output: &str) -> String {
    match output.trim() {
        "" => String::new(),
        output => format!(": {output}"),
    }
}

/// What a program's file is built for.
///
/// # Errors
/// [`Unfit::Read`], [`Unfit::NoProgram`].
pub fn machine(path: &Path) -> Result<Machine, Unfit> {
    let file = File::open(path).map_err(Unfit::Read)?;
    let size = file.metadata().map_err(Unfit::Read)?.len();
    let mut head = Vec::with_capacity(HEAD);
    let mut start = file.take(HEAD as u64);
    start.read_to_end(&mut head).map_err(Unfit::Read)?;
    Ok(Machine::of(&head, size)?)
}

/// The digest of a file's bytes.
///
/// # Errors
/// Where it cannot be read.
pub fn digest(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// Makes sure that a file is a program of this name that runs here.
///
/// # Errors
/// [`Unfit`].
pub fn check(path: &Path, wanted: Machine, name: &str) -> Result<(), Unfit> {
    let is = machine(path)?;
    if is != wanted {
        return Err(Unfit::Machine { is, wanted });
    }
    let answer = ask(path, ANSWER_WITHIN)?;
    match answer.split_whitespace().next() {
        Some(first) if first == name => Ok(()),
        _ => Err(Unfit::Other {
            answer: answer.trim().to_owned(),
            wanted: name.to_owned(),
        }),
    }
}

/// The same of a file whose digest is known.
///
/// # Errors
/// [`Unfit`].
pub fn verify(path: &Path, digest: Digest, machine: Machine, name: &str) -> Result<(), Unfit> {
    let found = self::digest(path).map_err(Unfit::Read)?;
    if found != digest {
        return Err(Unfit::Digest(found));
    }
    check(path, machine, name)
}

/// What a program answers to `--version`.
fn ask(path: &Path, within: Duration) -> Result<String, Unfit> {
    let until = Instant::now() + within;
    let mut child = run(path, until)?;
    let status = loop {
        match child.try_wait().map_err(Unfit::Run)? {
            Some(status) => break status,
            None if Instant::now() < until => thread::sleep(LOOK),
            None => {
                // It is waited for in any case.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Unfit::Silent);
            }
        }
    };
    let mut output = String::new();
    // What is no text is no answer either.
    let _unread = match status.success() {
        true => child
            .stdout
            .map(|out| out.take(ANSWER).read_to_string(&mut output)),
        false => child
            .stderr
            .map(|out| out.take(ANSWER).read_to_string(&mut output)),
    };
    match status.success() {
        true => Ok(output),
        false => Err(Unfit::Ended {
            status: Ended(status),
            output,
        }),
    }
}

fn run(path: &Path, until: Instant) -> Result<Child, Unfit> {
    loop {
        let mut command = Command::new(path);
        command.arg("--version").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.spawn() {
            // A child of somebody else that was only just forked still has the file open.
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < until =>
            {
                thread::sleep(LOOK);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Unfit::Forbidden(error));
            }
            spawned => return spawned.map_err(Unfit::Run),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("script");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn own() -> (PathBuf, Machine) {
        let own = std::env::current_exe().unwrap();
        let machine = machine(&own).unwrap();
        (own, machine)
    }

    #[test]
    fn a_program_is_asked_what_it_is_and_has_to_answer_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let soon = Duration::from_secs(5);
        let answers = script(folder.path(), "echo rhyzome-linux 1.2 $1");
        assert_eq!(
            ask(&answers, soon).unwrap(),
            "rhyzome-linux 1.2 --version\n"
        );
        let fails = script(folder.path(), "echo no such library >&2; exit 127");
        let error = ask(&fails, soon).unwrap_err();
        assert_eq!(
            error.to_string(),
            "asked with --version what it is, it ended with the exit status 127: no such library"
        );
        let hangs = script(folder.path(), "exec sleep 1000");
        let error = ask(&hangs, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Unfit::Silent), "{error}");
    }

    #[test]
    fn a_program_of_another_name_is_not_it() {
        let (own, machine) = own();
        // A test says nothing of itself with --version: it does not know the option.
        let error = check(&own, machine, "rhyzome-linux").unwrap_err();
        assert!(
            matches!(error, Unfit::Ended { .. } | Unfit::Other { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_program_for_another_machine_is_not_even_run() {
        let (own, machine) = own();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        let mut bytes = std::fs::read(own).unwrap();
        // EM_AARCH64, or where this is one, EM_X86_64.
        bytes[18] = if bytes[18] == 183 { 62 } else { 183 };
        std::fs::write(&path, &bytes).unwrap();
        let error = check(&path, machine, "rhyzome-linux").unwrap_err();
        assert!(matches!(error, Unfit::Machine { .. }), "{error}");
        assert!(error.to_string().starts_with("it is built for "), "{error}");
    }

    #[test]
    fn what_is_cut_off_or_has_other_bytes_is_refused() {
        let (own, machine) = own();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let bytes = std::fs::read(own).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = check(&path, machine, "rhyzome-linux").unwrap_err();
        assert!(
            matches!(error, Unfit::NoProgram(NoProgram::Truncated { .. })),
            "{error}"
        );
        let error = verify(&path, Digest::of(&bytes), machine, "rhyzome-linux").unwrap_err();
        assert!(matches!(error, Unfit::Digest(_)), "{error}");
    }

    #[test]
    fn what_may_not_be_run_is_told_with_what_that_may_be_due_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = script(folder.path(), "echo rhyzome-linux 1.2");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = ask(&path, Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("noexec"), "{error}");
    }
}
