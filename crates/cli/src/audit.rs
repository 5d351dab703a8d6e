//! `rhyzome audit …`

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use rhyzome_client::Audit;
use rhyzome_model::audit::{AuditEntry, AuditResult, FileVerifier, MAX_LINE, Mark, Verification};

use crate::failure::Failure;
use crate::output::table::{Tone, printable};
use crate::output::{Cell, Mode};
use crate::session::Cx;

/// How often it is looked for more. What is done is sealed within a second.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Example:
  rhyzome audit
  rhyzome audit --follow --json
  rhyzome audit --site --after 1200"
)]
pub struct Command {
    #[command(subcommand)]
    command: Option<What>,
    #[command(flatten)]
    show: Show,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compute the chain anew, on this machine, and say what is wrong with it.
    #[command(after_help = "\
Example:
  rhyzome audit verify
  rhyzome audit verify --site
  rhyzome audit verify garden.jsonl")]
    Verify(Verify),
    /// Write the chain as lines of JSON, which `rhyzome audit verify FILE` takes.
    #[command(after_help = "\
Example:
  rhyzome audit export > garden.jsonl
  rhyzome audit export --site > site.jsonl")]
    Export(Whose),
}

#[derive(Debug, Args)]
struct Whose {
    /// The site's own chain, not that of the project.
    #[arg(long)]
    site: bool,
    /// The chain of a project by the project's id; it may be gone. For the site's auditors.
    #[arg(long, value_name = "ID", conflicts_with = "site")]
    chain: Option<String>,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    whose: Whose,
    /// Go on with what is done from now on, over broken connections too.
    #[arg(long, short)]
    follow: bool,
    /// Begin behind the entry with this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
}

#[derive(Debug, Args)]
struct Verify {
    /// A file that `rhyzome audit export` wrote; by default the core is asked.
    #[arg(value_name = "FILE", conflicts_with_all = ["site", "chain"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    whose: Whose,
    /// What was seen when it was verified before, as NUMBER:HASH: it has to be in the chain still.
    #[arg(long, value_name = "MARK")]
    known: Option<Mark>,
}

impl Whose {
    fn audit(&self, cx: &Cx) -> Result<Audit, Failure> {
        let session = cx.session()?;
        Ok(match (&self.chain, self.site) {
            (Some(id), _) => session.client.audit().of_chain(id),
            (None, true) => session.client.audit(),
            (None, false) => session.scope.audit(),
        })
    }
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self.command {
            None => self.show.run(cx).await,
            Some(What::Verify(verify)) => verify.run(cx).await,
            Some(What::Export(whose)) => export(cx, &whose.audit(cx)?).await,
        }
    }
}

