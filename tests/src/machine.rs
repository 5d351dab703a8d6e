//! A machine of a test's own, as far as its programs can see: a network, a host name, and folders that
//! begin as this machine's and are changed without changing those.
//!
//! Left out on purpose: an init system. In its place stands a `systemctl` that starts what a unit's
//! `ExecStart` says.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Place, host};

/// The folders that a machine has of its own, over this one's.
const OWN: [&str; 5] = ["/etc", "/opt", "/root", "/usr", "/var"];

/// Holds the machine's namespaces until its standard input ends.
const HOLD: &str = r#"
set -e
state=$1 name=$2
hostname "$name"
mount -t tmpfs -o mode=755 tmpfs "$state"
for folder in $3; do
  at=$state/$(basename "$folder")
  mkdir -p "$at/upper" "$at/work"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=$at/upper,workdir=$at/work" "$folder"
done
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /run/systemd/system /run/lock
printf '127.0.0.1 localhost %s\n' "$name" >/etc/hosts
echo "$name" >/etc/hostname
echo ready
exec cat >/dev/null
"#;

/// What starts the programs of units where systemd would: `systemctl enable --now NAME` and its like. It
/// waits for those that say when they are ready.
const SYSTEMCTL: &str = r#"#!/bin/sh
set -eu
verb= now=no units=
for word in "$@"; do
  case $word in
    --now) now=yes ;;
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else units="$units ${word%.service}"; fi ;;
  esac
done
case $verb in
  daemon-reload | is-system-running) exit 0 ;;
  enable) [ $now = yes ] || exit 0 ;;
  start | restart | stop | disable | try-restart | is-active) ;;
  *) echo "systemctl: $verb is not known here" >&2; exit 1 ;;
esac
mkdir -p /run/units
for name in $units; do
  file=
  for folder in /etc/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
    [ -n "$file" ] || ! [ -e "$folder/$name.service" ] || file=$folder/$name.service
  done
  [ -n "$file" ] || { echo "systemctl: there is no unit $name" >&2; exit 1; }
  pid=$(cat "/run/units/$name" 2>/dev/null || true)
  if [ $verb = is-active ]; then kill -0 "$pid" 2>/dev/null || exit 3; continue; fi
  if [ $verb != start ] && [ $verb != enable ] && [ -n "$pid" ] && kill "$pid" 2>/dev/null; then
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  fi
  [ $verb != stop ] && [ $verb != disable ] || continue
  ! kill -0 "$pid" 2>/dev/null || [ $verb = restart ] || continue
  start=$(sed -n 's/^ExecStart=//p' "$file")
  if grep -q '^Type=notify' "$file"; then
    export NOTIFY_SOCKET=/run/units/$name.ready
    rm -f "$NOTIFY_SOCKET"
    timeout 60 perl -MIO::Socket::UNIX -MSocket -e '
      my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die $!;
      do { $s->recv(my $said, 4096); exit 0 if $said =~ /^READY=1/m } while 1;' "$NOTIFY_SOCKET" &
    ready=$!
    while ! [ -S "$NOTIFY_SOCKET" ]; do sleep 0.05; done
  fi
  setsid sh -c "echo \$\$ >/run/units/$name; exec $start" </dev/null >>"/var/log/$name.log" 2>&1 &
  [ -z "${ready:-}" ] || wait "$ready" || { echo "systemctl: $name did not get ready" >&2; exit 1; }
  unset NOTIFY_SOCKET ready
done
"#;

pub struct Machine {
    name: String,
    // In the order in which they go.
    holder: Child,
    place: Place,
    folder: PathBuf,
}

impl Machine {
    /// A machine of this name whose state is below `folder`, in a place.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn new(name: &str, place: Place, folder: &Path) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).expect("the folder is the test's own");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "sh", "-c", HOLD, "hold"]);
        command.arg(&folder).arg(name).arg(OWN.join(" "));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let holder = place.run(|| command.spawn());
        let mut holder = holder.expect("unshare is everywhere");
        let mut line = String::new();
        let output = holder.stdout.take().expect("it is piped");
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("it says when it is ready");
        assert_eq!(line, "ready\n", "the machine {name} could not be made");
        let machine = Self {
            name: name.to_owned(),
            holder,
            place,
            folder,
        };
        machine.write("/usr/bin/systemctl", SYSTEMCTL.as_bytes(), 0o755);
        machine
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A shell on this machine that runs a command as root, or as nobody in particular.
    pub fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("nsenter");
        shell
            .arg(format!("--target={}", self.holder.id()))
            .args(["--mount", "--uts", "--net", "--"])
            .args(["sh", "-c", command])
            .current_dir("/")
            .env_clear()
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
        shell
    }

    /// Runs a command in the home of its user; returns what it printed, errors among it.
    ///
    /// # Errors
    /// With what it printed, where it failed.
    pub fn run(&self, command: &str) -> Result<String, String> {
        let mut shell = self.shell(&format!("cd && exec 2>&1\n{command}"));
        let output = shell.stdin(Stdio::null()).output();
        let output = output.expect("nsenter is everywhere");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        Err(format!("ended with {}: {text}", output.status))
    }

    /// Writes a file.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, path: &str, bytes: &[u8], mode: u32) {
        let command = format!("rm -f '{path}'; cat >'{path}' && chmod {mode:o} '{path}'");
        let mut child = self
            .shell(&command)
            .stdin(Stdio::piped())
            .spawn()
            .expect("nsenter is everywhere");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(bytes).expect("cat reads all");
        drop(input);
        assert!(child.wait().expect("it is a child").success(), "{path}");
    }

    /// Puts a file of this machine there.
    pub fn copy(&self, from: &Path, to: &str) {
        let read = std::fs::read(from)
            .and_then(|bytes| Ok((bytes, std::fs::metadata(from)?.permissions().mode())));
        let (bytes, mode) = read.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.write(to, &bytes, mode & 0o777);
    }

    /// What the programs of its units have said, for people who look why a test failed.
    pub fn logs(&self) -> String {
        self.run("tail -n 40 /var/log/rhyzome*.log 2>/dev/null || true")
            .unwrap_or_else(|error| error)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its mounts go with the last process that is in them.
        drop(self.holder.stdin.take());
        let _ended = self.holder.wait();
        for process in self.place.processes() {
            eprintln!("{} still ran {process}", self.name);
        }
        if let Err(error) = std::fs::remove_dir(&self.folder) {
            eprintln!("{} was left behind: {error}", self.folder.display());
        }
    }
}

/// Whether this machine can have others in it.
///
/// # Panics
/// Where it cannot, with what is missing.
pub fn check() {
    host::command("unshare", &["--mount", "--uts", "true"], None);
}
