//! Rust files: their size, their name, how they open, and what may not stand in them.

use super::Finding;

/// Lines from which on a file should be looked at, and from which on it must be parted.
const MANY: usize = 500;
const TOO_MANY: usize = 800;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc",
];

/// What may not stand in a line of code, and what to do instead. Parted, so that this file has none.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        concat!("#[", "allow"),
        "use #[expect(lint, reason = \"…\")]",
    ),
    (
        concat!("#![", "allow"),
        "use #![expect(lint, reason = \"…\")]",
    ),
    (
        concat!("#[", "ignore"),
        "no test is skipped: run it, or remove it",
    ),
    (
        concat!("extern crate ", "openssl"),
        "ring is the only provider",
    ),
];

/// Endings of type names that say nothing.
const EMPTY_ENDINGS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils"];

/// Finds what is wrong with a Rust file.
pub fn check(path: &str, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(size(path, content));
    findings.extend(name(path));
    findings.extend(opening(path, content));
    findings.extend(lines(path, content));
    findings
}

fn size(path: &str, content: &str) -> Option<Finding> {
    let lines = content.lines().count();
    if lines > TOO_MANY {
        let text = format!("{lines} lines; at {TOO_MANY} a file is several things: part it");
        Some(Finding::fail(path, None, text))
    } else if lines > MANY {
        let text = format!("{lines} lines; more than {MANY} are rarely one subject");
        Some(Finding::warn(path, None, text))
    } else {
        None
    }
}

fn name(path: &str) -> Option<Finding> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    if file == "mod.rs" {
        let text = format!("a module's file stands beside its folder: call it {folder}.rs");
        return Some(Finding::fail(path, None, text));
    }
    let stem = file.trim_end_matches(".rs");
    let empty = folder
        .split('/')
        .chain([stem])
        .find(|part| EMPTY_NAMES.contains(part))?;
    let text = format!("the name {empty} says nothing: name what is in it");
    Some(Finding::fail(path, None, text))
}

/// Every module says what it is for. Tests say it by their names.
fn opening(path: &str, content: &str) -> Option<Finding> {
    let tests = path.ends_with("/tests.rs") || path.contains("/tests/") && path.contains("/src/");
    let first = content
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    let said = first.is_some_and(|line| line.starts_with("//!"));
    (!said && !tests).then(|| {
        Finding::fail(
            path,
            1,
            "a module opens with //!: what it is for, and what it leaves out",
        )
    })
}

fn lines(path: &str, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(content.lines()) {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        for (forbidden, instead) in FORBIDDEN {
            if line.starts_with(forbidden) {
                let text = format!("{forbidden} is not used here: {instead}");
                findings.push(Finding::fail(path, number, text));
            }
        }
        if let Some(name) = type_name(line)
            && let Some(ending) = EMPTY_ENDINGS.iter().find(|ending| name.ends_with(*ending))
        {
            let text = format!("{name}: {ending} says nothing; name what it does");
            findings.push(Finding::fail(path, number, text));
        }
    }
    findings
}

/// The name of the type that a line declares.
fn type_name(line: &str) -> Option<&str> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub"));
    let declares = ["struct", "enum", "trait", "type"].contains(&words.next()?);
    let name = words.next()?;
    let end = name
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    declares.then_some(&name[..end])
}

#[cfg(test)]
mod tests {
    use crate::tidy::said;

    fn check(path: &str, content: &str, expect: &[&str]) {
        assert_eq!(said(&super::check(path, content)), expect);
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        check("a.rs", "//! Of a.\n", &[]);
        check("a.rs", "#![no_std]\n\n//! Of a.\n", &[]);
        check("crates/x/src/a/tests.rs", "use super::*;\n", &[]);
        check(
            "a.rs",
            "use b;\n",
            &["a.rs:1: a module opens with //!: what it is for, and what it leaves out"],
        );
    }

    #[test]
    fn a_long_file_is_warned_of_and_a_very_long_one_refused() {
        let lines = |count: usize| format!("//! Long.\n{}", "x\n".repeat(count - 1));
        check("a.rs", &lines(500), &[]);
        check(
            "a.rs",
            &lines(501),
            &["a.rs: warning: 501 lines; more than 500 are rarely one subject"],
        );
        check(
            "a.rs",
            &lines(801),
            &["a.rs: 801 lines; at 800 a file is several things: part it"],
        );
    }

    #[test]
    fn a_name_says_something() {
        let module = "//! Of it.\n";
        check(
            "crates/x/src/a/mod.rs",
            module,
            &[
                "crates/x/src/a/mod.rs: a module's file stands beside its folder: call it crates/x/src/a.rs",
            ],
        );
        check(
            "crates/x/src/utils/a.rs",
            module,
            &["crates/x/src/utils/a.rs: the name utils says nothing: name what is in it"],
        );
        check(
            "a.rs",
            "//! Of a.\npub(crate) struct TapManager<T>(T);\n",
            &["a.rs:2: TapManager: Manager says nothing; name what it does"],
        );
        check(
            "a.rs",
            "//! Of a.\npub struct Managers;\nlet manager = 1;\n",
            &[],
        );
    }

    #[test]
    fn a_lint_is_expected_and_a_test_runs() {
        let allowed = concat!("//! Of a.\n    #[", "allow(dead_code)]\n");
        let text = concat!("#[", "allow");
        check(
            "a.rs",
            allowed,
            &[&format!(
                "a.rs:2: {text} is not used here: use #[expect(lint, reason = \"…\")]"
            )],
        );
        let ignored = concat!("//! Of a.\n#[", "ignore = \"slow\"]\n");
        let text = concat!("#[", "ignore");
        check(
            "a.rs",
            ignored,
            &[&format!(
                "a.rs:2: {text} is not used here: no test is skipped: run it, or remove it"
            )],
        );
    }
}
