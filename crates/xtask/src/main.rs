//! Checks on the repository that no compiler makes, and the files that are made out of the code.
//!
//! * `cargo xtask tidy` holds the house's rules: see [`tidy`].
//! * `cargo xtask drift` compares generated files with what the code makes now: see [`drift`].
//!   `cargo xtask drift --write` brings them up to date.
//! * `cargo xtask bench NAME [--json]` measures the programs: see [`bench`].
//! * `cargo xtask faults` lets everything go wrong that can: see [`faults`].
//! * `cargo xtask postgres` has the core's tests run on PostgreSQL: see [`postgres`].
//! * `cargo xtask simulate` lets it go wrong by chance, on a simulated site: see [`simulate`].
//! * `cargo xtask fuzz [TARGET...]` looks for texts that are not read as they should be: see [`fuzz`].

mod bench;
mod cargo;
mod drift;
mod faults;
mod fuzz;
mod postgres;
mod simulate;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy | drift [--write] | bench NAME [--json] | faults [--part N/M] \
     | postgres [FILTER] | simulate [--seed N] [--steps N] [--aloud] | fuzz [TARGET...] [--for TIME] [--input FILE] \
     [--list] [--help]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["tidy"] => tidy::run(&root()),
        ["drift"] => drift::check(&root()),
        ["drift", "--write"] => drift::write(&root()),
        ["bench", ref rest @ ..] => bench::run(&root(), rest),
        ["faults", ref rest @ ..] => faults::run(&root(), rest),
        ["fuzz", ref rest @ ..] => fuzz::run(&root(), rest),
        ["postgres", ref rest @ ..] => postgres::run(&root(), rest),
        ["simulate", ref rest @ ..] => simulate::run(&root(), rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root, wherever this was called.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
