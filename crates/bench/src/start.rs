//! From the request for an instance until it runs, against libvirt alone: `virsh create` with the domain
//! that this instance is, in turns.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rhyzome_end_to_end::world::Kind;
use serde_json::json;

use crate::figures::{Figures, Times, rounded};
use crate::site::{self, Site};

/// What virsh says behind each of its answers.
const DONE: &str = "that-was-it";

pub async fn measure(quick: bool) -> anyhow::Result<Figures> {
    let times = if quick { 3 } else { 25 };
    site::measured(async move |site| measure_on(&site, times).await).await
}

async fn measure_on(site: &Site<'_>, times: usize) -> anyhow::Result<Figures> {
    // It keeps image and segment on the host, and is what virsh is to make.
    site.start("kept").await?;
    let mut plain = Plain::open(site)?;
    plain.create()?;
    plain.destroy()?;
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for _ in 0..times {
        let asked = Instant::now();
        site.start("measured").await?;
        ours.push(asked.elapsed());
        site.remove("measured").await?;
        theirs.push(plain.create()?);
        plain.destroy()?;
    }
    let mut figures = Figures::default();
    figures.insert("name", "start");
    let row =
        |times: &Times| json!({ "p50_ms": times.percentile(50), "p90_ms": times.percentile(90) });
    figures.insert("starts", times);
    figures.insert("rhyzome", row(&ours));
    figures.insert("virsh_create", row(&theirs));
    let (ours, theirs) = (ours.percentile(50), theirs.percentile(50));
    figures.insert("ratio", rounded(ours / theirs, 100.0));
    figures.insert("difference_ms", rounded(ours - theirs, 10.0));
    Ok(figures)
}

/// A virsh that stays, with a libvirt of its own in it as the component has, so that what is measured is
/// libvirt and not virsh's start.
struct Plain {
    virsh: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    errors: PathBuf,
    domain: PathBuf,
}

impl Plain {
    fn open(site: &Site<'_>) -> anyhow::Result<Self> {
        let folder = site.world.path("virsh");
        let root = folder.join("root");
        fs::create_dir_all(root.join("etc"))?;
        let theirs = site.world.state(Kind::Libvirt).join("libvirt");
        fs::copy(theirs.join("etc/qemu.conf"), root.join("etc/qemu.conf"))
            .context("how the component's libvirt is set up")?;
        let domain = folder.join("domain.xml");
        fs::write(&domain, rewritten(&described(&theirs)?, &folder)?)?;
        let errors = folder.join("errors");
        // No guest boots on a /dev/kvm that is not for guests: libvirt is not to see it here either.
        let empty = folder.join("no-kvm");
        fs::write(&empty, "")?;
        fs::set_permissions(&empty, fs::Permissions::from_mode(0o0))?;
        let hide = format!(
            "if grep -q 'domain type=.qemu' {} && [ -e /dev/kvm ]; then mount --bind {} /dev/kvm; fi",
            domain.display(),
            empty.display()
        );
        let uri = format!("qemu:///embed?root={}", root.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c"]);
        command.arg(format!(
            "{hide}\nexec stdbuf --output=L virsh --connect '{uri}'"
        ));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(fs::File::create(&errors)?);
        let spawned = site.world.host.run(|| command.spawn());
        let mut virsh =
            spawned.context("virsh cannot be started: scripts/install-packages --test")?;
        let input = virsh.stdin.take().context("it is piped")?;
        let output = BufReader::new(virsh.stdout.take().context("it is piped")?);
        Ok(Self {
            virsh,
            input,
            output,
            errors,
            domain,
        })
    }

    /// Has it do something; says what it said.
    fn run(&mut self, line: &str) -> anyhow::Result<String> {
        writeln!(self.input, "{line}\necho {DONE}\necho").context("virsh does not listen")?;
        self.input.flush()?;
        let mut said = String::new();
        loop {
            let before = said.len();
            if self.output.read_line(&mut said)? == 0 {
                bail!("virsh ended: {}", self.complaint());
            }
            // It repeats what it is told behind its prompt, and ends no line behind what it echoes.
            if said[before..].starts_with(DONE) {
                return Ok(said);
            }
        }
    }

    fn complaint(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    fn create(&mut self) -> anyhow::Result<std::time::Duration> {
        let line = format!("create {}", self.domain.display());
        let asked = Instant::now();
        let said = self.run(&line)?;
        let took = asked.elapsed();
        ensure!(
            said.contains("created"),
            "virsh create: {said} {}",
            self.complaint()
        );
        Ok(took)
    }

    fn destroy(&mut self) -> anyhow::Result<()> {
        let said = self.run("destroy plain")?;
        ensure!(said.contains("destroyed"), "virsh destroy: {said}");
        Ok(())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // A domain that is still there goes with it; both may be gone already.
        let _gone = self.run("destroy plain");
        let _gone = writeln!(self.input, "quit");
        let _gone = self.virsh.wait();
    }
}

/// The domain of the only instance, as libvirt has it.
fn described(root: &Path) -> anyhow::Result<String> {
    let folder = root.join("run/qemu");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "xml") {
            return fs::read_to_string(&path).with_context(|| path.display().to_string());
        }
    }
    bail!("{} has no domain", folder.display())
}

/// The same domain under another name, with nothing that the first one has for itself.
fn rewritten(status: &str, folder: &Path) -> anyhow::Result<String> {
    let begin = status.find("<domain ").context("no domain")?;
    let end = status.find("</domain>").context("half a domain")? + "</domain>".len();
    let lines = status[begin..end].lines();
    let own = |line: &str| {
        let line = line.trim_start();
        [
            "<uuid>",
            "<mac ",
            "<target dev=",
            "<seclabel",
            "<label>",
            "<imagelabel>",
            "</seclabel>",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let console = folder.join("console");
    for end in ["in", "out"] {
        let path = console.with_extension(end);
        mkfifo(&path, Mode::from_bits_truncate(0o600)).context("the console's pipes")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    }
    let lines = lines.filter(|line| !own(line)).map(|line| {
        let line = line.to_owned();
        match line.trim_start() {
            start if start.starts_with("<name>") => "<name>plain</name>".to_owned(),
            start if start.starts_with("<source path=") => {
                format!("<source path='{}'/>", console.display())
            }
            _ => line,
        }
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