impl Show {
    async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let audit = self.whose.audit(cx)?;
        let mut after = self.after.unwrap_or(0);
        if !self.follow {
            let mut entries = audit.entries(Some(&after.to_string()));
            while let Some(entry) = entries.next().await? {
                print(cx, &entry)?;
            }
            return Ok(());
        }
        let mut connected = false;
        loop {
            let page = match audit.list(1000, Some(&after.to_string())).await {
                Ok(page) => page,
                Err(error) if connected && error.is_unreachable() => {
                    cx.output.note(&format!("{error}; asking again"));
                    tokio::time::sleep(LOOK * 4).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            connected = true;
            // What is not sealed yet has no place, and comes the next time.
            let sealed = page
                .items
                .iter()
                .filter_map(|entry| Some((entry, entry.seal?)));
            for (entry, seal) in sealed {
                print(cx, entry)?;
                after = seal.number;
            }
            if page.next.is_none() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

impl Verify {
    async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let found = match &self.file {
            Some(path) => of_file(path, self.known)?,
            None => self.whose.audit(cx)?.verify(self.known).await?,
        };
        told(cx, &found)
    }
}

fn of_file(path: &Path, known: Option<Mark>) -> Result<Verification, Failure> {
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let none = |why: rhyzome_model::audit::LineError| {
        let path = path.display();
        let more =
            std::error::Error::source(&why).map_or(String::new(), |more| format!(": {more}"));
        Failure::Bytes(format!("{path} is no exported audit log: {why}{more}"))
    };
    let mut reader = BufReader::new(std::fs::File::open(path).map_err(failed)?);
    let mut verifier = FileVerifier::new(known);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Whatever the file is, no more of it is in memory.
        let mut some = (&mut reader).take(MAX_LINE as u64 + 2);
        if some.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return verifier.end().map_err(none);
        }
        let text = String::from_utf8_lossy(&line);
        verifier
            .line(text.trim_end_matches(['\r', '\n']))
            .map_err(none)?;
    }
}

/// Says what was found; what is wrong is a failure.
fn told(cx: &Cx, found: &Verification) -> Result<(), Failure> {
    let name = match &found.chain.project {
        Some(project) => format!("of the project {project}"),
        None if found.chain.chain == rhyzome_model::audit::SITE => "of the site".to_owned(),
        None => format!(
            "of the project with the id {}",
            printable(&found.chain.chain)
        ),
    };
    if cx.output.mode == Mode::Json {
        cx.output.json(found)?;
    } else {
        for flaw in &found.flaws {
            cx.output.line(&flaw.to_string())?;
        }
        let more = found.flawed.saturating_sub(found.flaws.len() as u64);
        if more > 0 {
            cx.output.line(&format!("and {more} more"))?;
        }
        for id in &found.unsealed {
            cx.output.line(&format!("{id} is not sealed yet"))?;
        }
    }
    if found.known_is_dropped {
        cx.output
            .note("The mark that was given is of an entry that has been dropped since.");
    }
    if !found.good {
        return Err(Failure::Bytes(format!(
            "the audit log {name} is not what was sealed: {} of it is wrong",
            found.flawed
        )));
    }
    if cx.output.mode == Mode::People {
        let (entries, begins) = (found.entries, found.begins());
        cx.output.line(&format!(
            "the audit log {name} is whole: {entries} entries from number {begins} on"
        ))?;
        cx.output
            .note("Note where it ends; --known with it shows later that it is still the same:");
    }
    if cx.output.mode != Mode::Json {
        cx.output.line(&found.seen.to_string())?;
    }
    Ok(())
}

async fn export(cx: &Cx, audit: &Audit) -> Result<(), Failure> {
    let chain = audit.chain().await?;
    cx.output.json_line(&chain)?;
    let mut entries = audit.entries(None);
    while let Some(entry) = entries.next().await? {
        cx.output.json_line(&entry)?;
    }
    if audit.chain().await?.checkpoint != chain.checkpoint {
        let why = "entries were dropped for their age while they were exported; export them again";
        return Err(Failure::Bytes(why.to_owned()));
    }
    Ok(())
}

fn print(cx: &Cx, entry: &AuditEntry) -> Result<(), Failure> {
    let resource = entry.resource.as_ref();
    let what = resource.map_or(String::new(), |what| {
        format!("  {} {}", what.kind, printable(&what.name))
    });
    match cx.output.mode {
        Mode::Json => cx.output.json_line(entry),
        Mode::Quiet => cx.output.line(&format!("{}{what}", entry.operation)),
        Mode::People => {
            let number = entry
                .seal
                .map_or("-".to_owned(), |seal| seal.number.to_string());
            let tone = match entry.result {
                AuditResult::Done => Tone::Plain,
                AuditResult::Refused | AuditResult::Failed => Tone::Bad,
            };
            let result = Cell::new(format!("{:<7}", entry.result.as_str())).tone(tone);
            let result = cx.output.paint(&result);
            let (time, actor) = (entry.time, &entry.actor);
            let who = match actor.name.as_str() {
                "" => actor.kind.as_str().to_owned(),
                name => printable(name).to_string(),
            };
            let from = entry
                .from
                .as_deref()
                .map_or(String::new(), |from| format!(" from {}", printable(from)));
            let times = match entry.count {
                1 => String::new(),
                count => format!(" ({count} times)"),
            };
            let reason = entry
                .reason
                .as_deref()
                .map_or(String::new(), |reason| format!(": {}", printable(reason)));
            let operation = printable(&entry.operation);
            cx.output.line(&format!(
                "{number:>6}  {time}  {result}  {operation}{what}  by {who}{from}{times}{reason}"
            ))
        }
    }
}
