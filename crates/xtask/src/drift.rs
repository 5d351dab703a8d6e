//! Generated files that are committed: whether they still are what the code makes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::bench::finish;
use crate::cargo::cargo;

/// A file, and what `rhyzome-api` is asked for to print it.
struct Generated {
    path: &'static str,
    command: &'static str,
}

const GENERATED: &[Generated] = &[
    Generated {
        path: "openapi.json",
        command: "openapi",
    },
    Generated {
        path: "docs/roles.md",
        command: "roles",
    },
];

/// Whether all are up to date; says which are not.
pub fn check(root: &Path) -> anyhow::Result<bool> {
    build(root)?;
    let mut current = true;
    for generated in GENERATED {
        let now = make(root, generated)?;
        let committed = fs::read_to_string(root.join(generated.path)).unwrap_or_default();
        if let Some(line) = first_difference(&committed, &now) {
            println!(
                "{}:{line}: is not what the code makes; `cargo xtask drift --write` brings it up to date",
                generated.path
            );
            current = false;
        }
    }
    Ok(current)
}

/// Brings all up to date.
pub fn write(root: &Path) -> anyhow::Result<bool> {
    build(root)?;
    for generated in GENERATED {
        let path = root.join(generated.path);
        fs::write(&path, make(root, generated)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(true)
}

/// The program, among the others: for itself alone, nearly all that it is made of would be built anew.
fn build(root: &Path) -> anyhow::Result<()> {
    let mut build = cargo(root);
    build.args(["build", "--quiet", "--locked", "--workspace"]);
    build.args(["--bin", "rhyzome-api"]);
    finish(&mut build, "rhyzome-api cannot be built")
}

fn make(root: &Path, generated: &Generated) -> anyhow::Result<String> {
    let command = generated.command;
    let output = Command::new(root.join("target/debug/rhyzome-api"))
        .arg(command)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("rhyzome-api")?;
    ensure!(
        output.status.success(),
        "rhyzome-api {command} ended with {}",
        output.status
    );
    String::from_utf8(output.stdout).with_context(|| format!("{} is no text", generated.path))
}

/// The number of the first line that differs, from 1.
fn first_difference(committed: &str, now: &str) -> Option<usize> {
    if committed == now {
        return None;
    }
    let same = committed
        .lines()
        .zip(now.lines())
        .take_while(|(a, b)| a == b)
        .count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        assert_eq!(first_difference("a", "a\n"), Some(2));
    }
}
