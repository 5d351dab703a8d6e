//! The house's rules that can be checked by looking at the files.
//!
//! * [`arrows`]: which crate may use which, and which foreign crate stays where.
//! * [`manifest`]: every dependency says what it is for.
//! * [`source`]: sizes, names and openings of Rust files, and what may not stand in them.
//! * [`script`]: shell scripts run strictly and can be executed.
//! * [`text`]: what no file may contain: unfinished work, paths of one machine.
//! * [`lessons`] and [`readme`]: tests and commands that the documents name are there.
//!
//! Each check is a function from text to findings; only this file touches the disk.

mod arrows;
mod lessons;
mod manifest;
mod readme;
mod script;
mod source;
mod text;

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Relative to the repository.
    path: String,
    /// From 1; none where the file as a whole is meant.
    line: Option<usize>,
    level: Level,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Warn,
    Fail,
}

impl Finding {
    fn fail(path: &str, line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: line.into(),
            level: Level::Fail,
            text: text.into(),
        }
    }

    fn warn(path: &str, line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            ..Self::fail(path, line, text)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let level = match self.level {
            Level::Warn => "warning: ",
            Level::Fail => "",
        };
        write!(f, ": {level}{}", self.text)
    }
}

/// Whether the repository is tidy; says what is not.
pub fn run(root: &Path) -> anyhow::Result<bool> {
    let mut findings = arrows::check(&metadata(root)?);
    let files = files(root)?;
    for path in &files {
        findings.extend(check_file(root, path)?);
    }
    findings.extend(check_documents(root)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let failed = findings.iter().filter(|f| f.level == Level::Fail).count();
    let warned = findings.len() - failed;
    println!(
        "tidy: {} files, {failed} to be mended, {warned} to be watched",
        files.len()
    );
    Ok(failed == 0)
}

fn check_file(root: &Path, path: &str) -> anyhow::Result<Vec<Finding>> {
    let full = root.join(path);
    let bytes = fs::read(&full).with_context(|| format!("cannot read {path}"))?;
    // What is no text has no lines to look at.
    let Ok(content) = String::from_utf8(bytes) else {
        return Ok(Vec::new());
    };
    let mut findings = text::check(path, &content);
    if path.ends_with(".rs") {
        findings.extend(source::check(path, &content));
    }
    if path.ends_with("Cargo.toml") {
        findings.extend(manifest::check(path, &content));
    }
    if script::is_script(path, &content) {
        let mode = fs::metadata(&full)
            .with_context(|| format!("cannot look at {path}"))?
            .permissions()
            .mode();
        findings.extend(script::check(path, &content, mode));
    }
    Ok(findings)
}

/// What documents say of the rest of the repository.
fn check_documents(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let read = |path: &str| {
        fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let mut findings = Vec::new();
    for page in lessons::PAGES {
        findings.extend(lessons::check(page, &read(page)?, |path| read(path).ok()));
    }
    let runs = |path: &str| {
        fs::metadata(root.join(path))
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    findings.extend(readme::check(
        &read(readme::PAGE)?,
        &read(readme::CI)?,
        runs,
    ));
    Ok(findings)
}

/// What git knows or would take: the files that are there, without what is ignored.
fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let listed = output(
        root,
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ],
    )?;
    let mut files: Vec<String> = listed
        .split('\0')
        .filter(|path| root.join(path).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn metadata(root: &Path) -> anyhow::Result<arrows::Metadata> {
    let text = output(
        root,
        env!("CARGO"),
        &["metadata", "--format-version", "1", "--no-deps", "--locked"],
    )?;
    serde_json::from_str(&text).context("cannot read what cargo says of the workspace")
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {} ended with {}: {}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{program} wrote no text"))
}

/// What the tests of all checks look at: the line and the text of each finding.
#[cfg(test)]
fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}
