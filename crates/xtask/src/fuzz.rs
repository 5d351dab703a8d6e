//! `cargo xtask fuzz`: builds `crates/fuzz` around libFuzzer, in a folder of its own, and lets it look for texts that are not read
//! as they should be.
//!
//! It counts what of the code each text reaches, changes those that reached something new, and goes on from there. The corpus of
//! the repository is where it begins, and is not written to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::cargo::cargo;

const HELP: &str = "\
usage: cargo xtask fuzz [TARGET...] [--for TIME]    each of them, or all, for 60s or so long (90s, 5m)
       cargo xtask fuzz TARGET --input FILE         that text alone: what came of it is said
       cargo xtask fuzz --list                      the targets, and how many texts the repository has of each

A target is a function of crates/fuzz with a folder of texts in crates/fuzz/corpus, which ./test reads too. A C++ compiler is
needed. What is found goes to target/fuzz/found, new texts to target/fuzz/new, and the few of them that reach what the
corpus does not to target/fuzz/least.";

/// Counters at each edge, and what is compared with what. That is all that is needed: what panics is found by that.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Comparisons of texts stay calls, which libFuzzer looks into.
    "-Cllvm-args=-max-loads-per-memcmp=0",
];

/// The longest text that is tried, and the longest time that one may take, in bytes and in seconds.
const LIMITS: [&str; 2] = ["-max_len=8192", "-timeout=10"];

/// Whether nothing was found.
pub fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    if arguments.contains(&"--help") {
        println!("{HELP}");
        return Ok(true);
    }
    let targets = targets(root)?;
    match Order::read(arguments, &targets)? {
        Order::List => {
            for target in &targets {
                let texts = names(&root.join(CORPUS).join(target))?.len();
                println!("{target:<20} {texts:>4}");
            }
            Ok(true)
        }
        Order::One { target, input } => Ok(program(root, &target).arg(input).status()?.success()),
        Order::Look { targets, seconds } => {
            let mut good = true;
            for target in targets {
                good &= look(root, &target, seconds)?;
            }
            Ok(good)
        }
    }
}

const CORPUS: &str = "crates/fuzz/corpus";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    List,
    One { target: String, input: PathBuf },
    Look { targets: Vec<String>, seconds: u64 },
}

impl Order {
    fn read(arguments: &[&str], known: &BTreeSet<String>) -> anyhow::Result<Self> {
        let (mut targets, mut seconds, mut input) = (Vec::new(), 60, None);
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match *word {
                "--list" => return Ok(Self::List),
                "--for" => seconds = time(words.next().context("--for TIME, as 60s or 5m")?)?,
                "--input" => input = Some(words.next().context("--input FILE")?.into()),
                name if known.contains(name) => targets.push(name.to_owned()),
                other => bail!("{other} is no target, and no option\n{HELP}"),
            }
        }
        match (input, &targets[..]) {
            (Some(input), [target]) => Ok(Self::One {
                target: target.clone(),
                input,
            }),
            (Some(_), _) => bail!("--input is for one target"),
            (None, []) => Ok(Self::Look {
                targets: known.iter().cloned().collect(),
                seconds,
            }),
            (None, _) => Ok(Self::Look { targets, seconds }),
        }
    }
}

/// `90s`, `5m` or `1h`, in seconds: at least one, as libFuzzer takes none for no end.
fn time(text: &str) -> anyhow::Result<u64> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let read = units.iter().find_map(|(unit, seconds)| {
        let number = text.strip_suffix(unit)?.parse::<u64>().ok()?;
        number.checked_mul(*seconds).filter(|seconds| *seconds > 0)
    });
    read.with_context(|| format!("{text} is no time such as 60s or 5m"))
}

fn targets(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    names(&root.join(CORPUS))
}

fn names(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let files = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    files
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// libFuzzer around one target, built if it has to be.
fn program(root: &Path, target: &str) -> Command {
    let mut cargo = cargo(root);
    cargo.args(["run", "--locked", "--profile", "fuzz", "--target-dir"]);
    cargo.arg(root.join("target/fuzz"));
    // With a target, what only runs while building has none of the flags.
    cargo.args(["--target", "host-tuple", "--package", "rhyzome-fuzz"]);
    cargo.args(["--features", "libfuzzer", "--"]).args(LIMITS);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    cargo.env("RHYZOME_FUZZ", target);
    cargo
}

/// Lets libFuzzer look for so long, and says what it has found.
fn look(root: &Path, target: &str, seconds: u64) -> anyhow::Result<bool> {
    let folder = |kind: &str| {
        let folder = PathBuf::from(format!("target/fuzz/{kind}/{target}"));
        let made = fs::create_dir_all(root.join(&folder));
        made.with_context(|| folder.display().to_string())?;
        anyhow::Ok(folder)
    };
    let (new, found) = (folder("new")?, folder("found")?);
    let corpus = Path::new(CORPUS).join(target);
    println!("fuzz: {target}, {seconds} s");
    let before = names(&root.join(&found))?;
    let status = program(root, target)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(["-print_final_stats=1", "-detect_leaks=0"])
        .args([&new, &corpus])
        .status()?;
    for name in names(&root.join(&found))?.difference(&before) {
        let file = found.join(name);
        let file = file.display();
        println!("fuzz: {target} fails at {file}");
        println!("  again:  cargo xtask fuzz {target} --input {file}");
        println!("  for ever, and for ./test:  cp {file} {CORPUS}/{target}/WHAT-IT-IS");
    }
    if status.success() {
        let (all, few) = (names(&root.join(&new))?.len(), least(root, target, &new)?);
        println!("fuzz: {target} is good; {few} of {all} new texts reach what the corpus does not");
    }
    Ok(status.success())
}

/// Copies those few that reach together what all the new ones reach, and the corpus does not; how many they are.
fn least(root: &Path, target: &str, new: &Path) -> anyhow::Result<usize> {
    let least = PathBuf::from(format!("target/fuzz/least/{target}"));
    let (corpus, full) = (root.join(CORPUS).join(target), root.join(&least));
    if full.exists() {
        fs::remove_dir_all(&full)?;
    }
    fs::create_dir_all(&full)?;
    let known = names(&corpus)?;
    for name in &known {
        fs::copy(corpus.join(name), full.join(name))?;
    }
    let merged = program(root, target)
        .arg("-merge=1")
        .args([&least, new])
        .output()?;
    ensure!(
        merged.status.success(),
        "the new texts cannot be looked through: {}",
        String::from_utf8_lossy(&merged.stderr)
    );
    for name in &known {
        fs::remove_file(full.join(name))?;
    }
    Ok(names(&full)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expect: Result<Order, &str>) {
        let known = ["name", "secret"].map(str::to_owned).into();
        match (Order::read(arguments, &known), expect) {
            (Ok(order), Ok(expect)) => assert_eq!(order, expect),
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
            (got, expect) => panic!("{got:?}, not {expect:?}"),
        }
    }

    fn looks(targets: &[&str], seconds: u64) -> Result<Order, &'static str> {
        let targets = targets.iter().map(|name| (*name).to_owned()).collect();
        Ok(Order::Look { targets, seconds })
    }

    #[test]
    fn targets_and_times_are_told_apart() {
        check(&[], looks(&["name", "secret"], 60));
        check(&["secret", "--for", "5m"], looks(&["secret"], 300));
        check(&["--for", "90s", "name"], looks(&["name"], 90));
        check(&["--list"], Ok(Order::List));
        let (target, input) = ("name".to_owned(), "x".into());
        check(&["name", "--input", "x"], Ok(Order::One { target, input }));
        check(&["nam"], Err("nam is no target"));
        check(&["--fro", "5m"], Err("--fro is no target, and no option"));
        check(&["name", "--for"], Err("--for TIME"));
        for time in ["5", "0s", "s", "-1s", "99999999999999999h"] {
            check(&["--for", time], Err("is no time"));
        }
        check(&["--input", "x"], Err("for one target"));
    }

    #[test]
    fn the_targets_are_those_of_the_repository() {
        let targets = targets(&crate::root()).unwrap();
        assert!(targets.contains("user_data"), "{targets:?}");
    }
}
